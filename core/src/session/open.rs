//! Chooses the token store.

use std::path::Path;
use std::sync::Arc;

use super::{FileStore, MemoryStore, StoreKind, TokenStore};
use crate::error::{Error, Result};

pub(super) fn open(kind: StoreKind, state: Option<&Path>) -> Result<Arc<dyn TokenStore>> {
    match (kind, state) {
        (StoreKind::Memory, _) => Ok(Arc::new(MemoryStore::new("asked for with --store memory"))),
        (StoreKind::None, _) => Ok(Arc::new(MemoryStore::keeping_nothing())),
        (StoreKind::File, Some(state)) => Ok(Arc::new(FileStore::new(state, "asked for with --store file"))),
        (StoreKind::Auto, Some(state)) if writable(state) => {
            Ok(Arc::new(FileStore::new(state, "a 0600 file; this version has no keyring store yet")))
        }
        (StoreKind::Auto, Some(state)) => {
            Ok(Arc::new(MemoryStore::new(format!("memory only: {} cannot be written", state.display()))))
        }
        (StoreKind::Auto, None) => Ok(Arc::new(MemoryStore::new("memory only: there is no home folder"))),
        (StoreKind::File, None) => {
            Err(Error::config("store_no_place", "store", "there is no home folder to keep a token file in")
                .with_next("Set FLYTE_AUTH_HOME to a folder, or use --store memory"))
        }
        (StoreKind::Keyring | StoreKind::EncryptedFile, _) => {
            Err(Error::config("store_not_available", "store", "this version keeps tokens in a file or in memory only")
                .with_next("Use --store file, or --store auto"))
        }
    }
}

/// Whether `folder`, or its nearest existing parent, can be written: nothing is created before there is something to keep.
#[cfg(unix)]
fn writable(folder: &Path) -> bool {
    let nearest = folder.ancestors().find(|ancestor| ancestor.exists());
    nearest.is_some_and(|nearest| rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK).is_ok())
}

#[cfg(not(unix))]
fn writable(_folder: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(StoreKind::Auto, Some(&folder.path().join("a/b"))).unwrap();
        assert_eq!(store.describe().kind, StoreKind::File);
        assert!(!folder.path().join("a").exists(), "nothing is created before there is something to keep");
        let store = open(StoreKind::Auto, None).unwrap();
        assert_eq!(store.describe().kind, StoreKind::Memory);
        assert!(store.describe().reason.contains("no home folder"));
        assert!(open(StoreKind::File, None).unwrap_err().to_string().contains("FLYTE_AUTH_HOME"));
        assert_eq!(open(StoreKind::Keyring, None).unwrap_err().kind(), crate::ErrorKind::Config);
    }
}

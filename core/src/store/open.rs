//! Opens the token store that is configured.

use std::path::Path;
use std::sync::Arc;

use super::TokenStore;
use super::auto::AutoStore;
use super::encrypted_file::EncryptedFileStore;
use super::file::FileStore;
use super::keyring::KeyringStore;
use super::memory::MemoryStore;
use super::os_keyring::Keyring;
use crate::config::StoreKind;
use crate::error::{Error, Result};

/// Opens a store of this kind. `state` is the state folder, if there is a place for one; `keyring` says whether a person
/// may be asked to unlock it. Touches neither disk (but to ask whether it can be written) nor keyring.
///
/// # Errors
/// Kind `Config`, code `store_no_place`: a store of files without a state folder.
pub fn open(kind: StoreKind, state: Option<&Path>, keyring: Keyring) -> Result<Arc<dyn TokenStore>> {
    Ok(match (kind, state) {
        (StoreKind::Memory, _) => Arc::new(MemoryStore::new("asked for with --store memory")),
        (StoreKind::None, _) => Arc::new(MemoryStore::keeping_nothing()),
        (StoreKind::File, Some(state)) => Arc::new(FileStore::new(state, "asked for with --store file")),
        (StoreKind::EncryptedFile, Some(state)) => {
            Arc::new(EncryptedFileStore::new(state, keyring, "asked for with --store encrypted-file"))
        }
        (StoreKind::Keyring, Some(state)) => {
            Arc::new(KeyringStore::new(Some(state), keyring, "asked for with --store keyring"))
        }
        (StoreKind::Keyring, None) => Arc::new(KeyringStore::new(
            None,
            keyring,
            "asked for with --store keyring; there is no home folder: locks hold in this process only",
        )),
        (StoreKind::Auto, Some(state)) if writable(state) => Arc::new(AutoStore::new(state, keyring)),
        (StoreKind::Auto, Some(state)) => {
            let reason = format!("auto: memory only, {} cannot be written", state.display());
            Arc::new(MemoryStore::over(Arc::new(AutoStore::new(state, keyring)), reason))
        }
        (StoreKind::Auto, None) => Arc::new(MemoryStore::new("auto: memory only, there is no home folder")),
        (StoreKind::File | StoreKind::EncryptedFile, None) => {
            return Err(Error::config("store_no_place", "store", "there is no home folder to keep a token file in")
                .with_next("Set FLYTE_AUTH_HOME to a folder, or use --store memory"));
        }
    })
}

/// Whether the sessions' folder, or its nearest existing parent, can be written: nothing is created before there is
/// something to keep.
#[cfg(unix)]
fn writable(state: &Path) -> bool {
    let folder = state.join("sessions");
    let nearest = folder.ancestors().find(|ancestor| ancestor.exists());
    nearest.is_some_and(|nearest| rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK).is_ok())
}

#[cfg(not(unix))]
fn writable(_state: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_for_every_kind_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/b");
        let kind = |kind, state| open(kind, state, Keyring::SILENT).map(|store| store.describe().kind);
        for asked in [StoreKind::Keyring, StoreKind::EncryptedFile, StoreKind::File, StoreKind::Memory, StoreKind::None]
        {
            assert_eq!(kind(asked, Some(&state)).unwrap(), asked);
        }
        assert!(!folder.path().join("a").exists(), "nothing is created before there is something to keep");
        assert_eq!(kind(StoreKind::Keyring, None).unwrap(), StoreKind::Keyring);
        assert_eq!(kind(StoreKind::Auto, None).unwrap(), StoreKind::Memory);
        for needs_a_folder in [StoreKind::File, StoreKind::EncryptedFile] {
            let error = kind(needs_a_folder, None).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert!(error.to_string().contains("FLYTE_AUTH_HOME"));
        }
    }
}

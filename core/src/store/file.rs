//! Records as plain 0600 files.

use std::path::Path;

use super::lock::{self, LockFolder};
pub use super::private::{Durability, append_private, create_private_folder, open_private, write_private};
use super::records::{RecordFolder, durability_of};
use super::{LockGuard, LockKind, Record, SessionKey, StoreDescription, TokenStore, readable};
use crate::config::StoreKind;
use crate::error::Result;

/// Records under `<state folder>/sessions`, one `<key>.json` a session.
#[derive(Debug, Clone)]
pub struct FileStore {
    records: RecordFolder,
    locks: LockFolder,
    reason: String,
}

impl FileStore {
    /// Keeps records in `<state>/sessions`; nothing is created until something is saved. `reason` is shown by `status`.
    pub fn new(state: &Path, reason: impl Into<String>) -> Self {
        Self { records: RecordFolder::new(state, "json"), locks: lock::in_state(state), reason: reason.into() }
    }

    pub(super) fn records(&self) -> &RecordFolder {
        &self.records
    }
}

impl TokenStore for FileStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        let Some(bytes) = self.records.read(key)? else { return Ok(None) };
        Record::from_json(&bytes, &self.records.path(key).display().to_string()).map(Some)
    }

    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        // A newer version's record is not ours to replace.
        match self.load(key) {
            Err(error) if error.code() != "store_corrupt" => return Err(error),
            _ => {}
        }
        self.records.write(key, &record.to_json()?, durability_of(record))
    }

    fn check_room(&self, _key: &SessionKey, len: usize) -> Result<()> {
        self.records.check_room(len)
    }

    fn delete(&self, key: &SessionKey) -> Result<bool> {
        self.records.delete(key)
    }

    fn keys(&self) -> Result<Vec<SessionKey>> {
        self.records.keys()
    }

    fn list(&self) -> Result<Vec<(SessionKey, Record)>> {
        readable(self.keys()?, |key| self.load(key))
    }

    fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        self.locks.try_lock(key, kind)
    }

    fn describe(&self) -> StoreDescription {
        let location = Some(self.records.folder().to_owned());
        StoreDescription { kind: StoreKind::File, reason: self.reason.clone(), location }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use std::fs;

    use super::*;
    use crate::store::record::tests::sample;

    fn store() -> (tempfile::TempDir, FileStore, SessionKey) {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::new(&folder.path().join("state"), "test");
        (folder, store, SessionKey::of_parts([Some("x")]))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn saves_privately_and_finds_again() {
        let (_keep, store, key) = store();
        assert_eq!(store.load(&key).unwrap(), None);
        assert_eq!(store.list().unwrap(), []);
        store.save(&key, &sample()).unwrap();
        assert_eq!(store.load(&key).unwrap(), Some(sample()));
        assert_eq!(store.list().unwrap(), [(key.clone(), sample())]);
        assert_eq!((mode(store.records.folder()), mode(&store.records.path(&key))), (0o700, 0o600));
        assert!(store.delete(&key).unwrap());
        assert!(!store.delete(&key).unwrap());
    }

    #[test]
    fn loose_permissions_are_tightened() {
        let (_keep, store, key) = store();
        store.save(&key, &sample()).unwrap();
        fs::set_permissions(store.records.path(&key), fs::Permissions::from_mode(0o644)).unwrap();
        store.load(&key).unwrap();
        assert_eq!(mode(&store.records.path(&key)), 0o600);
    }

    #[test]
    fn links_and_other_things_are_refused() {
        let (keep, store, key) = store();
        store.save(&key, &sample()).unwrap();
        let elsewhere = keep.path().join("elsewhere");
        fs::rename(store.records.path(&key), &elsewhere).unwrap();
        symlink(&elsewhere, store.records.path(&key)).unwrap();
        assert_eq!(store.load(&key).unwrap_err().code(), "store_refused");
        assert_eq!(store.save(&key, &sample()).unwrap_err().code(), "store_refused");
        fs::remove_file(store.records.path(&key)).unwrap();
        fs::create_dir(store.records.path(&key)).unwrap();
        assert_eq!(store.load(&key).unwrap_err().code(), "store_refused");
    }

    #[test]
    fn a_newer_record_is_left_untouched_and_a_damaged_one_replaced() {
        let (_keep, store, key) = store();
        let mut newer = sample();
        newer.schema_version += 1;
        create_private_folder(store.records.folder()).unwrap();
        fs::write(store.records.path(&key), newer.to_json().unwrap()).unwrap();
        assert_eq!(store.load(&key).unwrap_err().code(), "store_newer");
        assert_eq!(store.save(&key, &sample()).unwrap_err().code(), "store_newer");
        assert_eq!(fs::read(store.records.path(&key)).unwrap(), *newer.to_json().unwrap());
        fs::write(store.records.path(&key), b"{half").unwrap();
        assert_eq!(store.load(&key).unwrap_err().code(), "store_corrupt");
        store.save(&key, &sample()).unwrap();
        assert_eq!(store.load(&key).unwrap(), Some(sample()));
    }

    #[test]
    fn a_full_or_forbidden_place_is_a_typed_error() {
        let keep = tempfile::tempdir().unwrap();
        fs::write(keep.path().join("state"), b"a file where the folder should be").unwrap();
        let store = FileStore::new(&keep.path().join("state"), "test");
        let key = SessionKey::of_parts([Some("x")]);
        let error = store.save(&key, &sample()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Store);
        assert!(error.to_string().contains("FLYTE_AUTH_HOME"));
    }
}

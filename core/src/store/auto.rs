//! `--store auto`: an encrypted file where the keyring works, else a 0600 file.
//!
//! Two questions are kept apart, because a keyring may be there in the desktop, gone over SSH and slow in the morning:
//!
//! - **Where is this session?** Where its record is; the newest, should a crash have left two. No keyring is asked, so a
//!   session in a 0600 file costs a `token` nothing, and no hiccup of the keyring turns a session into "not signed in".
//!   A session stays in its place for life: a refresh on the desktop must not take it away from a cron job that has no
//!   keyring. `logout` and a new login move it.
//! - **Where does a new session go?** That the module `verdict` says, and the use of the key proves.
//!
//! An encrypted record that cannot be opened now (locked, no bus, no answer) is an error, not "not signed in": a browser
//! must not open because the keyring is slow. A key that is gone or another will not come back by waiting: that is a
//! lost session, and a login replaces it. A login whose key cannot be had goes to the 0600 file, with a warning, and
//! `status` says why for as long as the reason lasts.

use std::path::Path;

use super::encrypted_file::EncryptedFileStore;
use super::file::FileStore;
use super::keyring::KeyringStore;
use super::os_keyring::Keyring;
use super::records::RecordFolder;
use super::verdict::Verdicts;
use super::{LockGuard, LockKind, Record, SessionKey, StoreDescription, TokenStore, is_lost, is_of_keyring, readable};
use crate::config::StoreKind;
use crate::error::Result;

/// Chooses for each session.
#[derive(Debug, Clone)]
pub struct AutoStore {
    file: FileStore,
    encrypted: EncryptedFileStore,
    /// For sessions that somebody put there by `--store keyring`.
    keyring: KeyringStore,
    verdicts: Verdicts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Encrypted,
    Keyring,
}

impl AutoStore {
    /// Everything under `state`; nothing is created, and no keyring asked, until it is needed.
    pub fn new(state: &Path, keyring: Keyring) -> Self {
        Self {
            file: FileStore::new(state, ""),
            encrypted: EncryptedFileStore::new(state, keyring, ""),
            keyring: KeyringStore::new(Some(state), keyring, ""),
            verdicts: Verdicts::new(state),
        }
    }

    fn records(&self) -> impl Iterator<Item = (Place, &RecordFolder)> {
        let keyring = self.keyring.index().map(|index| (Place::Keyring, index));
        [(Place::File, self.file.records()), (Place::Encrypted, self.encrypted.records())].into_iter().chain(keyring)
    }

    fn place(&self, key: &SessionKey) -> Option<Place> {
        let found = self.records().filter_map(|(place, records)| Some((records.changed_at(key)?, place)));
        found.max_by_key(|(changed_at, _)| *changed_at).map(|(_, place)| place)
    }

    fn at(&self, place: Place) -> &dyn TokenStore {
        match place {
            Place::File => &self.file,
            Place::Encrypted => &self.encrypted,
            Place::Keyring => &self.keyring,
        }
    }

    /// Into the encrypted file; into the plain one if the key cannot be had.
    fn save_encrypted(&self, key: &SessionKey, record: &Record) -> Result<Place> {
        match self.encrypted.save(key, record) {
            Ok(()) => Ok(Place::Encrypted),
            Err(error) if is_of_keyring(&error) => {
                self.verdicts.forget();
                tracing::warn!(reason = error.message(), "the session goes to a 0600 file, unencrypted");
                self.file.save(key, record).map(|()| Place::File)
            }
            Err(error) => Err(error),
        }
    }

    fn save_in_place(&self, place: Option<Place>, key: &SessionKey, record: &Record) -> Result<Place> {
        match place {
            Some(Place::File) => self.file.save(key, record).map(|()| Place::File),
            Some(Place::Keyring) => self.keyring.save(key, record).map(|()| Place::Keyring),
            Some(Place::Encrypted) => self.save_encrypted(key, record),
            None if self.verdicts.now().is_ok() => self.save_encrypted(key, record),
            None => self.file.save(key, record).map(|()| Place::File),
        }
    }
}

impl TokenStore for AutoStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        let Some(place) = self.place(key) else { return Ok(None) };
        match self.at(place).load(key) {
            Err(error) if is_lost(&error) => {
                tracing::warn!(%error, "the stored session is ignored");
                Ok(None)
            }
            other => other,
        }
    }

    fn load_for_login(&self, key: &SessionKey) -> Result<Option<Record>> {
        match self.load(key) {
            // The new session goes to a plain file then.
            Err(error) if is_of_keyring(&error) && self.place(key) != Some(Place::Keyring) => Ok(None),
            other => other,
        }
    }

    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        let before = self.place(key);
        let now = self.save_in_place(before, key, record)?;
        // The old copy of a session that has moved is older than its tokens.
        for (place, records) in self.records().filter(|(place, _)| *place != now && *place != Place::Keyring) {
            if let Err(error) = records.delete(key) {
                tracing::warn!(%error, ?place, "an old copy of the session stays");
            }
        }
        Ok(())
    }

    fn check_room(&self, key: &SessionKey, len: usize) -> Result<()> {
        self.at(self.place(key).unwrap_or(Place::File)).check_room(key, len)
    }

    fn delete(&self, key: &SessionKey) -> Result<bool> {
        let file = self.file.delete(key);
        let encrypted = self.encrypted.delete(key);
        let in_keyring = self.keyring.index().is_some_and(|index| index.changed_at(key).is_some());
        let keyring = if in_keyring { self.keyring.delete(key) } else { Ok(false) };
        Ok(file? | encrypted? | keyring?)
    }

    fn keys(&self) -> Result<Vec<SessionKey>> {
        let mut keys = Vec::new();
        for (_, records) in self.records() {
            keys.extend(records.keys()?);
        }
        keys.sort_by(|one, two| one.as_str().cmp(two.as_str()));
        keys.dedup();
        Ok(keys)
    }

    fn list(&self) -> Result<Vec<(SessionKey, Record)>> {
        // The sessions in plain files can be listed without any keyring.
        readable(self.keys()?, |key| match self.load(key) {
            Err(error) if is_of_keyring(&error) => {
                tracing::warn!(%error, "a stored session is not listed");
                Ok(None)
            }
            other => other,
        })
    }

    fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        self.file.try_lock(key, kind)
    }

    fn describe(&self) -> StoreDescription {
        let location = self.file.describe().location;
        match self.verdicts.now() {
            Ok(()) => {
                let reason = "auto: the keyring works and keeps the file's key".to_owned();
                StoreDescription { kind: StoreKind::EncryptedFile, reason, location }
            }
            Err(why) => {
                StoreDescription { kind: StoreKind::File, reason: format!("auto: a 0600 file, {why}"), location }
            }
        }
    }

    fn describe_for(&self, key: &SessionKey) -> StoreDescription {
        let described = |place: Place, reason: &str| {
            let StoreDescription { kind, location, .. } = self.at(place).describe();
            StoreDescription { kind, reason: reason.to_owned(), location }
        };
        match self.place(key) {
            None => self.describe(),
            Some(Place::Encrypted) => described(Place::Encrypted, "auto: the file's key is in the keyring"),
            Some(Place::Keyring) => described(Place::Keyring, "auto: this session was signed in with --store keyring"),
            Some(Place::File) => match self.verdicts.now() {
                Err(why) => described(Place::File, &format!("auto: a 0600 file, {why}")),
                Ok(()) => described(
                    Place::File,
                    "auto: this session is in a 0600 file and stays there; a keyring works now, sign out and in again \
                     to encrypt it",
                ),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::private::Durability;
    use super::*;
    use crate::store::record::tests::sample;

    /// Nothing here may ask a keyring: a sealed file that nobody can open stands for one.
    fn store() -> (tempfile::TempDir, AutoStore, SessionKey) {
        let folder = tempfile::tempdir().unwrap();
        let store = AutoStore::new(folder.path(), Keyring::SILENT);
        (folder, store, SessionKey::of_parts([Some("x")]))
    }

    fn age(records: &RecordFolder, key: &SessionKey, seconds: u64) {
        let file = std::fs::File::options().write(true).open(records.path(key)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn the_newest_of_two_copies_counts() {
        let (_keep, store, key) = store();
        assert_eq!(store.place(&key), None);
        store.file.save(&key, &sample()).unwrap();
        store.encrypted.records().write(&key, b"{}", Durability::Crash).unwrap();
        for (file, encrypted, place) in [(1, 2, Place::Encrypted), (2, 1, Place::File)] {
            age(store.file.records(), &key, file);
            age(store.encrypted.records(), &key, encrypted);
            assert_eq!(store.place(&key), Some(place));
        }
        assert_eq!(store.load(&key).unwrap(), Some(sample()));
        assert_eq!(store.keys().unwrap(), std::slice::from_ref(&key));
        // A save leaves one.
        store.save(&key, &sample()).unwrap();
        assert_eq!(store.encrypted.records().changed_at(&key), None);
        assert_eq!(store.list().unwrap(), [(key, sample())]);
    }

    #[test]
    fn a_session_stays_in_its_file() {
        let (_keep, store, key) = store();
        store.file.save(&key, &sample()).unwrap();
        let mut next = sample();
        next.generation += 1;
        store.save(&key, &next).unwrap();
        assert_eq!(store.place(&key), Some(Place::File));
        assert_eq!(store.load(&key).unwrap(), Some(next));
    }

    #[test]
    fn signing_out_removes_every_copy() {
        let (_keep, store, key) = store();
        store.file.save(&key, &sample()).unwrap();
        store.encrypted.records().write(&key, b"{}", Durability::Crash).unwrap();
        assert!(store.delete(&key).unwrap());
        assert_eq!((store.place(&key), store.keys().unwrap()), (None, Vec::new()));
        assert!(!store.delete(&key).unwrap());
    }

    #[test]
    fn a_newer_sealed_record_is_no_lost_session() {
        let (_keep, store, key) = store();
        store.encrypted.records().write(&key, br#"{"schema_version": 99}"#, Durability::Crash).unwrap();
        assert_eq!(store.load(&key).unwrap_err().code(), "store_newer");
        assert_eq!(store.save(&key, &sample()).unwrap_err().code(), "store_newer");
        assert!(store.encrypted.records().changed_at(&key).is_some());
    }
}

//! Records as encrypted files whose key alone is in the operating system's keyring: tokens of any size, one item in the
//! keyring, one question of the keyring to the person.
//!
//! A file whose key cannot be had (a locked keyring, another key) is an error and stays as it is; a login replaces it.

use std::path::Path;

use super::envelope::Envelope;
use super::lock::{self, LockFolder};
use super::os_keyring::Keyring;
use super::records::{RecordFolder, durability_of};
use super::wrapping_key::WrappingKey;
use super::{LockGuard, LockKind, Record, SessionKey, StoreDescription, TokenStore, is_lost, readable};
use crate::config::StoreKind;
use crate::error::Result;

/// Records under `<state folder>/sessions`, one `<key>.sealed` a session.
#[derive(Debug, Clone)]
pub struct EncryptedFileStore {
    records: RecordFolder,
    locks: LockFolder,
    key: WrappingKey,
    reason: String,
}

impl EncryptedFileStore {
    /// Keeps records in `<state>/sessions`; nothing is created, and no keyring asked, until it is used.
    pub fn new(state: &Path, keyring: Keyring, reason: impl Into<String>) -> Self {
        Self {
            records: RecordFolder::new(state, "sealed"),
            locks: lock::in_state(state),
            key: WrappingKey::new(state, keyring),
            reason: reason.into(),
        }
    }

    pub(super) fn records(&self) -> &RecordFolder {
        &self.records
    }

    fn envelope(&self, key: &SessionKey) -> Result<Option<Envelope>> {
        let Some(bytes) = self.records.read(key)? else { return Ok(None) };
        Envelope::parse(&bytes, &self.place(key)).map(Some)
    }

    fn place(&self, key: &SessionKey) -> String {
        self.records.path(key).display().to_string()
    }
}

impl TokenStore for EncryptedFileStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        let Some(envelope) = self.envelope(key)? else { return Ok(None) };
        let sealing = self.key.of_id(&envelope.key_id)?;
        envelope.open(&sealing, key, &self.place(key)).map(Some)
    }

    fn load_for_login(&self, key: &SessionKey) -> Result<Option<Record>> {
        let before = match self.load(key) {
            Err(error) if is_lost(&error) => None,
            other => other?,
        };
        if before.is_none() {
            // Made now if need be: not after the person has signed in.
            self.key.current(None)?;
        }
        Ok(before)
    }

    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        // A newer version's record is not ours to replace.
        let before = match self.envelope(key) {
            Err(error) if error.code() != "store_corrupt" => return Err(error),
            before => before.ok().flatten(),
        };
        let sealing = self.key.current(before.as_ref().map(|envelope| envelope.key_id.as_str()))?;
        self.records.write(key, &Envelope::seal(&sealing, key, record)?, durability_of(record))
    }

    fn check_room(&self, _key: &SessionKey, len: usize) -> Result<()> {
        // Base64 makes it longer by a third.
        self.records.check_room(len * 2)
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
        StoreDescription { kind: StoreKind::EncryptedFile, reason: self.reason.clone(), location }
    }
}

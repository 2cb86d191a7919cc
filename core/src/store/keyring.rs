//! Records in the operating system's keyring, one item a session (`--store keyring`): service `flyte-auth`, user the
//! session's key. Where the platform limits an item (Windows: 2,560 bytes) a larger session is an error that names
//! `encrypted-file`, which has no limit: an item in pieces could be torn by another program or a crash.
//!
//! A keyring cannot be listed by service everywhere, so an empty file `<key>.keyring` beside the locks says which
//! sessions there are. Locks are files, as for every store; without a state folder they hold in this process only, and
//! nothing can be listed.

use std::path::Path;

use super::lock::Locks;
use super::os_keyring::{Keyring, SERVICE};
use super::private::Durability;
use super::records::RecordFolder;
use super::{LockGuard, LockKind, Record, SessionKey, StoreDescription, TokenStore, readable};
use crate::config::StoreKind;
use crate::error::Result;

/// Names the item in errors.
const PLACE: &str = "in the keyring";

/// Records in the keyring.
#[derive(Debug, Clone)]
pub struct KeyringStore {
    keyring: Keyring,
    index: Option<RecordFolder>,
    locks: Locks,
    reason: String,
}

impl KeyringStore {
    /// Locks and the list of keys are in `<state>/sessions`; without a state folder locks hold in this process only.
    pub fn new(state: Option<&Path>, keyring: Keyring, reason: impl Into<String>) -> Self {
        let index = state.map(|state| RecordFolder::new(state, "keyring"));
        Self { keyring, index, locks: Locks::new(state), reason: reason.into() }
    }

    pub(super) fn index(&self) -> Option<&RecordFolder> {
        self.index.as_ref()
    }
}

impl TokenStore for KeyringStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        let Some(bytes) = self.keyring.read(SERVICE, key.as_str())? else { return Ok(None) };
        Record::from_json(&bytes, PLACE).map(Some)
    }

    fn load_for_login(&self, key: &SessionKey) -> Result<Option<Record>> {
        let before = self.load(key)?;
        if before.is_none() {
            // "No such item" can also be said by a keyring that is locked.
            self.keyring.probe()?;
        }
        Ok(before)
    }

    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        // A newer version's record is not ours to replace.
        match self.load(key) {
            Err(error) if error.code() != "store_corrupt" => return Err(error),
            _ => {}
        }
        let label = format!("flyte-auth: session with {}", record.endpoint);
        self.keyring.write(SERVICE, key.as_str(), &label, &record.to_json()?)?;
        // After the item: a list that lacks a session is better than one that names what is not there.
        match &self.index {
            Some(index) => index.write(key, b"", Durability::Crash),
            None => Ok(()),
        }
    }

    fn delete(&self, key: &SessionKey) -> Result<bool> {
        let was_there = self.keyring.delete(SERVICE, key.as_str())?;
        if let Some(index) = &self.index {
            index.delete(key)?;
        }
        Ok(was_there)
    }

    fn keys(&self) -> Result<Vec<SessionKey>> {
        self.index.as_ref().map_or_else(|| Ok(Vec::new()), RecordFolder::keys)
    }

    fn list(&self) -> Result<Vec<(SessionKey, Record)>> {
        readable(self.keys()?, |key| self.load(key))
    }

    fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        self.locks.try_lock(key, kind)
    }

    fn describe(&self) -> StoreDescription {
        StoreDescription { kind: StoreKind::Keyring, reason: self.reason.clone(), location: None }
    }
}

//! Where tokens are kept between processes.
//!
//! The store is hostile: another process, an older version, a full disk, a half-written file. Whoever changes a record
//! holds its lock, re-reads after taking it, and never deletes what somebody else may have just saved.

use std::fmt;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::config::StoreKind;
use crate::error::{Error, ErrorKind, Result};

pub mod auto;
pub mod encrypted_file;
pub(crate) mod envelope;
pub mod file;
pub mod keyring;
mod leftovers;
pub mod lock;
pub mod memory;
mod migration;
pub(crate) mod note;
pub mod open;
pub mod os_keyring;
mod private;
pub mod record;
mod records;
pub(crate) mod verdict;
mod wrapping_key;

pub use record::Record;

/// Names one session: a hash of what is known of it without the network, so that finding it needs no discovery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionKey(String);

impl SessionKey {
    /// The key of these parts, in this order; absent and empty parts differ from each other.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            match part {
                None => hash.update([0]),
                Some(part) => {
                    hash.update([1]);
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part.as_bytes());
                }
            }
        }
        Self(hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// From a stored file's name; `None` if it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }

    /// 32 hex digits, fit for a file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The two locks of a session. They are separate: a login lasts minutes, and a refresh must not wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Short: read, exchange, save.
    Refresh,
    /// Long: one person, one browser tab.
    Login,
}

/// Held until dropped, or until the process ends.
pub trait LockGuard: Send + fmt::Debug {}

/// What `status` says of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDescription {
    /// The kind in use (never `Auto`).
    pub kind: StoreKind,
    /// Why this one, for a person.
    pub reason: String,
    /// Where it keeps records, if that is a place.
    pub location: Option<PathBuf>,
}

/// Keeps records. Calls block (file or keyring): async code goes through `spawn_blocking`.
pub trait TokenStore: Send + Sync + fmt::Debug {
    /// The record, if there is one.
    ///
    /// # Errors
    /// Kind `Store`: unreadable, foreign, or written by a newer version (code `store_newer`), which is left untouched.
    fn load(&self, key: &SessionKey) -> Result<Option<Record>>;
    /// As [`TokenStore::load`], for a login that will replace the record: what cannot be read is no obstacle, a store that
    /// could not keep the new record is.
    ///
    /// # Errors
    /// Kind `Store`.
    fn load_for_login(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.load(key)
    }
    /// Saves the record durably: when this returns, a crash keeps it.
    ///
    /// # Errors
    /// Kind `Store`.
    fn save(&self, key: &SessionKey, record: &Record) -> Result<()>;
    /// Whether a record of `len` bytes could be saved now: asked before a refresh token is used up.
    ///
    /// # Errors
    /// Kind `Store`, as `save` would give it: no space, no permission.
    fn check_room(&self, key: &SessionKey, len: usize) -> Result<()> {
        let _ = (key, len);
        Ok(())
    }
    /// Removes the record; whether there was one.
    ///
    /// # Errors
    /// Kind `Store`.
    fn delete(&self, key: &SessionKey) -> Result<bool>;
    /// Every record that can be read.
    ///
    /// # Errors
    /// Kind `Store`, where the place itself cannot be read.
    fn list(&self) -> Result<Vec<(SessionKey, Record)>>;
    /// The key of every record, also of those that cannot be read.
    ///
    /// # Errors
    /// As [`TokenStore::list`].
    fn keys(&self) -> Result<Vec<SessionKey>> {
        Ok(self.list()?.into_iter().map(|(key, _)| key).collect())
    }
    /// Takes the lock if nobody holds it; `Err` of the inner result tells who does, where that is known.
    ///
    /// # Errors
    /// Kind `Store`.
    fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>>;
    /// What it is and why.
    fn describe(&self) -> StoreDescription;
    /// What keeps this session, and why: a store that chooses may have chosen otherwise for another.
    fn describe_for(&self, _key: &SessionKey) -> StoreDescription {
        self.describe()
    }
}

/// What `load` can read of these keys, by endpoint. One damaged record must not hide the others; a keyring that cannot be
/// used hides them all, which is no empty list.
fn readable(
    keys: Vec<SessionKey>,
    load: impl Fn(&SessionKey) -> Result<Option<Record>>,
) -> Result<Vec<(SessionKey, Record)>> {
    let mut found = Vec::new();
    for key in keys {
        match load(&key) {
            Ok(record) => found.extend(record.map(|record| (key, record))),
            Err(error) if is_of_keyring(&error) => return Err(error),
            Err(_) => {}
        }
    }
    found.sort_by(|(_, one), (_, two)| one.endpoint.cmp(&two.endpoint));
    Ok(found)
}

/// Whether the keyring itself is the trouble: absent, locked, silent.
fn is_of_keyring(error: &Error) -> bool {
    error.code().starts_with("keyring_")
}

/// Whether the record's key is gone for good: waiting will not bring it back, a login replaces the record.
fn is_lost(error: &Error) -> bool {
    matches!(error.code(), "store_key_missing" | "store_other_key")
}

/// A store error: names the place and the next step.
pub(crate) fn store_error(code: &'static str, message: String, next: &str) -> Error {
    Error::new(ErrorKind::Store, code, message).with_next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let key = |parts: &[Option<&str>]| SessionKey::of_parts(parts.iter().copied());
        assert_ne!(key(&[Some("ab"), Some("c")]), key(&[Some("a"), Some("bc")]));
        assert_ne!(key(&[Some("a"), None]), key(&[Some("a"), Some("")]));
        assert_ne!(key(&[Some("a")]), key(&[Some("a"), None]));
        assert_eq!(key(&[Some("a")]), key(&[Some("a")]));
        assert_eq!(SessionKey::parse(key(&[]).as_str()), Some(key(&[])));
        assert_eq!(SessionKey::parse("../../etc/passwd"), None);
    }
}

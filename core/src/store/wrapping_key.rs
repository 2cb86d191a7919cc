//! The key of the encrypted files: one item in the operating system's keyring for each state folder, made once, under a
//! lock file, by whichever process comes first; later ones read what the first wrote. A malformed item is replaced in
//! place: deleting and creating anew would leave an instant without a key, and on macOS would ask the person again.
//!
//! A process reads the key once. It reads it again when a file names another key: somebody has made a new one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::envelope::{KEY_LENGTH, SealingKey};
use super::lock::{self, LockFolder};
use super::os_keyring::{Keyring, SERVICE};
use super::store_error;
use crate::clock::{Entropy as _, SystemEntropy};
use crate::error::{Error, Result};

/// Says what the rest of the item is. Text: every tool can show and copy it.
const PREFIX: &str = "flyte-auth-key-1:";
/// Longer than a keyring takes for reading, writing and reading again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The key, once it was needed.
#[derive(Debug, Clone)]
pub(super) struct WrappingKey {
    state: PathBuf,
    keyring: Keyring,
    locks: LockFolder,
    known: Arc<Mutex<Option<Arc<SealingKey>>>>,
}

impl WrappingKey {
    pub(super) fn new(state: &Path, keyring: Keyring) -> Self {
        Self { state: state.to_owned(), keyring, locks: lock::in_state(state), known: Arc::default() }
    }

    /// The key of this id.
    ///
    /// # Errors
    /// As [`Keyring::read`]; `store_key_missing` if the keyring has none, `store_other_key` if it has another.
    pub(super) fn of_id(&self, id: &str) -> Result<Arc<SealingKey>> {
        if let Some(known) = self.known().filter(|known| known.id() == id) {
            return Ok(known);
        }
        match self.read()? {
            Some(key) if key.id() == id => Ok(self.remember(key)),
            Some(_) => Err(lost("store_other_key", "the stored session was encrypted with another key")),
            None => Err(lost("store_key_missing", "the key of the stored session is not in the keyring")),
        }
    }

    /// The key to seal with, made if there is none. `in_use` is the key of the file that will be replaced: while it is
    /// the one that is known here, nothing is asked.
    ///
    /// # Errors
    /// As [`Keyring::write`]; kind `Store` if the lock file cannot be had.
    pub(super) fn current(&self, in_use: Option<&str>) -> Result<Arc<SealingKey>> {
        if let Some(known) = self.known().filter(|known| in_use == Some(known.id())) {
            return Ok(known);
        }
        if let Some(key) = self.read()? {
            return Ok(self.remember(key));
        }
        let _lock = self.locks.wait_for("key", LOCK_TIMEOUT)?;
        // Whoever had the lock before us has made it.
        if let Some(key) = self.read()? {
            return Ok(self.remember(key));
        }
        let mut bytes = Zeroizing::new([0_u8; KEY_LENGTH]);
        SystemEntropy.fill(&mut *bytes);
        let text = Zeroizing::new(format!("{PREFIX}{}", BASE64.encode(*bytes)));
        let label = format!("flyte-auth: key of the sessions in {}", self.state.display());
        self.keyring.write(SERVICE, &self.user(), &label, text.as_bytes())?;
        // What counts is what others will read.
        let key = self.read()?;
        key.map(|key| self.remember(key)).ok_or_else(|| {
            store_error(
                "keyring_failed",
                "the keyring did not keep the key that was just written".to_owned(),
                "Use another store, for example --store file",
            )
        })
    }

    /// The item's user: the folder, so that two state folders (a test's, another tool's) never share a key.
    fn user(&self) -> String {
        let folder = std::fs::canonicalize(&self.state).unwrap_or_else(|_| self.state.clone());
        let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
        format!("file-key-{}", digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// A malformed item is none.
    fn read(&self) -> Result<Option<SealingKey>> {
        let Some(text) = self.keyring.read(SERVICE, &self.user())? else { return Ok(None) };
        let encoded = std::str::from_utf8(&text).ok().and_then(|text| text.trim().strip_prefix(PREFIX));
        let bytes = encoded.and_then(|encoded| BASE64.decode(encoded).ok()).map(Zeroizing::new);
        Ok(bytes.and_then(|bytes| SealingKey::new(&bytes)))
    }

    fn known(&self) -> Option<Arc<SealingKey>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, key: SealingKey) -> Arc<SealingKey> {
        let key = Arc::new(key);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&key));
        key
    }
}

fn lost(code: &'static str, what: &str) -> Error {
    store_error(code, what.to_owned(), "Restore the keyring, or sign in again: flyte-auth login")
}

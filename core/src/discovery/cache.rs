//! What was discovered, in memory and on disk. Never fatal: a folder that cannot be written and a file that cannot be
//! read cost a round trip, no more.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::Discovery;
use crate::clock::{Clock, Timestamp};

/// How long a found authorization server is believed: a working day, so that the hourly refresh costs no discovery. A
/// change of the authorization server is rare, and contradicting behaviour drops the entry at once.
pub const AUTH_LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);
/// How long "no auth here" is believed: shorter, because nothing contradicts it but the calls of other programs.
pub const NO_AUTH_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// A file from further in the future than this was written with another clock.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Raised when the form of [`Entry`] changes; other versions are passed over, never overwritten by an older program's
/// reading but only by its own new answer.
const VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    version: u32,
    key: String,
    /// Milliseconds since the epoch.
    fetched_at: i64,
    pub(crate) discovery: Discovery,
}

impl Entry {
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        let fetched_at = Timestamp::from_millis(self.fetched_at);
        let lifetime = match self.discovery {
            Discovery::Auth(_) => AUTH_LIFETIME,
            Discovery::NoAuth { .. } => NO_AUTH_LIFETIME,
        };
        fetched_at <= now.plus(CLOCK_SKEW) && now < fetched_at.plus(lifetime)
    }
}

type Turns = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

#[derive(Debug)]
pub(super) struct Cache {
    clock: Arc<dyn Clock>,
    folder: Option<PathBuf>,
    entries: Mutex<HashMap<String, Entry>>,
    turns: Mutex<Turns>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    pub(super) fn new(clock: Arc<dyn Clock>, folder: Option<PathBuf>) -> Self {
        Self { clock, folder, entries: Mutex::default(), turns: Mutex::default() }
    }

    /// The right to ask the network about `key`.
    pub(super) async fn turn(&self, key: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = Arc::clone(locked(&self.turns).entry(key.to_owned()).or_default());
        turn.lock_owned().await
    }

    pub(super) fn fresh(&self, key: &str) -> Option<Discovery> {
        self.entry(key).filter(|entry| entry.is_fresh(self.clock.now())).map(|entry| entry.discovery)
    }

    pub(super) fn any(&self, key: &str) -> Option<Discovery> {
        self.entry(key).map(|entry| entry.discovery)
    }

    fn entry(&self, key: &str) -> Option<Entry> {
        if let Some(entry) = locked(&self.entries).get(key)
            && entry.is_fresh(self.clock.now())
        {
            return Some(entry.clone());
        }
        // Another process may have asked since.
        match self.file(key).and_then(|file| read(&file, key)) {
            Some(entry) => {
                locked(&self.entries).insert(key.to_owned(), entry.clone());
                Some(entry)
            }
            None => locked(&self.entries).get(key).cloned(),
        }
    }

    pub(super) fn keep(&self, key: &str, discovery: &Discovery) {
        let fetched_at = self.clock.now().as_millis();
        let entry = Entry { version: VERSION, key: key.to_owned(), fetched_at, discovery: discovery.clone() };
        if let (Some(folder), Some(file)) = (&self.folder, self.file(key))
            && let Err(error) = write(folder, &file, &entry)
        {
            tracing::debug!(%error, "the metadata cache cannot be written");
        }
        locked(&self.entries).insert(key.to_owned(), entry);
    }

    pub(super) fn forget(&self, key: &str) -> bool {
        let in_memory = locked(&self.entries).remove(key).is_some();
        let on_disk = self.file(key).is_some_and(|file| std::fs::remove_file(file).is_ok());
        in_memory || on_disk
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        let digest = sha2::Sha256::digest(key.as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.as_ref().map(|folder| folder.join(format!("{name}.json")))
    }
}

fn read(file: &Path, key: &str) -> Option<Entry> {
    parse(&std::fs::read(file).ok()?, key)
}

/// The entry of these bytes, if it is one of this form for `key`.
pub(crate) fn parse(bytes: &[u8], key: &str) -> Option<Entry> {
    let entry: Entry = serde_json::from_slice(bytes).ok()?;
    (entry.version == VERSION && entry.key == key).then_some(entry)
}

/// Readers see the old file or the new one. Nothing in it is secret, but it says whom this user talks to: 0600.
fn write(folder: &Path, file: &Path, entry: &Entry) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&serde_json::to_vec(entry)?)?;
    new.persist(file)?;
    Ok(())
}

//! One file a session in a private folder: what the file stores share.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::private::{
    Durability, check_folder, create_private_folder, open_private, sync_folder, unreadable, unwritable, write_private,
};
use super::{Record, SessionKey, leftovers, store_error};
use crate::error::Result;

/// Larger than any record: two tokens of 1 MiB with room to spare.
const MAX_RECORD: u64 = 4 * 1024 * 1024;

/// `<state folder>/sessions/<key>.<suffix>`.
#[derive(Debug, Clone)]
pub(super) struct RecordFolder {
    folder: PathBuf,
    suffix: &'static str,
}

/// A refresh token exists nowhere else: it must survive a power cut. Anything else can be asked for again, and two syncs
/// take longer than asking.
pub(super) fn durability_of(record: &Record) -> Durability {
    if record.refresh_token.is_some() { Durability::PowerCut } else { Durability::Crash }
}

impl RecordFolder {
    pub(super) fn new(state: &Path, suffix: &'static str) -> Self {
        Self { folder: state.join("sessions"), suffix }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, key: &SessionKey) -> PathBuf {
        self.folder.join(format!("{}.{}", key.as_str(), self.suffix))
    }

    pub(super) fn read(&self, key: &SessionKey) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let path = self.path(key);
        if !check_folder(&self.folder)? {
            return Ok(None);
        }
        let Some(file) = open_private(&path)? else { return Ok(None) };
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        file.take(MAX_RECORD + 1).read_to_end(&mut bytes).map_err(|cause| unreadable(&path, cause))?;
        Ok(Some(bytes))
    }

    /// Replaces the file as a whole.
    pub(super) fn write(&self, key: &SessionKey, bytes: &[u8], durability: Durability) -> Result<()> {
        if bytes.len() as u64 > MAX_RECORD {
            let what = format!("the session is too large to be stored ({} bytes)", bytes.len());
            return Err(store_error("store_too_large", what, "Ask for fewer groups or claims in the token"));
        }
        create_private_folder(&self.folder)?;
        let path = self.path(key);
        // Under the refresh lock nobody else writes this file: whoever began to is dead.
        leftovers::sweep(&path, Duration::ZERO);
        write_private(&path, bytes, durability)
    }

    /// Whether a file of `len` bytes could be written now.
    pub(super) fn check_room(&self, len: usize) -> Result<()> {
        create_private_folder(&self.folder)?;
        let mut trial = tempfile::tempfile_in(&self.folder).map_err(|cause| unwritable(&self.folder, cause))?;
        trial.write_all(&vec![0; len]).map_err(|cause| unwritable(&self.folder, cause))
    }

    /// Removes the file; whether there was one.
    pub(super) fn delete(&self, key: &SessionKey) -> Result<bool> {
        if !check_folder(&self.folder)? {
            return Ok(false);
        }
        let path = self.path(key);
        leftovers::sweep(&path, Duration::ZERO);
        match fs::remove_file(&path) {
            Ok(()) => {
                sync_folder(&self.folder);
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(unwritable(&path, cause)),
        }
    }

    /// The keys of all files, readable or not.
    pub(super) fn keys(&self) -> Result<Vec<SessionKey>> {
        if !check_folder(&self.folder)? {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&self.folder).map_err(|cause| unreadable(&self.folder, cause))?;
        let key = |name: &str| SessionKey::parse(name.strip_suffix(self.suffix)?.strip_suffix('.')?);
        let mut keys: Vec<_> = entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(key)).collect();
        keys.sort_by(|one, two| one.as_str().cmp(two.as_str()));
        Ok(keys)
    }

    /// When the file was replaced last; `None` if there is none. Any kind of file counts: reading it will tell.
    pub(super) fn changed_at(&self, key: &SessionKey) -> Option<SystemTime> {
        let metadata = fs::symlink_metadata(self.path(key)).ok()?;
        Some(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH))
    }
}

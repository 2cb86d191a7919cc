//! Records as 0600 files in a 0700 folder, one a session, replaced atomically; lock files beside them, never deleted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::lock::{self, LockFolder};
use super::{LockGuard, LockKind, Record, SessionKey, StoreDescription, TokenStore, store_error};
use crate::config::StoreKind;
use crate::error::{Error, Result};
use crate::testing::stop_point;

/// Larger than any record: two tokens of 1 MiB with room to spare.
const MAX_RECORD: u64 = 4 * 1024 * 1024;

/// Records under `<state folder>/sessions`.
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: PathBuf,
    locks: LockFolder,
    reason: String,
}

impl FileStore {
    /// Keeps records in `<state>/sessions`; nothing is created until something is saved. `reason` is shown by `status`.
    pub fn new(state: &Path, reason: impl Into<String>) -> Self {
        Self { folder: state.join("sessions"), locks: lock::in_state(state), reason: reason.into() }
    }

    fn path(&self, key: &SessionKey) -> PathBuf {
        self.folder.join(format!("{}.json", key.as_str()))
    }

    fn prepare(&self) -> Result<()> {
        create_private_folder(&self.folder)?;
        // Somebody else's folder could be swapped under us between any two steps.
        check_owner(&self.folder, &fs::symlink_metadata(&self.folder).map_err(|cause| unreadable(&self.folder, cause))?)
    }

    fn read(&self, path: &Path) -> Result<Option<Record>> {
        let Some(mut file) = open_private(path)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(4096);
        (&mut file).take(MAX_RECORD).read_to_end(&mut bytes).map_err(|cause| unreadable(path, cause))?;
        Record::from_json(&bytes, &path.display().to_string()).map(Some)
    }
}

impl TokenStore for FileStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.read(&self.path(key))
    }

    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        self.prepare()?;
        let path = self.path(key);
        // A newer version's record is not ours to replace.
        match self.read(&path) {
            Err(error) if error.code() != "store_corrupt" => return Err(error),
            _ => {}
        }
        // A refresh token exists nowhere else: it must survive a power cut. Anything else can be asked for again, and
        // two syncs take longer than asking.
        let durability = if record.refresh_token.is_some() { Durability::PowerCut } else { Durability::Crash };
        write_private(&path, &record.to_json()?, durability)
    }

    fn delete(&self, key: &SessionKey) -> Result<bool> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => {
                sync_folder(&self.folder);
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(unwritable(&path, cause)),
        }
    }

    fn list(&self) -> Result<Vec<(SessionKey, Record)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(unreadable(&self.folder, cause)),
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(key) = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(SessionKey::parse)
            else {
                continue;
            };
            // One damaged record must not hide the others.
            if let Ok(Some(record)) = self.read(&entry.path()) {
                found.push((key, record));
            }
        }
        found.sort_by(|(_, one), (_, two)| one.endpoint.cmp(&two.endpoint));
        Ok(found)
    }

    fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        self.prepare()?;
        self.locks.try_lock(key, kind)
    }

    fn describe(&self) -> StoreDescription {
        StoreDescription { kind: StoreKind::File, reason: self.reason.clone(), location: Some(self.folder.clone()) }
    }
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    store_error(
        "store_read",
        format!("the token store {} cannot be read: {cause}", path.display()),
        "Check its owner and permissions, or choose another place with FLYTE_AUTH_HOME",
    )
    .with_source(cause)
}

pub(super) fn unwritable(path: &Path, cause: io::Error) -> Error {
    store_error(
        "store_write",
        format!("the token store {} cannot be written: {cause}", path.display()),
        "Check disk space, owner and permissions, or choose another place with FLYTE_AUTH_HOME",
    )
    .with_source(cause)
}

fn refused(path: &Path, why: &str) -> Error {
    store_error(
        "store_refused",
        format!("the token store {} is not used: {why}", path.display()),
        "Remove it, or choose another place with FLYTE_AUTH_HOME",
    )
}

/// Creates a folder that only its owner can enter; an existing one is left as it is.
///
/// # Errors
/// Kind `Store`.
pub fn create_private_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|cause| unwritable(folder, cause))
}

/// What a written file must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process at any instant.
    Crash,
    /// The end of the machine: file and folder are synced.
    PowerCut,
}

/// Writes a 0600 file so that a reader sees the old bytes or the new.
///
/// # Errors
/// Kind `Store`.
pub fn write_private(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let folder = path.parent().ok_or_else(|| refused(path, "it has no folder"))?;
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(refused(path, "it is not a plain file"));
    }
    // tempfile creates with 0600 and O_EXCL, under any umask.
    let mut fresh = tempfile::NamedTempFile::new_in(folder).map_err(|cause| unwritable(folder, cause))?;
    fresh.write_all(bytes).map_err(|cause| unwritable(path, cause))?;
    stop_point("save.file_written");
    if durability == Durability::PowerCut {
        fresh.as_file().sync_all().map_err(|cause| unwritable(path, cause))?;
    }
    stop_point("save.file_synced");
    fresh.persist(path).map_err(|cause| unwritable(path, cause.error))?;
    stop_point("save.renamed");
    if durability == Durability::PowerCut {
        sync_folder(folder);
    }
    stop_point("save.folder_synced");
    Ok(())
}

/// The rename itself must survive a power cut. Some file systems cannot sync a folder; the file is whole either way.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Opens a file that only its owner could have written; `None` if it does not exist.
///
/// # Errors
/// `store_refused` for symbolic links, foreign owners and what is no plain file; `store_read` otherwise.
pub fn open_private(path: &Path) -> Result<Option<File>> {
    open_checked(OpenOptions::new().read(true), path)
}

/// Opens a file, new or of the kind that [`open_private`] opens, to write at its end.
///
/// # Errors
/// As [`open_private`].
pub fn append_private(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    open_checked(&mut options, path)?.ok_or_else(|| refused(path, "its folder is gone"))
}

fn open_checked(options: &mut OpenOptions, path: &Path) -> Result<Option<File>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // A planted pipe must not block the open.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            return Err(refused(path, "it is a symbolic link"));
        }
        Err(cause) => return Err(unreadable(path, cause)),
    };
    let metadata = file.metadata().map_err(|cause| unreadable(path, cause))?;
    if !metadata.is_file() {
        return Err(refused(path, "it is not a plain file"));
    }
    check_owner(path, &metadata)?;
    tighten(&file, &metadata);
    Ok(Some(file))
}

#[cfg(unix)]
fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let us = rustix::process::geteuid().as_raw();
    // Root's files are as safe as the system; containers map the home folder to it.
    if metadata.uid() != us && metadata.uid() != 0 {
        return Err(refused(path, "it belongs to another user"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_path: &Path, _metadata: &fs::Metadata) -> Result<()> {
    Ok(())
}

/// A restored backup or a copy may be readable by others: take that away.
#[cfg(unix)]
fn tighten(file: &File, metadata: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o077 != 0 {
        let _ = file.set_permissions(fs::Permissions::from_mode(0o600));
    }
}

#[cfg(not(unix))]
fn tighten(_file: &File, _metadata: &fs::Metadata) {}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

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
        assert_eq!((mode(&store.folder), mode(&store.path(&key))), (0o700, 0o600));
        assert!(store.delete(&key).unwrap());
        assert!(!store.delete(&key).unwrap());
    }

    #[test]
    fn loose_permissions_are_tightened() {
        let (_keep, store, key) = store();
        store.save(&key, &sample()).unwrap();
        fs::set_permissions(store.path(&key), fs::Permissions::from_mode(0o644)).unwrap();
        store.load(&key).unwrap();
        assert_eq!(mode(&store.path(&key)), 0o600);
    }

    #[test]
    fn links_and_other_things_are_refused() {
        let (keep, store, key) = store();
        store.save(&key, &sample()).unwrap();
        let elsewhere = keep.path().join("elsewhere");
        fs::rename(store.path(&key), &elsewhere).unwrap();
        symlink(&elsewhere, store.path(&key)).unwrap();
        assert_eq!(store.load(&key).unwrap_err().code(), "store_refused");
        assert_eq!(store.save(&key, &sample()).unwrap_err().code(), "store_refused");
        fs::remove_file(store.path(&key)).unwrap();
        fs::create_dir(store.path(&key)).unwrap();
        assert_eq!(store.load(&key).unwrap_err().code(), "store_refused");
    }

    #[test]
    fn a_newer_record_is_left_untouched_and_a_damaged_one_replaced() {
        let (_keep, store, key) = store();
        let mut newer = sample();
        newer.schema_version += 1;
        store.prepare().unwrap();
        fs::write(store.path(&key), newer.to_json().unwrap()).unwrap();
        assert_eq!(store.load(&key).unwrap_err().code(), "store_newer");
        assert_eq!(store.save(&key, &sample()).unwrap_err().code(), "store_newer");
        assert_eq!(fs::read(store.path(&key)).unwrap(), newer.to_json().unwrap());
        fs::write(store.path(&key), b"{half").unwrap();
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

//! The two locks of a session: advisory locks of the operating system (`flock`, `LockFileEx`) on files of their own,
//! never deleted. They end with their process, and forked children do not inherit them ([`crate::fork`]).

use std::fs::{OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::memory::MemoryStore;
use super::private::{create_private_folder, unwritable};
use super::{LockGuard, LockKind, SessionKey, TokenStore as _, store_error};
use crate::error::{Error, Result};
use crate::fork::ForkSafe;

/// Lock files under `<state folder>/sessions`, whatever store keeps the records.
#[derive(Debug, Clone)]
pub struct LockFolder {
    folder: PathBuf,
}

#[derive(Debug)]
struct FileLock {
    _held_while_open: ForkSafe,
}

impl LockGuard for FileLock {}

impl LockFolder {
    /// Lock files in `folder`, which is created with the first of them.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, key: &SessionKey, kind: LockKind) -> PathBuf {
        let suffix = match kind {
            LockKind::Refresh => "refresh",
            LockKind::Login => "login",
        };
        self.folder.join(format!("{}.{suffix}.lock", key.as_str()))
    }

    /// Takes the lock if nobody holds it; `Err` of the inner result tells who does, where that is known.
    ///
    /// # Errors
    /// Kind `Store`: the folder or the file cannot be made, or the file system has no locks (`lock_unsupported`).
    pub fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        self.try_path(&self.path(key, kind))
    }

    /// Takes the lock of this name, for work that takes moments; blocks for `timeout` at most.
    ///
    /// # Errors
    /// As [`LockFolder::try_lock`]; `lock_timeout`.
    pub(super) fn wait_for(&self, name: &str, timeout: Duration) -> Result<Box<dyn LockGuard>> {
        let path = self.folder.join(format!("{name}.lock"));
        let deadline = Instant::now() + timeout;
        loop {
            let holder = match self.try_path(&path)? {
                Ok(guard) => return Ok(guard),
                Err(holder) => holder,
            };
            if Instant::now() >= deadline {
                return Err(timed_out(holder, &path.display().to_string(), timeout));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn try_path(&self, path: &Path) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        create_private_folder(&self.folder)?;
        let mut held = ForkSafe::open(|| options().open(path)).map_err(|cause| unwritable(path, cause))?;
        match held.file().try_lock() {
            Ok(()) => {
                // For the message of whoever finds it taken. The kernel holds the lock; the text decides nothing.
                note_holder(held.file());
                Ok(Ok(Box::new(FileLock { _held_while_open: held })))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = held.file().take(32).read_to_string(&mut text);
                Ok(Err(text.trim().parse().ok()))
            }
            Err(TryLockError::Error(cause)) => Err(self.refusal(path, cause)),
        }
    }

    /// A file system without locks (NFS without its lock service, some FUSE file systems) is told from any other trouble.
    fn refusal(&self, path: &Path, cause: std::io::Error) -> Error {
        #[cfg(unix)]
        let without = [libc::ENOLCK, libc::EOPNOTSUPP, libc::ENOTSUP, libc::ENOSYS, libc::EINVAL];
        // ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED.
        #[cfg(not(unix))]
        let without = [1, 50];
        let unsupported = cause.kind() == std::io::ErrorKind::Unsupported
            || cause.raw_os_error().is_some_and(|code| without.contains(&code));
        if !unsupported {
            return unwritable(path, cause);
        }
        store_error(
            "lock_unsupported",
            format!("the file system of {} has no file locks: {cause}", self.folder.display()),
            "Set FLYTE_AUTH_HOME to a folder on a local disk",
        )
        .with_source(cause)
    }
}

/// Where a store's locks are: in files, which every process sees, or, without any folder, in this process only.
#[derive(Debug, Clone)]
pub(super) enum Locks {
    Folder(LockFolder),
    Process(MemoryStore),
}

impl Locks {
    pub(super) fn new(state: Option<&Path>) -> Self {
        match state {
            Some(state) => Self::Folder(in_state(state)),
            None => Self::Process(MemoryStore::keeping_nothing()),
        }
    }

    pub(super) fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        match self {
            Self::Folder(folder) => folder.try_lock(key, kind),
            Self::Process(process) => process.try_lock(key, kind),
        }
    }
}

fn note_holder(file: &mut std::fs::File) {
    let _ = file.set_len(0);
    let _ = file.rewind();
    let _ = write!(file, "{}", std::process::id());
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
        options.custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default());
    }
    options
}

/// The error of whoever waited for a lock in vain: `what` says which, for a person.
pub(crate) fn timed_out(holder: Option<u32>, what: &str, waited: Duration) -> Error {
    let by = holder.map_or_else(|| "another process".to_owned(), describe_holder);
    let message = format!("{by} has held {what} for {} s", waited.as_secs());
    store_error("lock_timeout", message, "Wait for it or end it, then try again").with_retryable(true)
}

/// A lock's holder, for a message: `pid 12 (python3)`, or the number alone where the system does not name it.
pub fn describe_holder(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    match name.trim() {
        "" => format!("pid {pid}"),
        name => format!("pid {pid} ({name})"),
    }
}

/// Where the locks of a state folder are.
pub fn in_state(state: &Path) -> LockFolder {
    LockFolder::new(state.join("sessions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_exclude_name_their_holder_and_end_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let locks = in_state(folder.path());
        let key = SessionKey::of_parts([Some("x")]);
        let held = locks.try_lock(&key, LockKind::Refresh).unwrap().unwrap();
        assert_eq!(locks.try_lock(&key, LockKind::Refresh).unwrap().unwrap_err(), Some(std::process::id()));
        assert!(locks.try_lock(&key, LockKind::Login).unwrap().is_ok(), "the two locks are separate");
        drop(held);
        assert!(locks.try_lock(&key, LockKind::Refresh).unwrap().is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_named() {
        let locks = in_state(Path::new("/state"));
        for code in [libc::ENOLCK, libc::EOPNOTSUPP, libc::ENOSYS] {
            let error = locks.refusal(Path::new("/state/sessions/x.lock"), std::io::Error::from_raw_os_error(code));
            assert_eq!(error.code(), "lock_unsupported");
            let text = error.to_string();
            assert!(text.contains("/state/sessions") && text.contains("FLYTE_AUTH_HOME"), "{text}");
        }
        let other = locks.refusal(Path::new("/state/x"), std::io::Error::from_raw_os_error(libc::EIO));
        assert_eq!(other.code(), "store_write");
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let locks = in_state(folder.path());
        let key = SessionKey::of_parts([Some("x")]);
        drop(locks.try_lock(&key, LockKind::Login).unwrap());
        let path = locks.path(&key, LockKind::Refresh);
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert_eq!(locks.try_lock(&key, LockKind::Refresh).unwrap_err().kind(), crate::ErrorKind::Store);
        assert_eq!(std::fs::read_to_string(precious).unwrap(), "kept");
    }
}

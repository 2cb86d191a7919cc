//! The file of the database: this user's, and readable by nobody else.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use flyte_auth::error::{Error, ErrorKind, Result};

use super::error::SETTING;
use crate::private_file;

/// Makes the file where there is none, with mode 0600 (SQLite gives its `-wal` and `-shm` the same), and its folder with
/// 0700. Refuses what is not a plain file, and what belongs to somebody else.
///
/// A file that is there is looked at by name and never opened: closing any descriptor of it would drop the locks that
/// SQLite holds on it in this process (<https://sqlite.org/howtocorrupt.html> section 2.2).
///
/// Returns the absolute path: `file:a` and `:memory:` are names of files here, but would mean something else to SQLite.
pub(super) fn prepare(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(|cause| unavailable(path, "its path is not usable", cause))?;
    make(&path)?;
    Ok(path)
}

fn make(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        private_file::create_folder(folder).map_err(|cause| unavailable(path, "its folder cannot be made", cause))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
        Err(cause) => return Err(unavailable(path, "it cannot be made", cause)),
    }
    check(path)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut name = OsString::from(path);
        name.push(suffix);
        check(Path::new(&name))?;
    }
    Ok(())
}

fn check(path: &Path) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(unavailable(path, "it cannot be looked at", cause)),
    };
    if metadata.is_symlink() {
        return Err(refused(path, "it is a symbolic link"));
    }
    if !metadata.is_file() {
        return Err(refused(path, "it is not a plain file"));
    }
    #[cfg(unix)]
    check_unix(path, &metadata)?;
    Ok(())
}

#[cfg(unix)]
fn check_unix(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let us = rustix::process::geteuid().as_raw();
    // Root's files are as safe as the system.
    if metadata.uid() != us && metadata.uid() != 0 {
        return Err(refused(path, "it belongs to another user"));
    }
    // A restored backup may be readable by others, and Kubernetes opens a volume's files to `fsGroup` at each mount.
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        let tightened = fs::Permissions::from_mode(mode & 0o700);
        fs::set_permissions(path, tightened).map_err(|_| refused(path, "others may read it"))?;
    }
    Ok(())
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Store, "database_refused", format!("{} is not used as the database: {why}", path.display()))
        .with_setting(SETTING)
        .with_next(format!("Name a file in {SETTING} that belongs to this user alone"))
}

fn unavailable(path: &Path, what: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("cannot use the database {}: {what}: {cause}", path.display());
    Error::new(ErrorKind::Store, "database_unavailable", message)
        .with_setting(SETTING)
        .with_next(format!("Name a file in {SETTING}, in a folder that this user may write to"))
        .with_source(cause)
}

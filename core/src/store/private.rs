//! Files that only their owner can read or could have written: 0600 in 0700 folders, replaced atomically, symbolic links
//! and foreign owners refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::{leftovers, store_error};
use crate::error::{Error, Result};
use crate::testing::{Facts, stop_point_with};

pub(super) fn unreadable(path: &Path, cause: io::Error) -> Error {
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

pub(super) fn refused(path: &Path, why: &str) -> Error {
    store_error(
        "store_refused",
        format!("the token store {} is not used: {why}", path.display()),
        "Remove it, or choose another place with FLYTE_AUTH_HOME",
    )
}

/// Creates a folder that only its owner can enter, and its parents; an existing one must pass the same checks.
///
/// # Errors
/// Kind `Store`.
pub fn create_private_folder(folder: &Path) -> Result<()> {
    if check_folder(folder)? {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|cause| unwritable(folder, cause))?;
    // What is synced in it later must not vanish with the folder itself.
    if let Some(parent) = folder.parent() {
        sync_folder(parent);
    }
    // Somebody may have been quicker, with something else.
    check_folder(folder).map(drop)
}

/// Whether the folder exists; a link or a foreign owner is refused, and what others may do in it is taken away: whoever
/// can swap the folder can swap every file in it.
///
/// # Errors
/// `store_refused`, `store_read`.
pub(super) fn check_folder(folder: &Path) -> Result<bool> {
    let metadata = match fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(unreadable(folder, cause)),
    };
    if metadata.is_symlink() {
        return Err(refused(folder, "it is a symbolic link"));
    }
    if !metadata.is_dir() {
        return Err(refused(folder, "it is not a folder"));
    }
    check_owner(folder, &metadata)?;
    close_to_others(folder, &metadata);
    Ok(true)
}

#[cfg(unix)]
fn close_to_others(folder: &Path, metadata: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o077 != 0 {
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    }
}

#[cfg(not(unix))]
fn close_to_others(_folder: &Path, _metadata: &fs::Metadata) {}

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
    leftovers::sweep(path, leftovers::CERTAINLY_DEAD);
    let mut fresh = leftovers::create(path, folder).map_err(|cause| unwritable(folder, cause))?;
    fresh.write_all(bytes).map_err(|cause| unwritable(path, cause))?;
    stop_point_with("save.file_written", Facts::Folder(folder));
    if durability == Durability::PowerCut {
        fresh.as_file().sync_all().map_err(|cause| unwritable(path, cause))?;
    }
    stop_point_with("save.file_synced", Facts::Folder(folder));
    fresh.persist(path).map_err(|cause| unwritable(path, cause.error))?;
    stop_point_with("save.renamed", Facts::Folder(folder));
    if durability == Durability::PowerCut {
        sync_folder(folder);
    }
    stop_point_with("save.folder_synced", Facts::Folder(folder));
    Ok(())
}

/// The rename itself must survive a power cut. Some file systems cannot sync a folder; the file is whole either way.
pub(super) fn sync_folder(folder: &Path) {
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

//! Files that only this user may read, replaced in one step: a crash leaves the old content or the new, never half.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use flyte_auth::error::{Error, ErrorKind, Result};

/// Creates `folder` (and its parents) for this user only.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| failed("create the folder", folder, error))
}

/// Writes `content` to `path` with mode 0600.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let attempt = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    attempt().map_err(|error| failed("write", path, error))
}

/// Reads `path`; `None` if it does not exist.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Store, "state_unavailable", format!("cannot {what} {}: {error}", path.display()))
        .with_setting("--state")
        .with_next("Give --state a folder that this user owns")
        .with_source(error)
}

/// A state file that cannot be understood: kept as it is, because it may belong to a newer version.
pub(crate) fn malformed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Store, "state_malformed", format!("{} is not a state file: {error}", path.display()))
        .with_setting("--state")
        .with_next("Move the file away, or give --state another folder")
}

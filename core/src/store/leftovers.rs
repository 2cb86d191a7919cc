//! Temporary files of writers that were killed before the rename: they may hold tokens, and nobody else would ever
//! remove them.

use std::path::Path;
use std::time::Duration;

use crate::clock::{SystemClock, Timestamp};

/// A writer is done long before this.
pub(super) const CERTAINLY_DEAD: Duration = Duration::from_secs(3600);
const SUFFIX: &str = ".new";

/// How the temporary files for `path` begin; random letters and [`SUFFIX`] follow.
fn prefix(path: &Path) -> Option<String> {
    Some(format!(".{}.", path.file_name()?.to_str()?))
}

/// A new temporary file for `path`: 0600, created exclusively, under any umask.
pub(super) fn create(path: &Path, folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(&prefix(path).unwrap_or_default()).suffix(SUFFIX).tempfile_in(folder)
}

/// Removes temporary files for `path` that are at least this old. Zero is for whoever holds the lock under which alone
/// this file is written.
pub(super) fn sweep(path: &Path, at_least: Duration) {
    let (Some(folder), Some(prefix)) = (path.parent(), prefix(path)) else { return };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(SUFFIX));
        if ours && age(&entry).is_some_and(|age| age >= at_least) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// By the wall clock. A file from the future counts as new; `None` if it cannot be told, or is no plain file.
fn age(entry: &std::fs::DirEntry) -> Option<Duration> {
    let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let changed = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let changed = Timestamp::from_millis(i64::try_from(changed.as_millis()).ok()?);
    Some(SystemClock::read().since(changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_dead_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let dead = create(&path, folder.path()).unwrap().into_temp_path().keep().unwrap();
        for other in ["a.json", ".b.json.x.new", ".a.json.x", "a.json.x.new", "a.refresh.lock"] {
            std::fs::write(folder.path().join(other), b"x").unwrap();
        }
        std::fs::create_dir(folder.path().join(".a.json.folder.new")).unwrap();
        sweep(&path, CERTAINLY_DEAD);
        assert!(dead.exists(), "it may still be written");
        sweep(&path, Duration::ZERO);
        assert!(!dead.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
    }
}

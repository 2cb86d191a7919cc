//! Which configuration files are trusted (contract, "Called by a client" 6), and where our state lies.
//!
//! A file named by a flag or variable is trusted, and so are files in the user's own `~/.flyte` and `~/.union`: who can
//! write there can also write the shell's start-up files. A file that lies in the working folder or the git root may
//! have come with somebody's repository: it is trusted once a person completed a login from it, for as long as its
//! auth settings stay as they were then. Trust is of a path and of what it led to: a link in one repository to a trusted
//! file of another is a file of its own, since what the file names (a command, a certificate) may lie beside the link.

use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{ConfigFile, file};
use crate::error::{Error, ErrorKind, Result};

/// Names files (several as in `PATH`) that are trusted as if a person had signed in from them.
pub const TRUST_VARIABLE: &str = "FLYTE_AUTH_TRUST";
/// Overrides the state folder; an absolute path.
pub const HOME_VARIABLE: &str = "FLYTE_AUTH_HOME";

/// The folder for sessions, metadata and trust: `FLYTE_AUTH_HOME`, else the platform's state directory
/// (`$XDG_STATE_HOME/flyte-auth`, `~/.local/state/flyte-auth`; macOS `~/Library/Application Support/flyte-auth`;
/// Windows `%LOCALAPPDATA%\flyte-auth`). Not created here.
///
/// # Errors
/// Kind `Config`, code `state_dir`: the variable is no absolute path, or there is no home folder.
pub fn state_dir(env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf> {
    if let Some(home) = env(HOME_VARIABLE).filter(|value| !value.trim().is_empty()) {
        let path = PathBuf::from(home.trim());
        if path.is_absolute() {
            return Ok(path);
        }
        return Err(Error::config("state_dir", HOME_VARIABLE, format!("${HOME_VARIABLE} must be an absolute path")));
    }
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || home_dir(env);
    let base = if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library").join("Application Support"))
    } else if cfg!(windows) {
        absolute("LOCALAPPDATA").or_else(|| home().map(|home| home.join("AppData").join("Local")))
    } else {
        absolute("XDG_STATE_HOME").or_else(|| home().map(|home| home.join(".local").join("state")))
    };
    base.map(|base| base.join("flyte-auth")).ok_or_else(|| {
        Error::config("state_dir", HOME_VARIABLE, "there is no home folder to keep state in")
            .with_next(format!("Set {HOME_VARIABLE} to an absolute path"))
    })
}

/// The user's home folder: `HOME` (`USERPROFILE` on Windows), else what the operating system knows.
pub fn home_dir(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    env(name).map(PathBuf::from).filter(|path| path.is_absolute()).or_else(|| etcetera::home_dir().ok())
}

/// Whether a person has signed in from `path` and its auth settings are still the same.
///
/// # Errors
/// Kind `Config` if the file itself cannot be read. An unreadable record is no trust, not an error.
pub fn is_trusted(path: &Path, state_dir: &Path) -> Result<bool> {
    let data = file::read(path, None)?;
    Ok(is_recorded(path, &data.fingerprint(), state_dir))
}

/// Records that a person completed a login from `file` after being shown file and endpoint. What counts is what was read
/// then: a file that was replaced meanwhile is not trusted.
///
/// # Errors
/// Kind `Store` if the record cannot be written.
pub fn record_trust(file: &ConfigFile, state_dir: &Path) -> Result<()> {
    let path = file.path.as_path();
    let record = record_path(path, state_dir);
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Store, "trust_unwritable", format!("cannot write {}", record.display()))
            .with_next(format!("Check the folder's permissions, or set {TRUST_VARIABLE} to the file's path"))
            .with_source(error)
    };
    let folder = record.parent().unwrap_or(state_dir);
    create_private(folder).map_err(failed)?;
    // Written beside and renamed: a reader sees the old record or the new one. The temporary file is 0600.
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let line = format!("{}\n{}\n", file.fingerprint, path.display());
    temporary.write_all(line.as_bytes()).map_err(failed)?;
    temporary.persist(&record).map_err(|error| failed(error.error))?;
    Ok(())
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

pub(super) fn is_recorded(path: &Path, fingerprint: &str, state_dir: &Path) -> bool {
    std::fs::read_to_string(record_path(path, state_dir)).is_ok_and(|record| names(&record, fingerprint))
}

/// Whether a record is of the file with this fingerprint.
pub(crate) fn names(record: &str, fingerprint: &str) -> bool {
    record.lines().next() == Some(fingerprint)
}

/// Whether `FLYTE_AUTH_TRUST` names `path`.
pub(super) fn named_by_variable(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> bool {
    let Some(list) = env(TRUST_VARIABLE) else { return false };
    // That very path; another spelling of it only where no link of a repository stands in between.
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink());
    let linked = is_link(path) || path.parent().is_some_and(is_link);
    let target = canonical(path);
    std::env::split_paths(&list)
        .any(|named| named.is_absolute() && (named == path || (!linked && canonical(&named) == target)))
}

/// One record a file, so that two logins at once cannot lose each other's.
fn record_path(path: &Path, state_dir: &Path) -> PathBuf {
    let spelled: PathBuf = path.components().collect();
    let target = canonical(path);
    let both = [spelled.as_os_str().as_encoded_bytes(), target.as_os_str().as_encoded_bytes()].join(&0);
    let digest = Sha256::digest(both);
    let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    state_dir.join("trust").join(name)
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    /// As `load` gives it.
    fn loaded(path: &Path) -> ConfigFile {
        let fingerprint = file::read(path, None).unwrap().fingerprint();
        ConfigFile { path: path.to_owned(), trusted: false, origin: Origin::Default, fingerprint }
    }

    /// A repository may link to a trusted file of another, and put a program of its own where that file's relative
    /// command points.
    #[cfg(unix)]
    #[test]
    fn a_link_to_a_trusted_file_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let (state, one, two) = (dir.path().join("state"), dir.path().join("one"), dir.path().join("two"));
        for folder in [one.join(".flyte"), two.clone()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let trusted = one.join(".flyte/config.yaml");
        std::fs::write(&trusted, "admin: {endpoint: a, command: [./print-token]}").unwrap();
        record_trust(&loaded(&trusted), &state).unwrap();
        std::os::unix::fs::symlink(&trusted, two.join("config.yaml")).unwrap();
        std::os::unix::fs::symlink(one.join(".flyte"), two.join(".flyte")).unwrap();
        let named = |path: &Path, list: &Path| named_by_variable(path, &|_| Some(list.display().to_string()));
        for link in [two.join("config.yaml"), two.join(".flyte/config.yaml")] {
            assert!(!is_trusted(&link, &state).unwrap() && !named(&link, &trusted), "{link:?}");
            assert!(named(&link, &link), "the user's own word for that very path");
        }
        assert!(is_trusted(&trusted, &state).unwrap() && named(&trusted, &trusted));
        // The whole repository by another name is no trick of its own.
        let alias = dir.path().join("alias");
        std::os::unix::fs::symlink(&one, &alias).unwrap();
        assert!(named(&trusted, &alias.join(".flyte/config.yaml")));
        // A trusted link that comes to lead elsewhere.
        let link = two.join("config.yaml");
        record_trust(&loaded(&link), &state).unwrap();
        assert!(is_trusted(&link, &state).unwrap());
        std::fs::remove_file(&link).unwrap();
        std::fs::copy(&trusted, two.join("other.yaml")).unwrap();
        std::os::unix::fs::symlink(two.join("other.yaml"), &link).unwrap();
        assert!(!is_trusted(&link, &state).unwrap());
    }

    #[test]
    fn trust_ends_with_a_changed_endpoint_or_command() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, "admin: {endpoint: a}\n").unwrap();
        assert!(!is_trusted(&path, &state).unwrap());
        record_trust(&loaded(&path), &state).unwrap();
        assert!(is_trusted(&path, &state).unwrap());
        std::fs::write(&path, "# comment\nadmin:\n  endpoint: a\nlogger: {level: 1}\n").unwrap();
        assert!(is_trusted(&path, &state).unwrap(), "comments do not matter");
        for changed in
            ["admin: {endpoint: b}", "admin: {endpoint: a, command: [x]}", "admin: {endpoint: a, tokenUrl: x}"]
        {
            std::fs::write(&path, changed).unwrap();
            assert!(!is_trusted(&path, &state).unwrap(), "{changed}");
        }
        record_trust(&loaded(&path), &state).unwrap();
        assert!(is_trusted(&path, &state).unwrap());
        // Replaced between the person's answer and the end of the login.
        let seen = loaded(&path);
        std::fs::write(&path, "admin: {endpoint: evil}").unwrap();
        record_trust(&seen, &state).unwrap();
        assert!(!is_trusted(&path, &state).unwrap(), "what nobody saw is not trusted");
        std::fs::write(&path, "admin: {endpoint: b}").unwrap();
        record_trust(&loaded(&path), &state).unwrap();
        // The same content elsewhere is another file.
        let other = dir.path().join("other.yaml");
        std::fs::copy(&path, &other).unwrap();
        assert!(!is_trusted(&other, &state).unwrap());
        assert_eq!(is_trusted(&dir.path().join("none"), &state).unwrap_err().code(), "config_unreadable");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&state), 0o700);
            assert_eq!(mode(&record_path(&path, &state)), 0o600);
        }
        std::fs::write(record_path(&path, &state), [0xff, 0xfe]).unwrap();
        assert!(!is_trusted(&path, &state).unwrap(), "an unreadable record is no trust");
    }

    #[test]
    fn trust_by_variable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, "").unwrap();
        let list = std::env::join_paths([Path::new("/elsewhere"), &path]).unwrap().into_string().unwrap();
        assert!(named_by_variable(&path, &|_| Some(list.clone())));
        assert!(!named_by_variable(&path, &|_| Some("/elsewhere".to_owned())));
        assert!(!named_by_variable(&path, &|_| Some(String::new())));
        assert!(!named_by_variable(&path, &|_| None));
    }

    #[test]
    fn unwritable_state_is_a_store_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, "").unwrap();
        let error = record_trust(&loaded(&path), &path).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Store, "trust_unwritable"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn state_folder() {
        let with = |pairs: &'static [(&str, &str)]| {
            state_dir(&move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(with(&[("FLYTE_AUTH_HOME", "/s"), ("HOME", "/h")]).unwrap(), Path::new("/s"));
        assert_eq!(with(&[("HOME", "/h")]).unwrap(), Path::new("/h/.local/state/flyte-auth"));
        assert_eq!(with(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]).unwrap(), Path::new("/x/flyte-auth"));
        assert_eq!(with(&[("XDG_STATE_HOME", "x"), ("HOME", "/h")]).unwrap(), Path::new("/h/.local/state/flyte-auth"));
        assert_eq!(with(&[("FLYTE_AUTH_HOME", "rel")]).unwrap_err().setting(), Some("FLYTE_AUTH_HOME"));
    }
}

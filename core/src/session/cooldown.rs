//! After a refused or unanswered prompt nobody is asked again for a minute (contract, "Called by a client" 2): flytekit
//! retries four times without a pause, and each retry would be another prompt.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{SessionKey, file};

/// How long a refusal holds.
pub const COOL_DOWN: Duration = Duration::from_secs(60);

fn path(state: &Path, key: &SessionKey) -> PathBuf {
    state.join("prompts").join(key.as_str())
}

/// Whether a prompt for this session was refused or left unanswered a moment ago.
///
/// # Errors
/// Kind `Cancelled`, code `declined_recently`.
pub fn check(state: &Path, key: &SessionKey, place: &str, now: Timestamp) -> Result<()> {
    use std::io::Read as _;
    let Ok(Some(file)) = file::open_private(&path(state, key)) else { return Ok(()) };
    let mut text = String::new();
    if file.take(32).read_to_string(&mut text).is_err() {
        return Ok(());
    }
    let Ok(refused_at) = text.trim().parse().map(Timestamp::from_millis) else { return Ok(()) };
    let until = refused_at.plus(COOL_DOWN);
    // A refusal from the future is a clock that was set back: it must not mute the prompt for years.
    if now >= until || refused_at > now {
        return Ok(());
    }
    let left = until.since(now).as_secs().max(1);
    Err(Error::new(
        ErrorKind::Cancelled,
        "declined_recently",
        format!("the login to {place} was declined or left unanswered a moment ago"),
    )
    .with_endpoint(place)
    .with_next(format!("Run: flyte-auth login (or wait {left} s to be asked again)")))
}

/// Notes a refusal. A failure to note it is not worth a word.
pub fn note(state: &Path, key: &SessionKey, now: Timestamp) {
    let path = path(state, key);
    if path.parent().is_some_and(|folder| file::create_private_folder(folder).is_ok()) {
        let _ = file::write_private(&path, now.as_millis().to_string().as_bytes(), file::Durability::Crash);
    }
}

/// A login succeeded: whoever declined before has thought better of it.
pub fn clear(state: &Path, key: &SessionKey) {
    let _ = std::fs::remove_file(path(state, key));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_for_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let key = SessionKey::of_parts([Some("x")]);
        let now = Timestamp::from_secs(1_000);
        let check = |now| check(folder.path(), &key, "flyte.example", now);
        assert!(check(now).is_ok());
        note(folder.path(), &key, now);
        let error = check(now.plus(Duration::from_secs(59))).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Cancelled, "declined_recently"));
        assert!(check(now.plus(COOL_DOWN)).is_ok());
        assert!(check(now.minus(Duration::from_secs(10_000))).is_ok(), "the clock was set back");
        note(folder.path(), &key, now);
        clear(folder.path(), &key);
        assert!(check(now).is_ok());
    }
}

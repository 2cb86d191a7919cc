//! For the suites that no release package serves (feature `testing`): ends at a chosen point, and a clock that can be
//! set. Without the feature nothing here costs an instruction or reads a variable.
//!
//! | variable | meaning |
//! |---|---|
//! | `FLYTE_AUTH_TESTING_STOP` | `POINT` or `POINT@N`: the process kills itself (SIGKILL) at the Nth pass of this point |
//! | `FLYTE_AUTH_TESTING_PAUSE` | `POINT=MILLISECONDS`: waits there, once |
//! | `FLYTE_AUTH_TESTING_CLOCK` | a file with a number of milliseconds, read at every look at the clock and added to it |
//! | `FLYTE_AUTH_TESTING_PANIC` | `POINT`: panics there, with the session's tokens in scope |
//! | `FLYTE_AUTH_TESTING_TRACE` | a file that gets a line of JSON for every point passed; `tests/model` judges it |
//! | `FLYTE_AUTH_TESTING_LOG` | a folder: the process writes everything that it and its dependencies log, at TRACE, into a file there |
//! | `FLYTE_AUTH_TESTING_SECRETS` | a file that gets a line for every secret made: its kind, a tab, the secret |

use std::path::Path;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::session::Token;
use crate::store::Record;

#[cfg(feature = "testing")]
mod witness;
#[cfg(feature = "testing")]
pub(crate) use witness::log;
#[cfg(feature = "testing")]
pub use witness::{log_file, made};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod parsers;

/// Every stop point in the order in which a refresh passes them. "Before" and "after" stand around one effect each.
pub const STOP_POINTS: [&str; 18] = [
    "refresh.start",
    "look.after",
    "discovery.before",
    "discovery.after",
    "lock.before",
    "lock.after",
    "reread.after",
    "exchange.before",
    "exchange.after",
    "save.before",
    "save.file_written",
    "save.file_synced",
    "save.renamed",
    "save.folder_synced",
    "save.after",
    "publish.after",
    "unlock.before",
    "unlock.after",
];

/// What a trace tells beside a point's name. Tokens as digests.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "what is told is read with the feature alone"))]
pub(crate) enum Facts<'a> {
    /// What is wanted: a token of a generation after this.
    NewerThan(Option<u64>),
    /// What was read or published.
    Record(Option<&'a Record>),
    /// What an exchange came to.
    Answer(&'a Result<Record>),
    /// What was rejected.
    Token(&'a Token),
    /// Where a file is written.
    Folder(&'a Path),
}

/// Passes a stop point.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub(crate) fn stop_point(_name: &'static str) {}

/// Passes a stop point at which there is something to tell.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub(crate) fn stop_point_with(_name: &'static str, _facts: Facts<'_>) {}

/// Tells the trace what an authorization server did with a refresh token, before anybody gets the answer: `next` is the
/// token in its place (the same one where it stays), `None` if it was refused.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub fn exchanged(_presented: &str, _next: Option<&str>) {}

/// The clock's reading, moved if the suite says so.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub(crate) fn moved(now: Timestamp) -> Timestamp {
    now
}

/// Where this process has to log everything, if the suite says so.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub fn log_file() -> Option<std::fs::File> {
    None
}

/// Logs there, in programs that keep no log themselves.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub(crate) fn log() {}

/// Tells the suite of a secret, which it then looks for wherever none may be.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub fn made(_kind: &str, _secret: &str) {}

#[cfg(feature = "testing")]
pub use with_feature::exchanged;
#[cfg(feature = "testing")]
pub(crate) use with_feature::{moved, stop_point, stop_point_with};

#[cfg(feature = "testing")]
mod with_feature {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};

    use super::*;

    struct Plan {
        stop: Option<(String, u64)>,
        pause: Option<(String, Duration)>,
        panic: Option<String>,
        clock: Option<std::path::PathBuf>,
        trace: Option<std::path::PathBuf>,
    }

    fn plan() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| {
            let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            Plan {
                stop: text("FLYTE_AUTH_TESTING_STOP").map(|stop| match stop.split_once('@') {
                    Some((name, count)) => (name.to_owned(), count.parse().unwrap_or(1)),
                    None => (stop, 1),
                }),
                pause: text("FLYTE_AUTH_TESTING_PAUSE").and_then(|pause| {
                    let (name, millis) = pause.split_once('=')?;
                    Some((name.to_owned(), Duration::from_millis(millis.parse().ok()?)))
                }),
                panic: text("FLYTE_AUTH_TESTING_PANIC"),
                clock: text("FLYTE_AUTH_TESTING_CLOCK").map(Into::into),
                trace: text("FLYTE_AUTH_TESTING_TRACE").map(Into::into),
            }
        })
    }

    pub(crate) fn stop_point(name: &'static str) {
        passed(name, || Value::Null);
    }

    pub(crate) fn stop_point_with(name: &'static str, facts: Facts<'_>) {
        passed(name, || match facts {
            Facts::NewerThan(generation) => json!({ "newer_than": generation }),
            Facts::Record(record) => json!({ "record": record.map(told) }),
            Facts::Answer(Ok(record)) => json!({ "record": told(record) }),
            Facts::Answer(Err(error)) => json!({ "error": error.code(), "retryable": error.is_retryable() }),
            Facts::Token(token) => {
                let access = digest(token.expose()); // EXPOSE: into a digest.
                json!({ "record": { "generation": token.generation(), "access": access, "refresh": null } })
            }
            Facts::Folder(folder) => json!({ "folder": folder.file_name().map(|name| name.to_string_lossy()) }),
        });
    }

    /// As without the feature.
    pub fn exchanged(presented: &str, next: Option<&str>) {
        if let Some(file) = &plan().trace {
            trace(file, "server.exchanged", json!({ "presented": digest(presented), "next": next.map(digest) }));
        }
    }

    fn told(record: &Record) -> Value {
        json!({
            "generation": record.generation,
            "access": digest(record.access_token.expose()), // EXPOSE: into a digest.
            "refresh": record.refresh_token.as_ref().map(|token| digest(token.expose())), // EXPOSE: into a digest.
        })
    }

    fn digest(secret: &str) -> String {
        Sha256::digest(secret)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn passed(name: &'static str, facts: impl FnOnce() -> Value) {
        static PASSED: AtomicU64 = AtomicU64::new(0);
        static PAUSED: AtomicU64 = AtomicU64::new(0);
        let plan = plan();
        if let Some(file) = &plan.trace {
            trace(file, name, facts());
        }
        if let Some((_, pause)) = plan.pause.as_ref().filter(|(point, _)| point == name)
            && PAUSED.fetch_add(1, Ordering::Relaxed) == 0
        {
            #[expect(clippy::disallowed_methods, reason = "a test asked this thread to stand still")]
            std::thread::sleep(*pause);
        }
        #[expect(clippy::panic, reason = "a test asked for it")]
        if plan.panic.as_deref() == Some(name) {
            panic!("{name}");
        }
        if let Some((_, nth)) = plan.stop.as_ref().filter(|(point, _)| point == name)
            && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *nth
        {
            if let Some(file) = &plan.trace {
                trace(file, "killed", Value::Null);
            }
            end();
        }
    }

    /// One write a line, so that lines of many processes do not run together. The monotonic clock is one for all of them.
    #[cfg(unix)]
    fn trace(file: &Path, name: &str, facts: Value) {
        use std::io::Write as _;
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let mut line = json!({
            "at": time.tv_sec * 1_000_000_000 + time.tv_nsec,
            "process": std::process::id(),
            "step": name,
        });
        if let (Value::Object(line), Value::Object(facts)) = (&mut line, facts) {
            line.extend(facts);
        }
        if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(file) {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }

    #[cfg(not(unix))]
    fn trace(_file: &Path, _name: &str, _facts: Value) {}

    #[cfg(unix)]
    fn end() {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal may be a moment on its way; nothing more may happen.
        loop {
            std::thread::park();
        }
    }

    #[cfg(not(unix))]
    fn end() {
        std::process::abort();
    }

    pub(crate) fn moved(now: Timestamp) -> Timestamp {
        let Some(file) = &plan().clock else { return now };
        let offset = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Timestamp::from_millis(now.as_millis().saturating_add(offset))
    }
}

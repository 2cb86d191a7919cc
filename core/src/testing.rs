//! For the suites that no release package serves (feature `testing`): ends at a chosen point, and a clock that can be
//! set. Without the feature nothing here costs an instruction or reads a variable.
//!
//! | variable | meaning |
//! |---|---|
//! | `FLYTE_AUTH_TESTING_STOP` | `POINT` or `POINT@N`: the process kills itself (SIGKILL) at the Nth pass of this point |
//! | `FLYTE_AUTH_TESTING_PAUSE` | `POINT=MILLISECONDS`: waits there, once |
//! | `FLYTE_AUTH_TESTING_CLOCK` | a file with a number of milliseconds, read at every look at the clock and added to it |
//! | `FLYTE_AUTH_TESTING_TRACE` | a file that gets a line for every point passed: its name, nanoseconds of the monotonic clock |

use crate::clock::Timestamp;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod parsers;

/// Every stop point in the order in which a refresh passes them. "Before" and "after" stand around one effect each.
pub const STOP_POINTS: [&str; 16] = [
    "refresh.start",
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
    "unlock.after",
];

/// Passes a stop point.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub(crate) fn stop_point(_name: &'static str) {}

/// The clock's reading, moved if the suite says so.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub(crate) fn moved(now: Timestamp) -> Timestamp {
    now
}

#[cfg(feature = "testing")]
pub(crate) use with_feature::{moved, stop_point};

#[cfg(feature = "testing")]
mod with_feature {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    struct Plan {
        stop: Option<(String, u64)>,
        pause: Option<(String, Duration)>,
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
                clock: text("FLYTE_AUTH_TESTING_CLOCK").map(Into::into),
                trace: text("FLYTE_AUTH_TESTING_TRACE").map(Into::into),
            }
        })
    }

    pub(crate) fn stop_point(name: &'static str) {
        static PASSED: AtomicU64 = AtomicU64::new(0);
        static PAUSED: AtomicU64 = AtomicU64::new(0);
        let plan = plan();
        if let Some(file) = &plan.trace {
            trace(file, name);
        }
        if let Some((_, pause)) = plan.pause.as_ref().filter(|(point, _)| point == name)
            && PAUSED.fetch_add(1, Ordering::Relaxed) == 0
        {
            #[expect(clippy::disallowed_methods, reason = "a test asked this thread to stand still")]
            std::thread::sleep(*pause);
        }
        if let Some((_, nth)) = plan.stop.as_ref().filter(|(point, _)| point == name)
            && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *nth
        {
            end();
        }
    }

    #[cfg(unix)]
    fn trace(file: &std::path::Path, name: &str) {
        use std::io::Write as _;
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let line = format!("{name} {}\n", time.tv_sec * 1_000_000_000 + time.tv_nsec);
        if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(file) {
            let _ = file.write_all(line.as_bytes());
        }
    }

    #[cfg(not(unix))]
    fn trace(_file: &std::path::Path, _name: &str) {}

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

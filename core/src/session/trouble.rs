//! What went wrong lately, shared by every process that uses the session: when the server may be asked again, and
//! whether it rejects even fresh tokens. A small file without secrets beside the store; without a state folder, memory.
//!
//! A server in trouble is not asked by sixty processes in turn: the first failure tells the others when to try.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::locked;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::store::{SessionKey, note};

/// Longest `Retry-After` that is believed: a proxy's mistake must not end a session for a day.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Back-off where the server names none: by the number of failures in a row.
const BACK_OFF: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(5)];
/// A token that is rejected this soon was never good; later, something ended it.
const FRESH: Duration = Duration::from_secs(300);
/// After two fresh tokens were rejected in a row, no third is fetched for this long, and twice as long each time.
const STOP: Duration = Duration::from_secs(120);
/// A difference of clocks below this is the network's, or explains nothing.
const SKEW_WORTH_A_WORD: Duration = Duration::from_secs(30);

/// The last failure, and until when nobody asks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pause {
    /// Milliseconds since the epoch.
    noted_at: i64,
    /// Milliseconds since the epoch.
    until: i64,
    failures: u32,
    /// Kind `Network`; else `Server`.
    network: bool,
    code: String,
    message: String,
    endpoint: Option<String>,
}

/// Rejections in a row of tokens that were fresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rejections {
    generation: u64,
    count: u32,
    /// Milliseconds since the epoch.
    until: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Trouble {
    #[serde(default)]
    pause: Option<Pause>,
    #[serde(default)]
    rejections: Rejections,
}

/// Reads and notes the trouble of one session. Calls block on a small file.
#[derive(Debug)]
pub(crate) struct Troubles {
    path: Option<PathBuf>,
    /// What no file keeps.
    memory: Mutex<Option<Trouble>>,
}

/// Whether the file now says `trouble`.
fn write_file(path: &Path, trouble: &Trouble) -> bool {
    if *trouble == Trouble::default() {
        return match std::fs::remove_file(path) {
            Ok(()) => true,
            Err(cause) => cause.kind() == std::io::ErrorKind::NotFound,
        };
    }
    note::write(path, trouble)
}

impl Troubles {
    pub(super) fn new(state: Option<&Path>, key: &SessionKey) -> Self {
        let path = state.map(|state| state.join("trouble").join(format!("{}.json", key.as_str())));
        Self { path, memory: Mutex::default() }
    }

    /// As a file of these bytes tells it.
    #[cfg(feature = "testing")]
    pub(crate) fn of_note(bytes: &[u8]) -> Self {
        Self { path: None, memory: Mutex::new(Some(note::parse(bytes))) }
    }

    fn read(&self) -> Trouble {
        if let Some(kept) = &*locked(&self.memory) {
            return kept.clone();
        }
        self.path.as_deref().map(note::read).unwrap_or_default()
    }

    fn write(&self, trouble: &Trouble) {
        let kept_by_file = self.path.as_ref().is_some_and(|path| write_file(path, trouble));
        *locked(&self.memory) = (!kept_by_file).then(|| trouble.clone());
    }

    /// How long nobody may ask, and what to say meanwhile; `None` if the way is free.
    pub(crate) fn pause(&self, now: Timestamp) -> Option<(Duration, Error)> {
        let pause = self.read().pause?;
        let until = Timestamp::from_millis(pause.until);
        let left = until.since(now);
        // A note from the future was made by another clock, and one of a longer pause than we note is damaged: neither
        // may end the session for years.
        let noted_later = Timestamp::from_millis(pause.noted_at) > now.plus(Duration::from_secs(1));
        if now >= until || noted_later || left > LONGEST_PAUSE {
            return None;
        }
        let kind = if pause.network { ErrorKind::Network } else { ErrorKind::Server };
        let mut error = Error::new(kind, pause.code, format!("{} (a moment ago; not asked again yet)", pause.message))
            .with_retryable(true)
            .with_retry_after(Some(left))
            .with_next(format!("Try again in {} s", left.as_millis().div_ceil(1000).max(1)));
        if let Some(endpoint) = pause.endpoint {
            error = error.with_endpoint(endpoint);
        }
        Some((left, error))
    }

    /// Notes a failure that passes by itself; any other leaves no trace here.
    pub(crate) fn failed(&self, error: &Error, now: Timestamp) {
        if !error.is_retryable() || !matches!(error.kind(), ErrorKind::Network | ErrorKind::Server) {
            return;
        }
        let mut trouble = self.read();
        // Failures in a row: a quiet minute ends the row.
        let row = trouble.pause.as_ref().filter(|before| {
            Timestamp::from_millis(before.until) <= now
                && now.since(Timestamp::from_millis(before.until)) < Duration::from_secs(60)
        });
        let failures = row.map_or(0, |before| before.failures.saturating_add(1));
        let back_off = BACK_OFF[(failures as usize).min(BACK_OFF.len() - 1)];
        let wait = error.retry_after().map_or(back_off, |after| after.min(LONGEST_PAUSE));
        trouble.pause = Some(Pause {
            noted_at: now.as_millis(),
            until: now.plus(wait).as_millis(),
            failures,
            network: error.kind() == ErrorKind::Network,
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            endpoint: error.endpoint().map(str::to_owned),
        });
        self.write(&trouble);
    }

    /// A token was obtained. `after_rejection`: because the one before was rejected; then the row of rejections stands
    /// until the new token proves itself.
    pub(super) fn passed(&self, after_rejection: bool) {
        let before = self.read();
        let rejections = if after_rejection { before.rejections } else { Rejections::default() };
        let after = Trouble { pause: None, rejections };
        if after != before {
            self.write(&after);
        }
    }

    /// Notes that the server rejected the token of `generation`, `age` after it was obtained.
    pub(crate) fn rejected(&self, generation: u64, age: Duration, now: Timestamp) {
        let mut trouble = self.read();
        let row = trouble.rejections;
        if row.generation == generation && row.count > 0 {
            return;
        }
        let count = match (age < FRESH, row.generation.checked_add(1) == Some(generation)) {
            (false, _) => 0,
            (true, true) => row.count.saturating_add(1),
            (true, false) => 1,
        };
        let stop = STOP.saturating_mul(1 << count.saturating_sub(2).min(8)).min(LONGEST_PAUSE);
        let until = if count >= 2 { now.plus(stop).as_millis() } else { 0 };
        trouble.rejections = Rejections { generation, count, until };
        self.write(&trouble);
    }

    /// The error in place of a third fresh token after two were rejected. `skew`: how far the server's clock is ahead of
    /// ours, in milliseconds, from the `Date` header of its last answer.
    pub(crate) fn loops(&self, place: &str, skew: i64, now: Timestamp) -> Option<Error> {
        let row = self.read().rejections;
        let until = Timestamp::from_millis(row.until);
        if row.count < 2 || now >= until || until.since(now) > LONGEST_PAUSE {
            return None;
        }
        let rejected = format!("{place} rejected two fresh tokens in a row");
        if let Some(error) = clock_skew(place, &rejected, skew) {
            return Some(error.with_retry_after(Some(until.since(now))));
        }
        let error = Error::new(ErrorKind::Denied, "fresh_token_rejected", rejected).with_next(format!(
            "Ask the administrator whether {place} accepts tokens of this issuer and audience; flyte-auth status shows them"
        ));
        Some(error.with_endpoint(place).with_retry_after(Some(until.since(now))))
    }

    /// A person signed in or out: whatever was, starts anew.
    pub(super) fn forget(&self) {
        self.write(&Trouble::default());
    }
}

/// A rejection as the work of a wrong clock, where the clocks differ by enough to explain it. `skew` as above.
pub(super) fn clock_skew(place: &str, rejected: &str, skew: i64) -> Option<Error> {
    let apart = Duration::from_millis(skew.unsigned_abs());
    if apart < SKEW_WORTH_A_WORD {
        return None;
    }
    let by = match apart.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    };
    let side = if skew > 0 { "behind" } else { "ahead of" };
    let what = format!("{rejected}: this machine's clock is {by} {side} the server's");
    Some(
        Error::new(ErrorKind::Denied, "clock_skew", what)
            .with_endpoint(place)
            .with_next("Set this machine's clock (NTP), then try again"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn troubles(state: &Path) -> Troubles {
        Troubles::new(Some(state), &SessionKey::of_parts([Some("x")]))
    }

    fn busy(after: Option<u64>) -> Error {
        Error::new(ErrorKind::Server, "unavailable", "the token endpoint answered HTTP 503")
            .with_retryable(true)
            .with_retry_after(after.map(Duration::from_secs))
    }

    #[test]
    fn a_pause_is_shared_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_000_000);
        let one = troubles(folder.path());
        let other = troubles(folder.path());
        one.failed(&busy(Some(40)), now);
        let (left, error) = other.pause(now.plus(10 * SECOND)).unwrap();
        assert_eq!((left, error.retry_after()), (30 * SECOND, Some(30 * SECOND)));
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, "unavailable"));
        assert!(error.is_retryable() && error.to_string().contains("Try again in 30 s"), "{error}");
        assert!(other.pause(now.plus(40 * SECOND)).is_none());
        assert!(other.pause(now.minus(3600 * SECOND)).is_none(), "the clock was set back");
        let damaged = r#"{"pause":{"noted_at":0,"until":9223372036854775807,"failures":4294967295,"network":true,"code":"x",
            "message":"y","endpoint":null},"rejections":{"generation":18446744073709551615,"count":4294967295,"until":0}}"#;
        let note = folder.path().join("trouble").read_dir().unwrap().next().unwrap().unwrap().path();
        let kept = std::fs::read(&note).unwrap();
        std::fs::write(&note, damaged).unwrap();
        assert!(other.pause(now).is_none(), "nothing that is noted lasts for years");
        other.rejected(7, SECOND, now);
        other.failed(&busy(None), now);
        std::fs::write(&note, kept).unwrap();
        other.passed(false);
        assert!(one.pause(now).is_none());
        assert!(!folder.path().join("trouble").read_dir().unwrap().any(|_| true), "nothing to remember, no file");
    }

    #[test]
    fn back_off_grows_to_five_seconds_and_starts_anew_after_a_quiet_minute() {
        let troubles = Troubles::new(None, &SessionKey::of_parts([Some("x")]));
        let mut now = Timestamp::from_secs(1_000_000);
        for expected in [1, 2, 4, 5, 5] {
            troubles.failed(&busy(None), now);
            let (left, _) = troubles.pause(now).unwrap();
            assert_eq!(left.as_secs(), expected);
            now = now.plus(left);
        }
        now = now.plus(61 * SECOND);
        troubles.failed(&busy(None), now);
        assert_eq!(troubles.pause(now).unwrap().0, SECOND);
        troubles.failed(&busy(Some(1_000_000)), now);
        assert_eq!(troubles.pause(now).unwrap().0, LONGEST_PAUSE);
    }

    #[test]
    fn only_what_passes_by_itself_is_remembered() {
        let troubles = Troubles::new(None, &SessionKey::of_parts([Some("x")]));
        let now = Timestamp::from_secs(1_000_000);
        for kind in [ErrorKind::Config, ErrorKind::LoginRequired, ErrorKind::Denied, ErrorKind::Store] {
            troubles.failed(&Error::new(kind, "x", "x").with_retryable(true), now);
        }
        troubles.failed(&Error::new(ErrorKind::Server, "malformed", "x"), now);
        assert!(troubles.pause(now).is_none());
    }

    #[test]
    fn two_fresh_tokens_rejected_in_a_row_stop_the_loop() {
        let troubles = Troubles::new(None, &SessionKey::of_parts([Some("x")]));
        let now = Timestamp::from_secs(1_000_000);
        troubles.rejected(4, SECOND, now);
        troubles.rejected(4, 2 * SECOND, now);
        assert!(troubles.loops("h", 0, now).is_none(), "one token, told twice");
        troubles.passed(true);
        troubles.rejected(5, SECOND, now);
        assert_eq!(troubles.loops("h", 5_000, now).unwrap().code(), "fresh_token_rejected");
        let skewed = troubles.loops("h", 310_000, now).unwrap();
        assert_eq!((skewed.kind(), skewed.code()), (ErrorKind::Denied, "clock_skew"));
        assert!(skewed.to_string().contains("clock is 5 min behind"), "{skewed}");
        assert!(troubles.loops("h", -90_000, now).unwrap().to_string().contains("90 s ahead of"));
        assert!(troubles.loops("h", 0, now.plus(STOP)).is_none(), "one more try after the pause");
        troubles.passed(true);
        troubles.rejected(6, SECOND, now.plus(STOP));
        assert!(troubles.loops("h", 0, now.plus(STOP)).is_some(), "and that one failed too");
        assert!(troubles.loops("h", 0, now.plus(2 * STOP)).is_some(), "twice as long");
        assert!(troubles.loops("h", 0, now.plus(3 * STOP)).is_none());
        troubles.passed(false);
        assert!(troubles.loops("h", 0, now.plus(STOP)).is_none(), "an ordinary refresh ends the row");
    }

    #[test]
    fn a_token_that_served_a_while_is_no_loop() {
        let troubles = Troubles::new(None, &SessionKey::of_parts([Some("x")]));
        let now = Timestamp::from_secs(1_000_000);
        troubles.rejected(4, SECOND, now);
        troubles.passed(true);
        troubles.rejected(5, FRESH, now);
        assert!(troubles.loops("h", 0, now).is_none());
        troubles.rejected(9, SECOND, now);
        assert!(troubles.loops("h", 0, now).is_none(), "not in a row");
    }
}

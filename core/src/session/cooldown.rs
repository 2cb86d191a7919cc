//! Prompts that nobody answered. A program that retries without a pause (flytekit does, four times) must not become a
//! row of browser tabs, and a machine that nobody sits at must not open one for ever.
//!
//! Each refused or unanswered automatic prompt is one line in a file of the state folder. Lines are only appended, so
//! processes need no lock to count together; a login ends the count by removing the file.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Inner, Session, identity};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{SessionKey, file};

/// How long nobody is asked after the first, second … unanswered prompt in a row. The first is the contract's ("Called
/// by a client" 2). After one more than these nobody is asked at all until somebody types `flyte-auth login`.
pub const PAUSES: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900), Duration::from_secs(3600)];
/// A prompt that comes so long after the last one begins a new row: one refusal a week is no unattended machine.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// More lines than a row of refusals can have in years.
const MAX_BYTES: u64 = 64 * 1024;

/// What the row of unanswered prompts says about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ask,
    NotBefore(Timestamp),
    NotAtAll { unanswered: usize },
}

/// The times in a file's text, the earliest first; what is no time is passed over.
pub(crate) fn times(text: &str) -> Vec<Timestamp> {
    let mut times: Vec<_> =
        text.lines().filter_map(|line| line.trim().parse().ok().map(Timestamp::from_millis)).collect();
    times.sort_unstable();
    times
}

pub(crate) fn judge(unanswered: &[Timestamp], now: Timestamp) -> Verdict {
    let mut row = 0;
    let mut last: Option<Timestamp> = None;
    for &at in unanswered {
        if last.is_some_and(|last| at.since(last) > FORGOTTEN_AFTER) {
            row = 0;
        }
        row += 1;
        last = Some(at);
        if row > PAUSES.len() {
            return Verdict::NotAtAll { unanswered: row };
        }
    }
    let (Some(last), Some(pause)) = (last, row.checked_sub(1).and_then(|index| PAUSES.get(index))) else {
        return Verdict::Ask;
    };
    let until = last.plus(*pause);
    // A refusal from the future is a clock that was set back: it must not mute the prompt for years.
    if now >= until || last > now { Verdict::Ask } else { Verdict::NotBefore(until) }
}

/// The unanswered prompts of one session.
#[derive(Debug, Clone)]
pub(crate) struct Prompts {
    path: PathBuf,
}

impl Prompts {
    /// In `<state folder>/prompts`; nothing is created before there is something to note.
    pub(crate) fn new(state: &Path, key: &SessionKey) -> Self {
        Self { path: state.join("prompts").join(key.as_str()) }
    }

    fn read(&self) -> Vec<Timestamp> {
        let Ok(Some(file)) = file::open_private(&self.path) else { return Vec::new() };
        let mut text = String::new();
        if file.take(MAX_BYTES).read_to_string(&mut text).is_err() {
            return Vec::new();
        }
        times(&text)
    }

    /// Notes one more. A failure to note it is not worth a word.
    fn note(&self, now: Timestamp) {
        let Some(folder) = self.path.parent() else { return };
        if file::create_private_folder(folder).is_ok()
            && let Ok(mut file) = file::append_private(&self.path)
        {
            // One write: lines of several processes do not mix.
            let _ = file.write_all(format!("{}\n", now.as_millis()).as_bytes());
        }
    }

    fn clear(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Session {
    /// Whether an automatic prompt may be shown now, or too many were left unanswered.
    ///
    /// # Errors
    /// Kind `Cancelled`: `declined_recently` inside the pause, `prompts_stopped` after the last.
    pub fn may_prompt(&self) -> Result<()> {
        let Some(prompts) = &self.inner.prompts else { return Ok(()) };
        let place = self.place();
        let command = format!("flyte-auth login {}", identity::login_argument(self.config()));
        let now = self.inner.context.clock.now();
        let (code, message, next) = match judge(&prompts.read(), now) {
            Verdict::Ask => return Ok(()),
            Verdict::NotBefore(until) => (
                "declined_recently",
                format!("the login to {place} was declined, refused or left unanswered a moment ago"),
                format!("Run: {command} (or wait {} s to be asked again)", until.since(now).as_secs().max(1)),
            ),
            Verdict::NotAtAll { unanswered } => (
                "prompts_stopped",
                format!("{unanswered} logins to {place} in a row were left unanswered: programs ask no more"),
                format!("Run: {command}"),
            ),
        };
        Err(Error::new(ErrorKind::Cancelled, code, message).with_endpoint(place).with_next(next))
    }

    /// Notes that a person refused an automatic prompt before the login began.
    pub fn note_declined(&self) {
        self.inner.note_unanswered();
    }

    /// Somebody typed `login`: whoever declined before has thought better of it.
    pub(super) fn forget_declined(&self) {
        if let Some(prompts) = &self.inner.prompts {
            prompts.clear();
        }
    }
}

impl Inner {
    fn note_unanswered(&self) {
        if let Some(prompts) = &self.prompts {
            prompts.note(self.context.clock.now());
        }
    }
}

/// An automatic prompt that is on show. Dropped without an answer (a timeout, Ctrl-C, the terminal closed) it counts as
/// unanswered.
#[derive(Debug)]
pub(super) struct OnShow {
    /// `None` once it is settled, or if somebody asked for the prompt.
    session: Option<Session>,
}

impl OnShow {
    pub(super) fn new(session: &Session, automatic: bool) -> Self {
        Self { session: automatic.then(|| session.clone()) }
    }

    /// The attempt is over. A broken server or network is nobody's refusal.
    pub(super) fn settle<T>(mut self, outcome: &Result<T>) {
        match outcome {
            Ok(_) => {
                if let Some(session) = self.session.take() {
                    session.forget_declined();
                }
            }
            // Refused by the server (the wrong account, no right to sign in): asking at once brings the same answer.
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Denied) => {}
            Err(_) => self.session = None,
        }
    }
}

impl Drop for OnShow {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.inner.note_unanswered();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(seconds: &[i64]) -> Vec<Timestamp> {
        seconds.iter().copied().map(Timestamp::from_secs).collect()
    }

    #[test]
    fn the_pause_grows_and_then_it_ends() {
        let wait = |until| Verdict::NotBefore(Timestamp::from_secs(until));
        for (unanswered, now, expected) in [
            (&[][..], 1_000, Verdict::Ask),
            (&[1_000], 1_000, wait(1_060)),
            (&[1_000], 1_059, wait(1_060)),
            (&[1_000], 1_060, Verdict::Ask),
            (&[1_000, 1_060], 1_061, wait(1_360)),
            (&[1_000, 1_060], 1_360, Verdict::Ask),
            (&[1_000, 1_060, 1_360], 1_361, wait(2_260)),
            (&[1_000, 1_060, 1_360, 2_260], 2_261, wait(5_860)),
            (&[1_000, 1_060, 1_360, 2_260], 5_860, Verdict::Ask),
            (&[1_000, 1_060, 1_360, 2_260, 5_860], 5_861, Verdict::NotAtAll { unanswered: 5 }),
            // It stays ended, however long ago it was.
            (&[1_000, 1_060, 1_360, 2_260, 5_860], 900 * DAY, Verdict::NotAtAll { unanswered: 5 }),
            // One refusal every two days never ends it.
            (&[DAY, 3 * DAY, 5 * DAY, 7 * DAY, 9 * DAY, 11 * DAY], 11 * DAY, wait(11 * DAY + 60)),
            // The clock was set back.
            (&[1_000_000], 1_000, Verdict::Ask),
        ] {
            assert_eq!(judge(&at(unanswered), Timestamp::from_secs(now)), expected, "{unanswered:?} at {now}");
        }
    }

    #[test]
    fn processes_count_together_and_a_login_ends_the_count() {
        let folder = tempfile::tempdir().unwrap();
        let key = SessionKey::of_parts([Some("x")]);
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let prompts = Prompts::new(folder.path(), &key);
                std::thread::spawn(move || {
                    for line in 0..25 {
                        prompts.note(Timestamp::from_secs(1_000 * thread + line));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let prompts = Prompts::new(folder.path(), &key);
        assert_eq!(prompts.read().len(), 100);
        assert!(prompts.read().is_sorted());
        assert!(Prompts::new(folder.path(), &SessionKey::of_parts([Some("y")])).read().is_empty());
        prompts.clear();
        assert!(prompts.read().is_empty());
    }

    #[test]
    fn nonsense_in_the_file_mutes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let prompts = Prompts::new(folder.path(), &SessionKey::of_parts([Some("x")]));
        prompts.note(Timestamp::from_secs(1));
        std::fs::write(&prompts.path, b"nonsense\n\n12345678901234567890123\n").unwrap();
        assert!(prompts.read().is_empty());
        std::fs::write(&prompts.path, [0xff, 0xfe]).unwrap();
        assert!(prompts.read().is_empty());
    }
}

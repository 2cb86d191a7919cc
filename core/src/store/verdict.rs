//! Whether the keyring works here and now, for `auto`: found out by a round trip, and remembered where asking again
//! would only cost time.
//!
//! "It works" is remembered for a day, so that `status` does not write into the keyring each time; using the key proves
//! it anew anyway. Of the failures only the slow one, no answer, is remembered, for five minutes; the others are quick
//! to ask again, and a person may just have unlocked the keyring. A verdict holds for the bus that it was found on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::note;
use super::os_keyring::{ANSWER, Keyring};
use super::private::{Durability, write_private};
use crate::clock::{SystemClock, Timestamp};

const WORKS_FOR: Duration = Duration::from_secs(24 * 3600);
const SILENT_FOR: Duration = Duration::from_secs(300);
/// A desktop, a session over SSH and a terminal multiplexer take turns; more are forgotten.
const MOST: usize = 8;

/// `Err` says why not, in words that follow "a 0600 file:".
pub(super) type Verdict = Result<(), String>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// What it was found on.
    bus: String,
    works: bool,
    /// Milliseconds since the epoch.
    at: i64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Notes {
    #[serde(default)]
    verdicts: Vec<Remembered>,
}

impl Notes {
    /// Whether the keyring on `bus` works, as far as that still holds.
    pub(crate) fn remembered(&self, bus: &str, now: Timestamp) -> Option<bool> {
        let verdict = self.verdicts.iter().find(|verdict| verdict.bus == bus)?;
        let lifetime = if verdict.works { WORKS_FOR } else { SILENT_FOR };
        let at = Timestamp::from_millis(verdict.at);
        // One from the future was made by another clock.
        (at <= now && now.since(at) < lifetime).then_some(verdict.works)
    }
}

/// Finds out, or remembers. Calls may block for [`ANSWER`].
#[derive(Debug, Clone)]
pub(super) struct Verdicts {
    state: PathBuf,
}

impl Verdicts {
    pub(super) fn new(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    pub(super) fn now(&self) -> Verdict {
        let now = SystemClock::read();
        let bus = bus();
        match self.remembered(&bus, now) {
            Some(true) => Ok(()),
            Some(false) => Err(silent()),
            None => self.find_out(bus, now),
        }
    }

    /// The keyring failed when it was needed: what was remembered of it is wrong.
    pub(super) fn forget(&self) {
        let bus = bus();
        self.note(|verdicts| verdicts.retain(|verdict| verdict.bus != bus));
    }

    fn remembered(&self, bus: &str, now: Timestamp) -> Option<bool> {
        self.read().remembered(bus, now)
    }

    fn find_out(&self, bus: String, now: Timestamp) -> Verdict {
        let found = Keyring::SILENT.probe();
        let works = match &found {
            Ok(()) => Some(true),
            Err(error) if error.code() == "keyring_timeout" => Some(false),
            Err(_) => None,
        };
        self.note(|verdicts| {
            verdicts.retain(|verdict| verdict.bus != bus);
            if let Some(works) = works {
                verdicts.insert(0, Remembered { bus, works, at: now.as_millis() });
            }
            verdicts.truncate(MOST);
        });
        found.map_err(|error| if works == Some(false) { silent() } else { error.message().to_owned() })
    }

    fn path(&self) -> PathBuf {
        self.state.join("keyring.json")
    }

    /// What cannot be read is not remembered.
    fn read(&self) -> Notes {
        note::read(&self.path())
    }

    /// Only beside something else that is kept: looking creates nothing.
    fn note(&self, change: impl FnOnce(&mut Vec<Remembered>)) {
        if !self.state.is_dir() {
            return;
        }
        let mut notes = self.read();
        let before = notes.verdicts.clone();
        change(&mut notes.verdicts);
        if notes.verdicts != before
            && let Ok(bytes) = serde_json::to_vec(&notes)
        {
            let _ = write_private(&self.path(), &bytes, Durability::Crash);
        }
    }
}

fn silent() -> String {
    format!("the keyring did not answer within {} s", ANSWER.as_secs())
}

/// What a verdict depends on. The bus of another desktop session has another address, or a socket of another number.
fn bus() -> String {
    if cfg!(any(target_os = "macos", windows)) {
        return "native".to_owned();
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let address = variable("DBUS_SESSION_BUS_ADDRESS").or_else(|| {
        let folder = variable("XDG_RUNTIME_DIR")?;
        Some(format!("unix:path={folder}/bus"))
    });
    let address = address.unwrap_or_default();
    let socket = address.strip_prefix("unix:path=").map(|path| path.split([',', ';']).next().unwrap_or_default());
    match socket.and_then(|path| std::fs::symlink_metadata(path).ok()) {
        Some(metadata) => format!("{address} {}", number(&metadata)),
        None => address,
    }
}

#[cfg(unix)]
fn number(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_metadata: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(works: bool, at: Timestamp) -> (tempfile::TempDir, Verdicts) {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::new(folder.path());
        verdicts.note(|list| list.push(Remembered { bus: "b".into(), works, at: at.as_millis() }));
        (folder, verdicts)
    }

    #[test]
    fn a_verdict_holds_for_its_bus_and_its_time() {
        let start = Timestamp::from_secs(1_000_000);
        for (works, lifetime) in [(true, WORKS_FOR), (false, SILENT_FOR)] {
            let (_keep, verdicts) = noted(works, start);
            assert_eq!(verdicts.remembered("b", start), Some(works));
            assert_eq!(verdicts.remembered("other", start), None);
            assert_eq!(verdicts.remembered("b", start.plus(lifetime)), None);
            assert_eq!(verdicts.remembered("b", Timestamp::from_secs(999_999)), None, "from the future");
        }
    }

    #[test]
    fn looking_creates_nothing_and_damage_is_no_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::new(&folder.path().join("state"));
        verdicts.note(|list| list.push(Remembered { bus: "b".into(), works: true, at: 0 }));
        assert!(!folder.path().join("state").exists());
        let (keep, verdicts) = noted(true, Timestamp::from_secs(5));
        std::fs::write(keep.path().join("keyring.json"), "{half").unwrap();
        assert_eq!(verdicts.remembered("b", Timestamp::from_secs(5)), None);
    }
}

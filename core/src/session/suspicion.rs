//! A rejected token, as seen by a command that clients rerun (contract, "Called by a client" 5).
//!
//! After a 401 the shipped clients run `admin.command` again and cannot say why. The same parent asking again for the
//! same token is therefore a suspicion, never a proof: only the server's own word makes us drop a token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Session, TokenOptions};
use crate::clock::Timestamp;
use crate::discovery::Target;
use crate::error::{ErrorKind, Result};
use crate::store::{SessionKey, note};

/// A client asks again at once where it retries for other reasons; a token that was just served is not suspected.
const GRACE: Duration = Duration::from_secs(30);
/// Where the server cannot be asked, one refresh in this time.
const BLIND_REFRESH_PAUSE: Duration = Duration::from_secs(300);
/// Longest that the question to the server may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Callers that are remembered for one session; the oldest go first.
const MOST_CALLERS: usize = 32;

/// The process that asked: its id alone may be another process by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Process id.
    pub pid: u32,
    /// Start time in the system's own unit.
    pub started: u64,
}

/// What was served to whom; kept beside the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    served: Vec<Served>,
    /// When a refresh was last made on a suspicion that could not be checked (milliseconds).
    #[serde(default)]
    blind_refresh_at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Served {
    caller: Caller,
    generation: u64,
    /// When this generation was first served to the caller (milliseconds).
    at: i64,
}

impl Ledger {
    /// Whether this caller received this generation more than 30 s ago.
    pub fn suspects(&self, caller: Caller, generation: u64, now: Timestamp) -> bool {
        self.served.iter().any(|served| {
            served.caller == caller
                && served.generation == generation
                && now.since(Timestamp::from_millis(served.at)) > GRACE
        })
    }

    /// Notes that the caller receives this generation; whether that was news.
    pub fn note(&mut self, caller: Caller, generation: u64, now: Timestamp) -> bool {
        if let Some(served) = self.served.iter_mut().find(|served| served.caller == caller) {
            if served.generation == generation {
                return false;
            }
            *served = Served { caller, generation, at: now.as_millis() };
            return true;
        }
        if self.served.len() >= MOST_CALLERS {
            self.served.remove(0);
        }
        self.served.push(Served { caller, generation, at: now.as_millis() });
        true
    }

    /// Restarts the caller's time: the server has just confirmed the token.
    fn confirmed(&mut self, caller: Caller, now: Timestamp) {
        if let Some(served) = self.served.iter_mut().find(|served| served.caller == caller) {
            served.at = now.as_millis();
        }
    }

    /// What was served to this caller last.
    fn generation(&self, caller: Caller) -> Option<u64> {
        self.served.iter().find(|served| served.caller == caller).map(|served| served.generation)
    }

    fn may_refresh_blindly(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_millis(self.blind_refresh_at)) >= BLIND_REFRESH_PAUSE
    }

    fn path(state: &Path, key: &SessionKey) -> PathBuf {
        state.join("served").join(format!("{}.json", key.as_str()))
    }

    /// The ledger of a session; an unreadable one is an empty one, since it decides nothing but when to ask.
    pub fn load(state: &Path, key: &SessionKey) -> Self {
        note::read(&Self::path(state, key))
    }

    /// Writes the ledger; a failure is not worth a word.
    pub fn save(&self, state: &Path, key: &SessionKey) {
        note::write(&Self::path(state, key), self);
    }
}

impl Session {
    /// Follows up a suspicion: asks the server (`UserInfo` or `/me`), and drops the current token only if the server
    /// answers 401 or gRPC 16. Where that call is not implemented, one refresh in five minutes.
    ///
    /// # Errors
    /// Never for a failing question: the token then simply serves on.
    pub async fn follow_up(&self, ledger: &mut Ledger, caller: Caller) -> Result<()> {
        let now = self.inner.context.clock.now();
        match tokio::time::timeout(QUESTION_TIMEOUT, self.whoami()).await {
            Ok(Ok(_)) => ledger.confirmed(caller, now),
            Ok(Err(error)) if error.code() == "unauthenticated" && !self.asks_an_issuer() => self.invalidate(None),
            Ok(Err(error)) if matches!(error.code(), "unimplemented" | "unauthenticated") => {
                // Another process may have refreshed meanwhile: nothing is said against that token.
                let current =
                    self.inner.cell.load().as_ref().and_then(|current| Some(current.token.as_ref()?.generation()));
                if current == ledger.generation(caller) && ledger.may_refresh_blindly(now) {
                    ledger.blind_refresh_at = now.as_millis();
                    // Nothing is proven against the old token: it serves on if the refresh fails.
                    let refresh = self.token_once(TokenOptions { force_refresh: true, ..TokenOptions::default() });
                    let _ = tokio::time::timeout(QUESTION_TIMEOUT, refresh).await;
                }
            }
            Ok(Err(error)) if error.kind() == ErrorKind::Config => return Err(error),
            Ok(Err(_)) | Err(_) => {}
        }
        Ok(())
    }

    /// An authorization server's own user info is no word about the API that the token is for: most refuse a token with
    /// another audience there, however good it is.
    fn asks_an_issuer(&self) -> bool {
        matches!(self.inner.target, Target::Issuer(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Caller = Caller { pid: 7, started: 1 };
    const SAME_PID: Caller = Caller { pid: 7, started: 2 };

    #[test]
    fn only_the_same_process_asking_late_for_the_same_token_is_suspicious() {
        let at = Timestamp::from_secs;
        let mut ledger = Ledger::default();
        assert!(!ledger.suspects(CALLER, 3, at(100)));
        assert!(ledger.note(CALLER, 3, at(100)));
        assert!(!ledger.suspects(CALLER, 3, at(110)), "four tries without a pause are no news");
        assert!(!ledger.note(CALLER, 3, at(110)), "the first time counts");
        assert!(ledger.suspects(CALLER, 3, at(131)));
        assert!(!ledger.suspects(SAME_PID, 3, at(131)), "another process under the same id");
        assert!(!ledger.suspects(CALLER, 4, at(131)), "another token");
        ledger.confirmed(CALLER, at(131));
        assert!(!ledger.suspects(CALLER, 3, at(150)));
        ledger.note(CALLER, 4, at(160));
        assert!(!ledger.suspects(CALLER, 4, at(170)));
    }

    #[test]
    fn the_ledger_does_not_grow_for_ever_and_survives_nonsense() {
        let folder = tempfile::tempdir().unwrap();
        let key = SessionKey::of_parts([Some("x")]);
        let mut ledger = Ledger::default();
        for pid in 0..100 {
            ledger.note(Caller { pid, started: 0 }, 1, Timestamp::from_secs(1));
        }
        assert_eq!(ledger.served.len(), MOST_CALLERS);
        ledger.save(folder.path(), &key);
        assert_eq!(Ledger::load(folder.path(), &key), ledger);
        std::fs::write(Ledger::path(folder.path(), &key), "nonsense").unwrap();
        assert_eq!(Ledger::load(folder.path(), &key), Ledger::default());
    }

    #[test]
    fn blind_refreshes_are_rationed() {
        let mut ledger = Ledger::default();
        let now = Timestamp::from_secs(1_000_000);
        assert!(ledger.may_refresh_blindly(now));
        ledger.blind_refresh_at = now.as_millis();
        assert!(!ledger.may_refresh_blindly(now.plus(Duration::from_secs(299))));
        assert!(ledger.may_refresh_blindly(now.plus(Duration::from_secs(300))));
    }
}

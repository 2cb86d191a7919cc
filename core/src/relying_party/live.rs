//! What this process knows of sessions beside their cookies: the newest tokens of each, the one exchange that runs, those
//! that are over, and the answers of sign-ins that were taken.
//!
//! A browser sends its requests side by side. The first of them renews the tokens; the others come with the old cookie,
//! whose refresh token the provider takes no more: they get the renewed session from here.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, Shared};
use sha2::{Digest as _, Sha256};

use super::bounded::Bounded;
use super::data::Snapshot;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Sessions that are kept in memory at least, and as many again.
const SESSIONS: usize = 1024;
/// Cookies whose content is known.
const COOKIES: usize = 4096;
/// Sessions that are over, and answers that were taken.
const OVER: usize = 16 * 1024;
/// A renewed session is not forgotten for so long: requests with the old cookie are on their way.
const GRACE: Duration = Duration::from_secs(60);

pub(super) type Digest = [u8; 32];
pub(super) type Flight = Shared<BoxFuture<'static, Result<()>>>;

pub(super) fn digest(text: &[u8]) -> Digest {
    Sha256::digest(text).into()
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session's record in a store.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) generation: u64,
    pub(super) used: Timestamp,
    pub(super) by_first: bool,
}

/// The exchange of one session.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) running: Option<Flight>,
    /// After a failure nobody tries before this.
    pub(super) not_before: Option<Timestamp>,
    pub(super) failures: u32,
    pub(super) last_error: Option<Error>,
}

/// One session in this process.
pub(super) struct Live {
    pub(super) sid: Arc<str>,
    pub(super) created: Timestamp,
    current: ArcSwap<Snapshot>,
    /// Milliseconds: when a request came with it.
    used: AtomicI64,
    over: AtomicBool,
    /// The access token of this generation and those before were rejected by whom they are for.
    rejected: AtomicU64,
    /// What the store holds of it.
    pub(super) record: Mutex<Option<Stored>>,
    pub(super) turn: Mutex<Turn>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("generation", &self.current().generation()).finish_non_exhaustive()
    }
}

impl Live {
    fn new(snapshot: Snapshot) -> Self {
        Self {
            sid: snapshot.data.sid.as_str().into(),
            created: snapshot.data.created,
            used: AtomicI64::new(snapshot.data.used.as_millis()),
            current: ArcSwap::from_pointee(snapshot),
            over: AtomicBool::new(false),
            rejected: AtomicU64::new(0),
            record: Mutex::default(),
            turn: Mutex::default(),
        }
    }

    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Takes `snapshot`, unless what is there is as new.
    pub(super) fn renew(&self, snapshot: Snapshot) {
        let new = Arc::new(snapshot);
        self.current.rcu(|old| if old.generation() < new.generation() { Arc::clone(&new) } else { Arc::clone(old) });
    }

    pub(super) fn used(&self) -> Timestamp {
        Timestamp::from_millis(self.used.load(Ordering::Relaxed))
    }

    pub(super) fn use_at(&self, now: Timestamp) {
        self.used.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(super) fn reject(&self, generation: u64) {
        self.rejected.fetch_max(generation, Ordering::Relaxed);
    }

    pub(super) fn is_rejected(&self, generation: u64) -> bool {
        self.rejected.load(Ordering::Relaxed) >= generation
    }

    /// Why nobody tries now.
    pub(super) fn pause(&self, now: Timestamp) -> Option<Error> {
        let turn = locked(&self.turn);
        if turn.running.is_some() || turn.not_before.is_none_or(|until| now >= until) {
            return None;
        }
        turn.last_error.clone()
    }
}

/// What a cookie was found to be.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) sid: Arc<str>,
    /// Of the tokens in it; 0 where a store has them.
    pub(super) generation: u64,
    pub(super) used: Timestamp,
    pub(super) by_first: bool,
}

pub(super) struct Registry {
    lives: Mutex<Bounded<Arc<str>, Arc<Live>>>,
    cookies: Mutex<Bounded<Digest, Known>>,
    over: Mutex<Bounded<Arc<str>, ()>>,
    answers: Mutex<Bounded<Digest, ()>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            lives: Mutex::new(Bounded::new(SESSIONS)),
            cookies: Mutex::new(Bounded::new(COOKIES)),
            over: Mutex::new(Bounded::new(OVER)),
            answers: Mutex::new(Bounded::new(OVER)),
        }
    }
}

impl Registry {
    pub(super) fn known(&self, cookie: &Digest) -> Option<Known> {
        locked(&self.cookies).get(cookie).cloned()
    }

    pub(super) fn remember(&self, cookie: Digest, known: Known) {
        locked(&self.cookies).keep(cookie, known, |_| false);
    }

    pub(super) fn live(&self, sid: &str) -> Option<Arc<Live>> {
        locked(&self.lives).get(sid).cloned()
    }

    /// The session of `snapshot`, which becomes its newest if it is; `None` if it is over.
    pub(super) fn admit(&self, snapshot: Snapshot, now: Timestamp) -> Option<Arc<Live>> {
        let mut lives = locked(&self.lives);
        // With the lock: whoever ends it meanwhile finds it here.
        if self.is_over(&snapshot.data.sid) {
            return None;
        }
        if let Some(live) = lives.get(snapshot.data.sid.as_str()) {
            live.use_at(snapshot.data.used);
            live.renew(snapshot);
            return Some(Arc::clone(live));
        }
        let live = Arc::new(Live::new(snapshot));
        let holds = |live: &Arc<Live>| {
            let renewed = live.current().data.obtained_at;
            Arc::strong_count(live) > 1 || now < renewed.plus(GRACE)
        };
        lives.keep(Arc::clone(&live.sid), Arc::clone(&live), holds);
        Some(live)
    }

    pub(super) fn end(&self, sid: &str) {
        locked(&self.over).keep(sid.into(), (), |()| false);
        if let Some(live) = locked(&self.lives).remove(sid) {
            live.over.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_over(&self, sid: &str) -> bool {
        locked(&self.over).get(sid).is_some()
    }

    /// Whether the answer to this `state` was not taken before; it is now.
    pub(super) fn take_answer(&self, state: &str) -> bool {
        let state = digest(state.as_bytes());
        let mut answers = locked(&self.answers);
        let new = answers.get(&state).is_none();
        answers.keep(state, (), |()| false);
        new
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 4] {
        [locked(&self.lives).len(), locked(&self.cookies).len(), locked(&self.over).len(), locked(&self.answers).len()]
    }
}

//! Where sessions are kept that do not travel in cookies.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, ready};

use crate::clock::{Clock, Timestamp};
use crate::error::Result;

/// Keeps sealed sessions under names that give nothing away: hashes of their ids. Whoever can read a store can neither
/// open a session nor present one.
///
/// Several processes that share a store share their sessions.
pub trait SessionStore: Send + Sync + fmt::Debug {
    /// The bytes under `key`, if they are there and their time has not run out.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>>;

    /// Keeps `sealed` under `key`, in place of what was there, for `lifetime` from now.
    fn put<'a>(&'a self, key: &'a str, sealed: Bytes, lifetime: Duration) -> BoxFuture<'a, Result<()>>;

    /// Removes what is under `key`. Nothing there is no error.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>>;

    /// As [`SessionStore::get`], by a store that answers without waiting. `None`: it has to be awaited.
    fn get_now(&self, key: &str) -> Option<Option<Bytes>> {
        let _ = key;
        None
    }
}

/// Sessions that [`MemorySessions`] keeps, unless said otherwise.
pub const KEPT_IN_MEMORY: usize = 10_000;

struct Kept {
    sealed: Bytes,
    until: Timestamp,
    /// When it was put there: the oldest go first where there is no room.
    put: u64,
}

#[derive(Default)]
struct Sessions {
    kept: HashMap<String, Kept>,
    puts: u64,
}

/// Keeps sessions in this process: a restart signs everybody out. Bounded: where there is no room, those that were not
/// written for the longest go.
pub struct MemorySessions {
    clock: Arc<dyn Clock>,
    most: usize,
    sessions: Mutex<Sessions>,
}

impl fmt::Debug for MemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySessions").field("kept", &self.len()).field("most", &self.most).finish_non_exhaustive()
    }
}

impl MemorySessions {
    /// Keeps at most `most` sessions (at least 16).
    pub fn new(clock: Arc<dyn Clock>, most: usize) -> Self {
        Self { clock, most: most.max(16), sessions: Mutex::default() }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.locked().kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn locked(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, key: &str) -> Option<Bytes> {
        let now = self.clock.now();
        let mut sessions = self.locked();
        let found = sessions.kept.get(key)?;
        if now < found.until {
            return Some(found.sealed.clone());
        }
        sessions.kept.remove(key);
        None
    }

    fn write(&self, key: &str, sealed: Bytes, lifetime: Duration) {
        let now = self.clock.now();
        let mut sessions = self.locked();
        if sessions.kept.len() >= self.most && !sessions.kept.contains_key(key) {
            sessions.kept.retain(|_, kept| now < kept.until);
            if sessions.kept.len() >= self.most {
                // A sixteenth at once, so that not every sign-in looks at all of them.
                let mut puts: Vec<u64> = sessions.kept.values().map(|kept| kept.put).collect();
                let at = (self.most / 16).min(puts.len() - 1);
                let (_, last, _) = puts.select_nth_unstable(at);
                let last = *last;
                sessions.kept.retain(|_, kept| kept.put > last);
                tracing::warn!(most = self.most, "there is no room for more sessions: the oldest are gone");
            }
        }
        sessions.puts += 1;
        let put = sessions.puts;
        sessions.kept.insert(key.to_owned(), Kept { sealed, until: now.plus(lifetime), put });
    }
}

impl SessionStore for MemorySessions {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        ready(Ok(self.read(key))).boxed()
    }

    fn put<'a>(&'a self, key: &'a str, sealed: Bytes, lifetime: Duration) -> BoxFuture<'a, Result<()>> {
        self.write(key, sealed, lifetime);
        ready(Ok(())).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        self.locked().kept.remove(key);
        ready(Ok(())).boxed()
    }

    fn get_now(&self, key: &str) -> Option<Option<Bytes>> {
        Some(self.read(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::fake::FakeClock;

    #[test]
    fn bounded_and_timed() {
        let clock = Arc::new(FakeClock::default());
        let store = MemorySessions::new(Arc::clone(&clock) as _, 32);
        let second = Duration::from_secs(1);
        for at in 0..100 {
            store.write(&at.to_string(), Bytes::from_static(b"x"), 60 * second);
        }
        assert!(store.len() <= 32 && store.read("99").is_some() && store.read("0").is_none());
        store.write("99", Bytes::from_static(b"y"), 10 * second);
        assert_eq!(store.get_now("99"), Some(Some(Bytes::from_static(b"y"))));
        clock.advance(10 * second);
        assert!(store.read("99").is_none());
        store.delete("98").now_or_never().unwrap().unwrap();
        assert!(store.read("98").is_none());
    }
}

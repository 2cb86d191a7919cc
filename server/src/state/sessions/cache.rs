//! The sessions that were read or written last.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flyte_auth::Timestamp;

/// How long a session is answered from memory.
pub(super) const KEPT: Duration = Duration::from_secs(30);
/// Sessions.
pub(super) const MOST: usize = 4096;
/// Bytes of sealed sessions: one with large tokens takes tens of kilobytes.
const MOST_BYTES: usize = 16 << 20;
/// Counters of changes; keys share them.
const COUNTERS: usize = 64;

/// The state of a key's counter at one moment: whoever looks again sees whether a write began or ended since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

struct Kept {
    sealed: Bytes,
    put_at: Timestamp,
    until: Timestamp,
    /// The order of arrival: the oldest go first where there is no room.
    order: u64,
}

struct Inner {
    kept: HashMap<String, Kept>,
    bytes: usize,
    order: u64,
    changes: [u64; COUNTERS],
}

/// A bounded map that never gets a value that was overtaken by a write: what is put names what it saw before it asked the
/// database, and is dropped if the key has changed since.
pub(super) struct Cache(Mutex<Inner>);

impl Default for Cache {
    fn default() -> Self {
        Self(Mutex::new(Inner { kept: HashMap::new(), bytes: 0, order: 0, changes: [0; COUNTERS] }))
    }
}

fn counter(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::from(hasher.finish().to_le_bytes()[0]) % COUNTERS
}

impl Inner {
    fn remove(&mut self, key: &str) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes -= kept.sealed.len();
        }
    }

    fn change(&mut self, key: &str) -> Seen {
        self.remove(key);
        let changes = &mut self.changes[counter(key)];
        *changes += 1;
        Seen(*changes)
    }

    fn insert(&mut self, key: &str, sealed: Bytes, now: Timestamp, lifetime: Duration) {
        if sealed.len() > MOST_BYTES / 16 {
            return;
        }
        self.remove(key);
        self.make_room(sealed.len(), now);
        self.bytes += sealed.len();
        self.order += 1;
        let until = now.plus(lifetime.min(KEPT));
        self.kept.insert(key.to_owned(), Kept { sealed, put_at: now, until, order: self.order });
    }

    /// Room for one of `size` bytes.
    fn make_room(&mut self, size: usize, now: Timestamp) {
        if self.kept.len() < MOST && self.bytes + size <= MOST_BYTES {
            return;
        }
        self.kept.retain(|_, kept| now < kept.until);
        // A sixteenth at once, so that not every one that comes looks at all of them.
        let mut orders: Vec<(u64, usize)> = self.kept.values().map(|kept| (kept.order, kept.sealed.len())).collect();
        orders.sort_unstable();
        self.bytes = orders.iter().map(|(_, size)| size).sum();
        let mut oldest = 0;
        for (at, (order, bytes)) in orders.iter().enumerate() {
            if at >= MOST / 16 && self.bytes + size <= MOST_BYTES {
                break;
            }
            oldest = *order;
            self.bytes -= bytes;
        }
        self.kept.retain(|_, kept| kept.order > oldest);
    }
}

impl Cache {
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &str, now: Timestamp) -> Option<Bytes> {
        let inner = self.locked();
        // A clock that was set back must not stretch the time.
        inner.kept.get(key).filter(|kept| kept.put_at <= now && now < kept.until).map(|kept| kept.sealed.clone())
    }

    pub(super) fn watch(&self, key: &str) -> Seen {
        Seen(self.locked().changes[counter(key)])
    }

    /// A write of `key` begins.
    pub(super) fn begin(&self, key: &str) -> Seen {
        self.locked().change(key)
    }

    /// A write of `key` has ended, well or not.
    pub(super) fn end(&self, key: &str) {
        // What was read while it went on may be what was there before.
        self.locked().change(key);
    }

    /// As [`Cache::end`], and keeps what was written.
    pub(super) fn end_with(&self, key: &str, sealed: Bytes, now: Timestamp, lifetime: Duration, began: Seen) {
        let mut inner = self.locked();
        let alone = inner.changes[counter(key)] == began.0;
        inner.change(key);
        // Of two writes at once, nobody knows here which one the database did last.
        if alone {
            inner.insert(key, sealed, now, lifetime);
        }
    }

    /// Keeps what was read, unless the key has changed since `seen`.
    pub(super) fn put(&self, key: &str, sealed: Bytes, now: Timestamp, seen: Seen) {
        let mut inner = self.locked();
        if inner.changes[counter(key)] == seen.0 {
            inner.insert(key, sealed, now, KEPT);
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let inner = self.locked();
        (inner.kept.len(), inner.bytes)
    }
}

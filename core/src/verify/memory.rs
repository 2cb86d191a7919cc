//! Tokens that were verified before, by the hash of the whole token: never the token itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::access_token::VerifiedToken;
use super::jwk::Key;
use crate::clock::Timestamp;

/// Shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// SHA-256 of a token.
pub(super) type Hash = [u8; 32];

/// A token's hash, and the hash as it stood where the signature begins: what was signed is not hashed a second time.
pub(super) struct Hashed {
    pub(super) whole: Hash,
    pub(super) signed: Sha256,
}

pub(super) fn hash(token: &str) -> Hashed {
    let (signed, signature) = token.as_bytes().split_at(token.rfind('.').unwrap_or(0));
    let signed = Sha256::new_with_prefix(signed);
    let whole = signed.clone().chain_update(signature).finalize().into();
    Hashed { whole, signed }
}

/// What was found, and on what it rests.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) token: Arc<VerifiedToken>,
    /// Not served from here on.
    pub(super) until: Timestamp,
    /// Not served before: a clock that was set back makes a token not valid yet.
    pub(super) from: Timestamp,
    /// The key that signed, and the number of the key set in which it was seen last; `None` for a token that the
    /// authorization server vouched for.
    pub(super) key: Option<(Arc<Key>, u64)>,
}

/// Whether what an entry rests on is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// It is: the entry serves.
    Holds,
    /// It is not: the entry is dropped.
    Gone,
    /// Nobody can tell now: the entry stays and does not serve.
    Unknown,
}

/// Two generations: what was not asked for while the younger one filled up is forgotten, in constant time.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Hash, Entry>,
    old: HashMap<Hash, Entry>,
}

#[derive(Debug)]
pub(super) struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    /// Of one generation of one shard.
    capacity: usize,
}

impl Memory {
    /// Keeps about `capacity` tokens, at most twice as many; zero keeps none.
    pub(super) fn new(capacity: usize) -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), capacity: capacity.div_ceil(SHARDS) }
    }

    fn shard(&self, hash: &Hash) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(hash[31]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token, if `now` is within its time and its `ground` holds; one whose time or ground is gone is dropped.
    pub(super) fn get(
        &self,
        hash: &Hash,
        now: Timestamp,
        ground: impl FnOnce(&mut Entry) -> Ground,
    ) -> Option<Arc<VerifiedToken>> {
        let mut shard = self.shard(hash);
        if !shard.old.is_empty()
            && let Some(entry) = shard.old.remove(hash)
        {
            shard.young.insert(*hash, entry);
        }
        let entry = shard.young.get_mut(hash)?;
        let in_time = entry.from <= now && now < entry.until;
        match if in_time { ground(entry) } else { Ground::Gone } {
            Ground::Holds => return Some(Arc::clone(&entry.token)),
            Ground::Gone => drop(shard.young.remove(hash)),
            Ground::Unknown => {}
        }
        None
    }

    pub(super) fn keep(&self, hash: Hash, entry: Entry) {
        if self.capacity == 0 {
            return;
        }
        let mut shard = self.shard(&hash);
        if shard.young.len() >= self.capacity {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(hash, entry);
    }

    /// How many tokens are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let of = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests;

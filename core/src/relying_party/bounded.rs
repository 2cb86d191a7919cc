//! A map with an end: what was not asked for while the younger half filled up is forgotten, in constant time on average.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Of one half.
    most: usize,
    /// When the young half is full: more than `most` while much of it may not be forgotten.
    full: usize,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most, full: most }
    }

    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.old.is_empty()
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.young.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(super) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let old = self.old.remove(key);
        self.young.remove(key).or(old)
    }

    /// Keeps `value`; what `holds` says of is not forgotten.
    pub(super) fn keep(&mut self, key: K, value: V, holds: impl Fn(&V) -> bool) {
        if self.young.len() >= self.full {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.young = forgotten.into_iter().filter(|(_, value)| holds(value)).collect();
            self.full = self.most.max(2 * self.young.len());
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_an_end_and_keeps_what_is_used_or_held() {
        let mut map = Bounded::new(10);
        for at in 0..1000 {
            map.keep(at, at, |value| *value == 7);
            map.get(&1);
        }
        assert!(map.len() <= 20, "{}", map.len());
        assert!(map.get(&1).is_some() && map.get(&7).is_some() && map.get(&2).is_none());
        assert_eq!(map.remove(&7), Some(7));
        assert!(map.get(&7).is_none());
    }
}

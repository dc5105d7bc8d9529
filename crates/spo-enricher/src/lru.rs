//! Pure. A map of bounded size: what was not used for longest makes room, and what was not used for
//! too long goes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys by their last use.
    order: BTreeMap<u64, K>,
    next: u64,
    capacity: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    last: u64,
    used: Duration,
}

impl<K: Eq + Hash + Clone, V> Lru<K, V> {
    /// An empty one. An entry leaves when it was not used for `idle`.
    pub(crate) fn new(capacity: usize, idle: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
            capacity,
            idle,
        }
    }

    /// The value of a key, which counts as a use.
    pub(crate) fn get<Q>(&mut self, key: &Q, now: Duration) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let used = self.entries.get(key)?.used;
        if now.saturating_sub(used) >= self.idle {
            self.remove(key);
            return None;
        }
        let entry = self.entries.get_mut(key)?;
        let key = self.order.remove(&entry.last)?;
        entry.last = self.next;
        entry.used = now;
        self.order.insert(self.next, key);
        self.next += 1;
        Some(&mut entry.value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V, now: Duration) {
        let entry = Entry {
            value,
            last: self.next,
            used: now,
        };
        if let Some(old) = self.entries.insert(key.clone(), entry) {
            self.order.remove(&old.last);
        }
        self.order.insert(self.next, key);
        self.next += 1;
        while self.entries.len() > self.capacity {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            self.entries.remove(&oldest);
        }
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.last);
        Some(entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut lru = Lru::new(2, Duration::from_secs(9));
        lru.insert("a", 1, NOW);
        lru.insert("b", 2, NOW);
        assert_eq!(lru.get("a", NOW), Some(&mut 1));
        lru.insert("c", 3, NOW);
        assert_eq!(lru.get("b", NOW), None);
        lru.insert("a", 4, NOW);
        assert_eq!(lru.get("a", NOW), Some(&mut 4));
        assert_eq!(lru.get("c", NOW), Some(&mut 3));
        assert_eq!((lru.entries.len(), lru.order.len()), (2, 2));
    }

    #[test]
    fn what_nobody_uses_goes() {
        let mut lru = Lru::new(2, Duration::from_secs(9));
        lru.insert("a", 1, NOW);
        assert_eq!(lru.get("a", Duration::from_secs(8)), Some(&mut 1));
        assert_eq!(lru.get("a", Duration::from_secs(16)), Some(&mut 1));
        assert_eq!(lru.get("a", Duration::from_secs(25)), None);
        assert_eq!((lru.entries.len(), lru.order.len()), (0, 0));
    }
}

//! What waits until its container is known; bounded in every direction, and what falls out is
//! counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How much may wait, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Items of one key; further ones are dropped.
    pub per_key: usize,
    /// Keys; the one that was silent for longest goes.
    pub keys: usize,
    /// Items in all; the oldest of the key that was silent for longest goes.
    pub items: usize,
    /// Bytes in all, as the caller counts them; likewise.
    pub bytes: usize,
    /// Since the last item of a key.
    pub age: Duration,
}

impl Limits {
    /// The contract's (02b, 5.7), and bounds of our own for all items together: 1000 keys of 129
    /// lines are 40 MiB of common lines, and much more of long ones.
    pub const CONTRACT: Self = Self {
        per_key: 129,
        keys: 1000,
        items: 8192,
        bytes: 4 << 20,
        age: Duration::from_hours(1),
    };
}

/// Items that wait, by what they wait for.
#[derive(Debug, Clone)]
pub struct Backlog<K, T> {
    limits: Limits,
    queues: BTreeMap<K, Queue<T>>,
    /// Keys by their last item, the most silent first.
    order: BTreeMap<u64, K>,
    next: u64,
    items: usize,
    bytes: usize,
    dropped: u64,
}

#[derive(Debug, Clone)]
struct Queue<T> {
    /// With their sizes.
    items: VecDeque<(T, usize)>,
    last: u64,
    touched: Duration,
}

impl<K: Ord + Clone, T> Backlog<K, T> {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            queues: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
            items: 0,
            bytes: 0,
            dropped: 0,
        }
    }

    /// Lets an item of `size` bytes wait. `now` is any clock that does not go back.
    pub fn push(&mut self, key: K, item: T, size: usize, now: Duration) {
        let waiting = self.queues.get(&key).map_or(0, |queue| queue.items.len());
        if waiting >= self.limits.per_key {
            self.dropped += 1;
            return;
        }
        let last = self.next;
        self.next += 1;
        let queue = self.queues.entry(key.clone()).or_insert_with(|| Queue {
            items: VecDeque::new(),
            last,
            touched: now,
        });
        self.order.remove(&queue.last);
        self.order.insert(last, key);
        queue.last = last;
        queue.touched = now;
        queue.items.push_back((item, size));
        self.items += 1;
        self.bytes += size;
        if self.queues.len() > self.limits.keys {
            self.drop_most_silent();
        }
        while self.items > self.limits.items || self.bytes > self.limits.bytes {
            self.drop_oldest();
        }
    }

    /// Takes what waits for a key, in the order in which it came.
    pub fn take(&mut self, key: &K) -> Vec<T> {
        let Some(queue) = self.queues.remove(key) else {
            return Vec::new();
        };
        self.order.remove(&queue.last);
        self.items -= queue.items.len();
        self.bytes -= queue.bytes();
        queue.items.into_iter().map(|(item, _)| item).collect()
    }

    /// What is waited for; for a look whether it has come.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.queues.keys()
    }

    /// Drops what has waited for too long.
    pub fn expire(&mut self, now: Duration) {
        while let Some(key) = self.order.values().next() {
            let is_old = self
                .queues
                .get(key)
                .is_none_or(|queue| now.saturating_sub(queue.touched) >= self.limits.age);
            if !is_old {
                return;
            }
            self.drop_most_silent();
        }
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Items that were dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_most_silent(&mut self) {
        let Some((_, key)) = self.order.pop_first() else {
            return;
        };
        if let Some(queue) = self.queues.remove(&key) {
            self.items -= queue.items.len();
            self.bytes -= queue.bytes();
            self.dropped += queue.items.len() as u64;
        }
    }

    fn drop_oldest(&mut self) {
        let Some(key) = self.order.values().next().cloned() else {
            return;
        };
        let Some(queue) = self.queues.get_mut(&key) else {
            return;
        };
        if let Some((_, size)) = queue.items.pop_front() {
            self.items -= 1;
            self.bytes -= size;
            self.dropped += 1;
        }
        if queue.items.is_empty() {
            self.order.pop_first();
            self.queues.remove(&key);
        }
    }
}

impl<T> Queue<T> {
    fn bytes(&self) -> usize {
        self.items.iter().map(|(_, size)| size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        per_key: 3,
        keys: 2,
        items: 5,
        bytes: 100,
        age: Duration::from_secs(10),
    };

    fn backlog(pushed: &[(u32, u32)]) -> Backlog<u32, u32> {
        let mut backlog = Backlog::new(LIMITS);
        for (key, item) in pushed {
            backlog.push(*key, *item, 10, Duration::from_secs(u64::from(*item)));
        }
        backlog
    }

    #[test]
    fn items_come_back_in_order_and_once() {
        let mut backlog = backlog(&[(1, 1), (2, 2), (1, 3)]);
        assert_eq!(backlog.take(&1), [1, 3]);
        assert!(backlog.take(&1).is_empty());
        assert_eq!((backlog.len(), backlog.dropped()), (1, 0));
        assert_eq!(backlog.keys().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn a_key_that_is_full_drops_what_comes() {
        let mut backlog = backlog(&[(1, 1), (1, 2), (1, 3), (1, 4)]);
        assert_eq!(backlog.dropped(), 1);
        assert_eq!(backlog.take(&1), [1, 2, 3]);
    }

    #[test]
    fn the_most_silent_key_makes_room() {
        let mut backlog = backlog(&[(1, 1), (2, 2), (1, 3), (3, 4)]);
        assert_eq!(backlog.dropped(), 1);
        assert!(backlog.take(&2).is_empty());
        assert_eq!(backlog.take(&1), [1, 3]);
        assert_eq!(backlog.take(&3), [4]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn all_together_are_bounded() {
        let mut backlog = backlog(&[(1, 1), (1, 2), (1, 3), (2, 4), (2, 5), (2, 6)]);
        assert_eq!((backlog.len(), backlog.dropped()), (5, 1));
        assert_eq!(backlog.take(&1), [2, 3]);
    }

    #[test]
    fn their_bytes_are_bounded() {
        let mut backlog = backlog(&[(1, 1), (1, 2), (2, 3)]);
        backlog.push(2, 4, 75, Duration::from_secs(4));
        assert_eq!((backlog.len(), backlog.dropped()), (3, 1));
        assert_eq!(backlog.take(&1), [2]);
        // What is larger than all together does not stay.
        backlog.push(3, 5, 101, Duration::from_secs(5));
        assert_eq!((backlog.len(), backlog.dropped()), (0, 4));
        backlog.push(3, 6, 100, Duration::from_secs(6));
        assert_eq!(backlog.take(&3), [6]);
    }

    #[test]
    fn what_waits_too_long_goes() {
        let mut backlog = backlog(&[(1, 1), (2, 5)]);
        backlog.expire(Duration::from_secs(10));
        assert_eq!(backlog.len(), 2);
        backlog.expire(Duration::from_secs(11));
        assert_eq!((backlog.len(), backlog.dropped()), (1, 1));
        backlog.expire(Duration::from_secs(100));
        assert_eq!((backlog.len(), backlog.dropped()), (0, 2));
    }
}

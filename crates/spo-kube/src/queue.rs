//! Pure. Which key is to be reconciled when: one at a time per key, coalesced, backed off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// First wait after a failure; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Also how long it takes at most until a permission that was given is used.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What became of a reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do until something changes.
    Settled,
    /// Look again after this time, unless something changes before.
    Again(Duration),
    /// It failed; try again, later each time.
    Failed,
}

/// Keys that wait, and keys that are being worked on.
#[derive(Debug)]
pub struct Queue<K> {
    entries: BTreeMap<K, Entry>,
    waiting: BTreeSet<(Instant, K)>,
    running: usize,
}

#[derive(Debug, Default)]
struct Entry {
    /// When the key is due; while it is worked on, when it will be due afterwards.
    due: Option<Instant>,
    running: bool,
    failures: u32,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            waiting: BTreeSet::new(),
            running: 0,
        }
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// Wants `key` to be reconciled at `due`, or earlier if it is wanted earlier already.
    pub fn add(&mut self, key: K, due: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        let earliest = entry.due.map_or(due, |old| old.min(due));
        if !entry.running {
            if let Some(old) = entry.due {
                self.waiting.remove(&(old, key.clone()));
            }
            self.waiting.insert((earliest, key));
        }
        entry.due = Some(earliest);
    }

    /// The next key that is due, which is from now on worked on.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let (due, _) = self.waiting.first()?;
        if *due > now {
            return None;
        }
        let (_, key) = self.waiting.pop_first()?;
        let entry = self.entries.entry(key.clone()).or_default();
        entry.due = None;
        entry.running = true;
        self.running += 1;
        Some(key)
    }

    /// Ends the work on a key.
    pub fn done(&mut self, key: K, outcome: Outcome, now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.running = false;
        self.running = self.running.saturating_sub(1);
        let again = match outcome {
            Outcome::Settled => {
                entry.failures = 0;
                None
            }
            Outcome::Again(after) => {
                entry.failures = 0;
                Some(now + after)
            }
            Outcome::Failed => {
                entry.failures = entry.failures.saturating_add(1);
                Some(now + backoff(entry.failures))
            }
        };
        match (entry.due.take(), again) {
            (None, None) => {
                self.entries.remove(&key);
            }
            (Some(due), None) | (None, Some(due)) => self.add(key, due),
            (Some(wanted), Some(again)) => self.add(key, wanted.min(again)),
        }
    }

    /// When the next key is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// How many keys wait, due or not.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many keys are being worked on.
    pub fn running(&self) -> usize {
        self.running
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_coalesced_and_run_one_at_a_time() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add("a", now);
        queue.add("a", now);
        assert_eq!(queue.pop(now), Some("a"));
        assert_eq!(queue.pop(now), None);
        // Wanted while it is worked on: once more afterwards.
        queue.add("a", now);
        assert_eq!(queue.pop(now), None);
        queue.done("a", Outcome::Settled, now);
        assert_eq!(queue.pop(now), Some("a"));
        queue.done("a", Outcome::Settled, now);
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.running(), 0);
        assert!(queue.entries.is_empty(), "a settled key costs nothing");
    }

    #[test]
    fn the_earliest_time_wins() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut queue = Queue::default();
        queue.add("a", later);
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.next_due(), Some(later));
        queue.add("a", now);
        assert_eq!(queue.pop(now), Some("a"));
        queue.done("a", Outcome::Again(Duration::from_secs(5)), now);
        assert_eq!(queue.next_due(), Some(later));
    }

    #[test]
    fn failures_back_off_and_success_forgets_them() {
        let now = Instant::now();
        let mut queue = Queue::default();
        let mut waits = Vec::new();
        let mut at = now;
        queue.add("a", now);
        for _ in 0..12 {
            assert_eq!(queue.pop(at), Some("a"));
            queue.done("a", Outcome::Failed, at);
            let due = queue.next_due().unwrap();
            waits.push(due - at);
            at = due;
        }
        assert_eq!(waits.first(), Some(&BACKOFF_MIN));
        assert_eq!(waits.get(1), Some(&(BACKOFF_MIN * 2)));
        assert_eq!(waits.last(), Some(&BACKOFF_MAX));
        assert_eq!(queue.pop(at), Some("a"));
        queue.done("a", Outcome::Settled, at);
        queue.add("a", at);
        assert_eq!(queue.pop(at), Some("a"));
        queue.done("a", Outcome::Failed, at);
        assert_eq!(queue.next_due(), Some(at + BACKOFF_MIN));
    }

    #[test]
    fn an_event_during_a_failing_reconcile_does_not_wait_for_the_backoff() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add("a", now);
        assert_eq!(queue.pop(now), Some("a"));
        queue.add("a", now);
        queue.done("a", Outcome::Failed, now);
        assert_eq!(queue.pop(now), Some("a"));
    }
}

//! Answers that are kept for a while: one question of a kind at a time, and a bound on how many.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a question is known by.
pub(super) type Key = [u8; 32];

/// An answer, and what to do with it.
pub(super) struct Held<V> {
    pub(super) answer: V,
    /// How long it is good for.
    pub(super) keep: Duration,
    /// Whether it goes last when there is no room: those who ask at random get bad ones.
    pub(super) good: bool,
}

/// The answers.
pub(super) struct Cache<V> {
    slots: Mutex<BTreeMap<Key, Arc<Slot<V>>>>,
    room: usize,
}

/// Locked while the question is asked.
type Slot<V> = tokio::sync::Mutex<Option<Known<V>>>;

struct Known<V> {
    /// `None` is no answer, which is shared with those who wait for the same.
    answer: Option<V>,
    good: bool,
    came: Instant,
    until: Instant,
}

impl<V: Clone> Cache<V> {
    pub(super) fn new(room: usize) -> Self {
        Self {
            slots: Mutex::default(),
            room,
        }
    }

    /// The answer that is known, or else the one that `ask` brings. `refused` if there is no room,
    /// because so many questions are being asked.
    pub(super) async fn get<E>(
        &self,
        key: Key,
        ask: impl Future<Output = Result<Held<V>, E>>,
        refused: E,
    ) -> Result<V, E> {
        let came = Instant::now();
        let Some(slot) = self.slot(key, came) else {
            return Err(refused);
        };
        let mut known = slot.lock().await;
        if let Some(known) = known.as_ref()
            && (known.until > Instant::now() || known.came > came)
        {
            return known.answer.clone().ok_or(refused);
        }
        let asked = ask.await;
        let now = Instant::now();
        let (keep, good, answer) = match &asked {
            Ok(held) => (held.keep, held.good, Some(held.answer.clone())),
            Err(_) => (Duration::ZERO, false, None),
        };
        *known = Some(Known {
            answer,
            good,
            came: now,
            until: now + keep,
        });
        asked.map(|held| held.answer)
    }

    fn slot(&self, key: Key, now: Instant) -> Option<Arc<Slot<V>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key) {
            return Some(Arc::clone(slot));
        }
        if slots.len() >= self.room {
            make_room(&mut slots, now);
        }
        if slots.len() >= self.room {
            return None;
        }
        let slot = Arc::new(Slot::new(None));
        slots.insert(key, Arc::clone(&slot));
        Some(slot)
    }
}

/// Forgets what is not good any more; if that is nothing, the one that is worth least.
fn make_room<V>(slots: &mut BTreeMap<Key, Arc<Slot<V>>>, now: Instant) {
    let mut least: Option<((bool, Instant), Key)> = None;
    slots.retain(|key, slot| {
        // Somebody is about to look, or asks.
        if Arc::strong_count(slot) > 1 {
            return true;
        }
        let Ok(known) = slot.try_lock() else {
            return true;
        };
        let Some(known) = known.as_ref().filter(|known| known.until > now) else {
            return false;
        };
        let worth = (known.good, known.until);
        if least.is_none_or(|(before, _)| worth < before) {
            least = Some((worth, *key));
        }
        true
    });
    if let (Some((_, key)), true) = (least, slots.len() > 1) {
        slots.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        [number; 32]
    }

    async fn put(cache: &Cache<u8>, number: u8, good: bool, keep: u64) -> Result<u8, &'static str> {
        let ask = async {
            Ok(Held {
                answer: number,
                keep: Duration::from_secs(keep),
                good,
            })
        };
        cache.get(key(number), ask, "full").await
    }

    async fn knows(cache: &Cache<u8>, number: u8) -> bool {
        let kept = cache.slots.lock().unwrap().contains_key(&key(number));
        let ask = async { Err("asked") };
        kept && cache.get(key(number), ask, "full").await == Ok(number)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_for_its_time() {
        let cache = Cache::new(2);
        assert_eq!(put(&cache, 1, true, 10).await, Ok(1));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(knows(&cache, 1).await);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!knows(&cache, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn bad_answers_make_room_before_good_ones() {
        let cache = Cache::new(3);
        put(&cache, 1, true, 10).await.unwrap();
        put(&cache, 2, false, 99).await.unwrap();
        put(&cache, 3, true, 20).await.unwrap();
        for number in 10..100 {
            assert_eq!(put(&cache, number, false, 99).await, Ok(number));
            assert!(cache.slots.lock().unwrap().len() <= 3);
        }
        assert!(knows(&cache, 1).await && knows(&cache, 3).await);
        assert!(!knows(&cache, 2).await);
        // What has run out goes whatever it was.
        tokio::time::advance(Duration::from_secs(15)).await;
        put(&cache, 4, false, 99).await.unwrap();
        put(&cache, 5, false, 99).await.unwrap();
        assert!(!knows(&cache, 1).await);
        assert!(knows(&cache, 3).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_under_way_keeps_its_place() {
        let cache: Cache<u8> = Cache::new(1);
        let slow = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Err("no answer")
        };
        let (slow, refused) = tokio::join!(cache.get(key(1), slow, "full"), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            put(&cache, 2, true, 10).await
        });
        assert_eq!((slow, refused), (Err("no answer"), Err("full")));
        assert_eq!(put(&cache, 2, true, 10).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_is_shared_and_not_kept() {
        let cache: Cache<u8> = Cache::new(1);
        let asked = std::cell::Cell::new(0);
        let ask = || async {
            asked.set(asked.get() + 1);
            tokio::time::sleep(Duration::from_secs(5)).await;
            Err("no answer")
        };
        let together = tokio::join!(
            cache.get(key(1), ask(), "no answer"),
            cache.get(key(1), ask(), "no answer"),
            cache.get(key(1), ask(), "no answer"),
        );
        assert_eq!(together.0, Err("no answer"));
        assert_eq!((together.1, together.2), (together.0, together.0));
        assert_eq!(asked.get(), 1);
        let _again = cache.get(key(1), ask(), "no answer").await;
        assert_eq!(asked.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_leaves_the_question_to_the_next() {
        let cache: Cache<u8> = Cache::new(1);
        let never = std::future::pending::<Result<Held<u8>, &str>>();
        let given_up =
            tokio::time::timeout(Duration::from_secs(1), cache.get(key(1), never, "full"));
        assert!(given_up.await.is_err());
        assert_eq!(put(&cache, 1, true, 10).await, Ok(1));
    }
}

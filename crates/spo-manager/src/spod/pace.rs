//! Pure. How soon what others change is put right: at once, unless they do it again and again. Two
//! that undo each other's work for ever would wear out the API server and every node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a change may stay while somebody fights.
pub(super) const SLOW: Duration = Duration::from_secs(10);
/// So many writes of one object within [`WINDOW`] are a fight.
const MANY: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// When each object was written lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    written: BTreeMap<String, Vec<Instant>>,
    told: bool,
}

impl Pace {
    /// Takes a write in. Whether this is news: a fight that was not told of yet.
    pub(super) fn wrote(&mut self, object: &str, now: Instant) -> bool {
        if !self.is_fight(now) {
            self.told = false;
        }
        let times = self.written.entry(object.to_owned()).or_default();
        times.retain(|time| now.saturating_duration_since(*time) < WINDOW);
        times.push(now);
        let news = times.len() >= MANY && !self.told;
        self.told = self.told || news;
        news
    }

    /// How long to wait before something is put right.
    pub(super) fn gather(&self, now: Instant) -> Duration {
        match self.is_fight(now) {
            true => SLOW,
            false => Duration::ZERO,
        }
    }

    fn is_fight(&self, now: Instant) -> bool {
        self.written.values().any(|times| {
            let recent = times
                .iter()
                .filter(|time| now.saturating_duration_since(**time) < WINDOW);
            recent.count() >= MANY
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_undoes_us_again_and_again_is_undone_slowly() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        for second in 0..4 {
            assert!(!pace.wrote("DaemonSet/spod", at(second)));
            assert!(!pace.wrote("Service/metrics", at(second)));
            assert_eq!(pace.gather(at(second)), Duration::ZERO);
        }
        assert!(pace.wrote("DaemonSet/spod", at(4)));
        assert_eq!(pace.gather(at(4)), SLOW);
        assert!(!pace.wrote("DaemonSet/spod", at(14)), "told already");
        // Some peace, and all is as before.
        assert_eq!(pace.gather(at(90)), Duration::ZERO);
        assert!(!pace.wrote("DaemonSet/spod", at(90)));
    }
}

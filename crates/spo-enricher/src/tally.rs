//! Pure. What did not become a line, and why; told once per burst.

use std::time::Duration;

/// Counts that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How often the kernel had no room for records.
    pub(crate) overruns: u64,
    /// How often a file was truncated before it was read to its end, for all we know.
    pub(crate) truncations: u64,
    /// Events whose serial number never came.
    pub(crate) lost: u64,
    /// Lines that a program put into the kernel log.
    pub(crate) forged: u64,
    /// Lines longer than any record.
    pub(crate) too_long: u64,
    /// Records with a field missing.
    pub(crate) malformed: u64,
    /// Records whose process had ended before anybody could look.
    pub(crate) process_gone: u64,
    /// Records that were dropped while they waited for their pod.
    pub(crate) not_waited_for: u64,
    /// System calls which no table has.
    pub(crate) without_name: u64,
    /// Records of the host's own processes: none of our business.
    pub(crate) of_the_host: u64,
    /// Records of containers that are no pod's.
    pub(crate) of_no_pod: u64,
    /// Records which a program wrote, and which nobody vouches for.
    pub(crate) told_by_programs: u64,
}

impl Tally {
    /// What users may miss.
    fn misses(&self) -> [u64; 9] {
        [
            self.overruns,
            self.truncations,
            self.lost,
            self.forged,
            self.too_long,
            self.malformed,
            self.process_gone,
            self.not_waited_for,
            self.without_name,
        ]
    }
}

/// How long a burst is waited out.
const BURST: Duration = Duration::from_secs(10);

/// When to tell of a tally.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    told: Tally,
    at: Option<Duration>,
}

impl Telling {
    /// Whether to tell of a tally now: something was missed since the last time, and that was long
    /// enough ago.
    pub(crate) fn is_due(&mut self, tally: Tally, now: Duration) -> bool {
        let is_soon = self.at.is_some_and(|at| now.saturating_sub(at) < BURST);
        if tally.misses() == self.told.misses() || is_soon {
            return false;
        }
        self.told = tally;
        self.at = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_once() {
        let lost = |lost| Tally {
            lost,
            of_the_host: lost,
            ..Tally::default()
        };
        let host = Tally {
            of_the_host: 7,
            ..lost(2)
        };
        let mut telling = Telling::default();
        for (tally, second, expected) in [
            (lost(0), 0, false),
            (lost(1), 1, true),
            (lost(2), 2, false),
            (lost(2), 11, true),
            (host, 30, false),
            (lost(3), 31, true),
        ] {
            let now = Duration::from_secs(second);
            assert_eq!(telling.is_due(tally, now), expected, "{second}");
        }
    }
}

//! Serial numbers which never came: how many events were lost on the way to us.

use crate::stamp::Stamp;

/// Records of different processors overtake each other; so many events are waited for.
const WINDOW: u64 = 64;

/// Counts the gaps in the serial numbers of one source.
///
/// Feed it with every record of the source, of whatever type: each event has a number. A number is
/// lost when 64 later ones have been seen without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Serials {
    newest: Option<Newest>,
    /// Bit n is set if the number n below the newest has been seen.
    seen: u64,
    lost: u64,
    restarts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Newest {
    serial: u64,
    seconds: u64,
}

impl Serials {
    /// Notes the stamp of a record.
    pub fn observe(&mut self, stamp: &Stamp<'_>) {
        let Some(serial) = stamp.serial else {
            return;
        };
        let seconds = stamp.seconds;
        let Some(newest) = self.newest else {
            return self.start(Newest { serial, seconds });
        };
        if let Some(behind) = newest.serial.checked_sub(serial) {
            if behind < WINDOW {
                self.seen |= 1 << behind;
            } else if seconds > newest.seconds {
                // The kernel counts anew: the machine was started again.
                self.restarts += 1;
                self.start(Newest { serial, seconds });
            }
            return;
        }
        let ahead = serial.saturating_sub(newest.serial);
        // What leaves the window unseen is lost; so is what lies between two windows.
        let leaving = ahead.min(WINDOW);
        let kept = WINDOW - leaving;
        let left = if kept == WINDOW { 0 } else { self.seen >> kept };
        self.lost += leaving - u64::from(left.count_ones()) + (ahead - leaving);
        self.seen = self.seen.checked_shl(leaving as u32).unwrap_or(0) | 1;
        self.newest = Some(Newest { serial, seconds });
    }

    /// Events of which no record came.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How often the numbers began anew.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Nobody knows what came before the first number: it counts as seen.
    fn start(&mut self, newest: Newest) {
        self.newest = Some(newest);
        self.seen = u64::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(serials: impl IntoIterator<Item = u64>, lost: u64) {
        let mut counter = Serials::default();
        for serial in serials {
            counter.observe(&stamp(1, serial));
        }
        assert_eq!(counter.lost(), lost);
    }

    fn stamp(seconds: u64, serial: u64) -> Stamp<'static> {
        Stamp {
            seconds,
            millis: 0,
            serial: Some(serial),
            text: "",
        }
    }

    #[test]
    fn a_gap_counts_when_nothing_can_fill_it_any_more() {
        check(100..1000, 0);
        check([5, 7], 0);
        check([5].into_iter().chain(7..71), 1);
        check([5].into_iter().chain(7..70), 0);
        check([5].into_iter().chain(7..70).chain([6]).chain(70..200), 0);
        check((0..1000).filter(|serial| serial % 10 != 0), 93);
    }

    #[test]
    fn a_large_gap_counts_whole() {
        check([1, 1001], 936);
        check([1].into_iter().chain(1001..1100), 999);
    }

    #[test]
    fn records_of_one_event_and_late_ones_are_no_gap() {
        check([5, 5, 5, 6, 6], 0);
        check((1000..1100).chain([3]).chain(1100..1300), 0);
        check([u64::MAX, 1, u64::MAX], 0);
    }

    #[test]
    fn a_restart_of_the_machine_is_no_gap() {
        let mut counter = Serials::default();
        counter.observe(&stamp(1, 10_000));
        counter.observe(&stamp(2, 1));
        counter.observe(&stamp(2, 2));
        assert_eq!((counter.lost(), counter.restarts()), (0, 1));
    }
}

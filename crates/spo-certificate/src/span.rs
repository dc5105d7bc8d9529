//! Pure. When a certificate begins and ends, in the seconds of which certificates are made.

use jiff::{SignedDuration, Timestamp};
use time::OffsetDateTime;

use crate::Error;

/// Beginning and end of a certificate, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) begin: i64,
    pub(crate) end: i64,
}

impl Span {
    /// From `backdate` before a time until `life` after it.
    pub(crate) fn new(at: i64, backdate: SignedDuration, life: SignedDuration) -> Self {
        Self {
            begin: at.saturating_sub(backdate.as_secs()),
            end: at.saturating_add(life.as_secs()),
        }
    }

    /// The same, but not beyond another end.
    pub(crate) fn until(self, end: i64) -> Self {
        let end = self.end.min(end);
        Self { end, ..self }
    }

    /// When a third is left.
    pub(crate) fn renew_at(self) -> i64 {
        let third = self.end.saturating_sub(self.begin) / 3;
        self.end.saturating_sub(third)
    }

    /// Why a certificate must be replaced at a time.
    pub(crate) fn judge(self, at: i64) -> Result<(), &'static str> {
        if at < self.begin {
            Err("it is not valid yet, the clock was wrong")
        } else if at >= self.end {
            Err("it has expired")
        } else if at >= self.renew_at() {
            Err("at most a third of its life is left")
        } else {
            Ok(())
        }
    }
}

/// A clock outside of these shows nonsense. With the longest life that a policy can give, dates
/// stay below the year 10000, which certificates can not hold.
const YEAR_9000: i64 = 221_845_392_000;

/// The seconds since 1970 of a time for which certificates can be made.
pub(crate) fn seconds(now: Timestamp) -> Result<i64, Error> {
    let at = now.as_second();
    if (0..YEAR_9000).contains(&at) {
        Ok(at)
    } else {
        Err(Error::Clock(now))
    }
}

/// Whichever comes first: `after` from now, or a number of seconds since 1970.
pub(crate) fn earlier(now: Timestamp, after: SignedDuration, at: i64) -> Timestamp {
    let latest = now.checked_add(after).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(at).map_or(latest, |due| due.min(latest))
}

/// For the generator. Outside of the years -9999 to 9999 it is 1970, which no certificate passes.
pub(crate) fn date(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_judged_by_its_last_third() {
        let span = Span {
            begin: 100,
            end: 400,
        };
        for (at, expected) in [
            (99, Some("it is not valid yet, the clock was wrong")),
            (100, None),
            (299, None),
            (300, Some("at most a third of its life is left")),
            (400, Some("it has expired")),
        ] {
            assert_eq!(span.judge(at).err(), expected, "{at}");
        }
    }

    #[test]
    fn nonsense_of_a_foreign_certificate_does_not_overflow() {
        for (begin, end) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (0, 0)] {
            let span = Span { begin, end };
            assert!(span.judge(i64::MAX).is_err());
            span.renew_at();
        }
    }

    #[test]
    fn a_clock_in_another_age_is_an_error() {
        let second = |second| seconds(Timestamp::from_second(second).unwrap());
        assert!(second(-1).is_err());
        assert!(second(0).is_ok());
        assert!(second(YEAR_9000).is_err());
        assert_eq!(date(YEAR_9000).year(), 9000);
    }
}

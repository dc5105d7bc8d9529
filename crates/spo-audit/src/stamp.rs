//! When a record was made and which event it belongs to: `SECONDS.MILLIS:SERIAL`.

use memchr::memchr;

use crate::field::decimal;

/// What stands between the parentheses of `audit(…)`.
///
/// All records of one event have the same stamp. The serial number grows by one from event to event
/// (`audit_serial` in kernel/audit.c) and starts again when the machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp<'a> {
    /// Since 1970, UTC.
    pub seconds: u64,
    /// 0 to 999.
    pub millis: u16,
    /// Absent where the source has none (BPF).
    pub serial: Option<u64>,
    /// As it stands on the line.
    pub text: &'a str,
}

impl<'a> Stamp<'a> {
    /// Parses `1700000000.123:45`, or `1700000000.123` of a source without serial numbers.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (time, serial) = match text.split_once(':') {
            Some((time, serial)) => (time, Some(decimal(serial.as_bytes())?)),
            None => (text, None),
        };
        let (seconds, millis) = time.split_once('.')?;
        let seconds = decimal(seconds.as_bytes())?;
        let millis = if millis.len() == 3 {
            decimal(millis.as_bytes())?.try_into().ok()?
        } else {
            return None;
        };
        Some(Self {
            seconds,
            millis,
            serial,
            text,
        })
    }

    /// Reads `audit(STAMP):` off the front, and a space after it; gives what follows.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let bytes = bytes.strip_prefix(b"audit(")?;
        // No stamp is longer: 20 digits, a dot, 3 digits, a colon, 20 digits.
        let end = memchr(b')', bytes.get(..46).unwrap_or(bytes))?;
        let (text, rest) = bytes.split_at_checked(end)?;
        let stamp = Self::parse(str::from_utf8(text).ok()?)?;
        stamp.serial?;
        let rest = rest.strip_prefix(b"):")?;
        Some((stamp, rest.strip_prefix(b" ").unwrap_or(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_of_a_line() {
        let (stamp, rest) = Stamp::read(b"audit(1700000000.123:45): a=1").unwrap();
        assert_eq!((stamp.seconds, stamp.millis), (1_700_000_000, 123));
        assert_eq!((stamp.serial, stamp.text), (Some(45), "1700000000.123:45"));
        assert_eq!(rest, b"a=1");
    }

    #[test]
    fn what_is_no_stamp() {
        for text in [
            "",
            "1",
            "1.123:",
            "1.12:4",
            "a.123:4",
            "1.123:4:5",
            "1.123 :4",
            "-1.123:4",
            ".123:4",
        ] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
        let endless = format!("audit({}.123:4):", "1".repeat(100));
        assert_eq!(Stamp::read(endless.as_bytes()), None);
        assert_eq!(Stamp::read(b"audit(1.123): "), None);
        assert_eq!(Stamp::read(b"audit(1.123:4) "), None);
    }
}

//! The key=value scanner: one pass from left to right, no way back.

use memchr::{memchr, memchr2};

use crate::text::Text;

/// The fields of a record. Words without `=` are passed over.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// A value as it stands on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    bytes: &'a [u8],
    quoted: bool,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest.trim_ascii_start()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let spaces = self.rest.iter().take_while(|byte| **byte == b' ').count();
            let rest = self.rest.get(spaces..)?;
            let end = memchr2(b'=', b' ', rest)?;
            let (key, after) = rest.split_at_checked(end)?;
            let (separator, after) = after.split_first()?;
            if *separator == b' ' {
                self.rest = after;
                continue;
            }
            if let Some((b'"', quoted)) = after.split_first() {
                // Without its end the value was cut off, and so is everything after it.
                self.rest = &[];
                let (bytes, after) = quoted.split_at_checked(memchr(b'"', quoted)?)?;
                self.rest = after.get(1..).unwrap_or_default();
                let quoted = true;
                return Some((key, Raw { bytes, quoted }));
            }
            let (bytes, after) =
                after.split_at_checked(memchr(b' ', after).unwrap_or(after.len()))?;
            self.rest = after;
            let quoted = false;
            return Some((key, Raw { bytes, quoted }));
        }
    }
}

impl<'a> Raw<'a> {
    /// The value of a field which the kernel quotes or writes in hexadecimal.
    pub(crate) fn text(self) -> Text<'a> {
        if self.quoted {
            Text::plain(self.bytes)
        } else {
            Text::unquoted(self.bytes)
        }
    }

    /// The value of a field which the kernel writes as it is.
    pub(crate) fn word(self) -> Option<&'a [u8]> {
        (!self.quoted).then_some(self.bytes)
    }

    /// The value of a decimal field; not a quoted one, which is text whatever it says.
    pub(crate) fn number(self) -> Option<u32> {
        self.word().and_then(decimal)?.try_into().ok()
    }

    /// The value of a hexadecimal field with or without `0x`.
    pub(crate) fn hexadecimal(self) -> Option<u32> {
        let digits = self.word()?;
        let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
        if digits.is_empty() || digits.len() > 8 {
            return None;
        }
        digits.iter().try_fold(0, |value: u32, digit| {
            Some(value << 4 | char::from(*digit).to_digit(16)?)
        })
    }
}

/// Digits and nothing else, as a number which fits.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |value: u64, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &[(&str, &str)]) {
        let found: Vec<_> = Fields::of(body.as_bytes())
            .map(|(key, raw)| {
                let key = str::from_utf8(key).unwrap().to_owned();
                (key, raw.text().to_str().into_owned())
            })
            .collect();
        let found: Vec<_> = found.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn values_are_bare_or_quoted_or_hexadecimal() {
        check(
            r#"pid=1 comm="a" exe=2F61 key=(null)"#,
            &[
                ("pid", "1"),
                ("comm", "a"),
                ("exe", "/a"),
                ("key", "(null)"),
            ],
        );
    }

    #[test]
    fn words_and_spaces_are_passed_over() {
        check("for  a=1  op b= c", &[("a", "1"), ("b", "")]);
        check("", &[]);
        check("   ", &[]);
        check("word", &[]);
    }

    #[test]
    fn a_quoted_value_is_one_value() {
        check(
            r#"info="a pid=1 b" pid=2"#,
            &[("info", "a pid=1 b"), ("pid", "2")],
        );
    }

    #[test]
    fn nothing_follows_an_open_quote() {
        check(r#"a=1 b="x pid=2"#, &[("a", "1")]);
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for text in ["", "+1", "-1", "1 ", "18446744073709551616", "1a"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }
}

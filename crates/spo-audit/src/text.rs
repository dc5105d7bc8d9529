//! A text value as the kernel wrote it, decoded only when somebody looks.
//!
//! The kernel puts a string it does not trust in double quotes if it consists of printable ASCII
//! without spaces and quotes, and writes upper-case hexadecimal without quotes otherwise
//! (`audit_log_n_untrustedstring` in kernel/audit.c). So a quoted value never contains a quote, and
//! nothing inside a value can look like the next field.

use std::borrow::Cow;
use std::fmt::Debug;

/// A text value which borrows the line it was read from.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    raw: &'a [u8],
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The bytes themselves.
    Plain,
    /// Two upper-case hexadecimal digits for each byte; always well-formed.
    Hex,
    /// The bytes themselves, with each double quote shown as a single one.
    SingleQuotes,
}

impl<'a> Text<'a> {
    /// These bytes.
    pub fn plain(raw: &'a [u8]) -> Self {
        Self {
            raw,
            form: Form::Plain,
        }
    }

    /// A value which the kernel would have quoted, had it not been hexadecimal. What is neither
    /// (`(null)`, `?`) stands for itself.
    pub(crate) fn unquoted(raw: &'a [u8]) -> Self {
        let is_hex = !raw.is_empty() && raw.len().is_multiple_of(2) && raw.iter().all(is_hex_digit);
        let form = if is_hex { Form::Hex } else { Form::Plain };
        Self { raw, form }
    }

    /// The rest of a line, in which `"` is shown as `'`.
    pub(crate) fn with_single_quotes(raw: &'a [u8]) -> Self {
        Self {
            raw,
            form: Form::SingleQuotes,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The decoded bytes, one by one.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + 'a {
        let form = self.form;
        let width = if form == Form::Hex { 2 } else { 1 };
        self.raw
            .chunks(width)
            .map(move |chunk| match (form, chunk) {
                (Form::Hex, &[high, low]) => hex_value(high) << 4 | hex_value(low),
                (Form::SingleQuotes, b"\"") => b'\'',
                (_, chunk) => chunk.first().copied().unwrap_or_default(),
            })
    }

    /// The decoded bytes; borrowed unless they had to be decoded.
    pub fn decode(&self) -> Cow<'a, [u8]> {
        match self.form {
            Form::Plain => Cow::Borrowed(self.raw),
            Form::Hex | Form::SingleQuotes => Cow::Owned(self.bytes().collect()),
        }
    }

    /// The decoded text, with U+FFFD for what is not UTF-8.
    pub fn to_str(&self) -> Cow<'a, str> {
        match self.decode() {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(
                String::from_utf8(bytes)
                    .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            ),
        }
    }
}

/// The value as decoded, whatever its form on the line.
impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        match self.form {
            Form::Plain => self.raw == other.as_bytes(),
            Form::Hex | Form::SingleQuotes => self.bytes().eq(other.bytes()),
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::plain(text.as_bytes())
    }
}

impl Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Debug::fmt(&self.to_str(), f)
    }
}

fn is_hex_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'F')
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'A'..=b'F' => digit - b'A' + 10,
        _ => digit.wrapping_sub(b'0'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_decoded_when_somebody_looks() {
        let text = Text::unquoted(b"6D7920617070");
        assert_eq!(text.to_str(), "my app");
        assert!(text == *"my app");
        assert!(text != *"my ap");
        assert_eq!(text, Text::from("my app"));
    }

    #[test]
    fn what_is_not_hexadecimal_stands_for_itself() {
        for raw in ["(null)", "?", "", "6D7", "6d79", "my"] {
            assert_eq!(Text::unquoted(raw.as_bytes()).to_str(), raw);
        }
    }

    #[test]
    fn what_is_not_unicode_is_replaced() {
        assert_eq!(Text::unquoted(b"61FF62").to_str(), "a\u{fffd}b");
        assert_eq!(Text::plain(b"a\xffb").to_str(), "a\u{fffd}b");
    }

    #[test]
    fn the_rest_of_a_line_has_single_quotes() {
        let text = Text::with_single_quotes(b"requested_mask=\"r\" fsuid=0");
        assert_eq!(text.to_str(), "requested_mask='r' fsuid=0");
        assert!(text == *"requested_mask='r' fsuid=0");
    }
}

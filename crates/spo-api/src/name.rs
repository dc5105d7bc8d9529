//! Names as validated types: what has passed here may become part of a path.

/// The name of a profile object: an RFC 1123 subdomain, as the API server guarantees for names of
/// custom resources.
///
/// Holding one proves that the text has no separator, no leading dot, no `..` and no control
/// character, so that it can be a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileName(String);

/// Text which is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name: use lower case letters, digits, dashes and dots, \
     1 to 253 characters, with a letter or digit at both ends of each part"
)]
pub struct InvalidName(pub String);

impl ProfileName {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let part = |part: &str| {
            let alphanumeric = |byte: Option<&u8>| {
                byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            };
            let bytes = part.as_bytes();
            alphanumeric(bytes.first())
                && alphanumeric(bytes.last())
                && bytes.iter().all(|b| *b == b'-' || alphanumeric(Some(b)))
        };
        if text.len() <= 253 && text.split('.').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ProfileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_subdomains() {
        for good in ["a", "web-1", "a.b.json", "0", &"a".repeat(253)] {
            assert!(ProfileName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "", ".", "..", "a/b", "../a", "-a", "a-", "a..b", ".a", "A", "a_b", "a\n", "é", "a\0",
        ] {
            assert_eq!(ProfileName::parse(bad), Err(InvalidName(bad.to_owned())));
        }
        assert!(ProfileName::parse(&"a".repeat(254)).is_err());
    }
}

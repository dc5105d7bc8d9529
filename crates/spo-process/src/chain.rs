//! An error with all its sources, as one line.

use std::error::Error;

/// `error: source: source of the source`. Error texts never contain their source, so whoever
/// handles an error prints this.
pub fn chain(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut own = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some foreign errors print their source themselves, once or even twice.
        match own.find(&next) {
            Some(at) if own.ends_with(&next) || next.len() >= LONG => text.push_str(&own[..at]),
            _ => {
                text.push_str(&own);
                text.push_str(": ");
            }
        }
        own = next;
        source = error.source();
    }
    text.push_str(&own);
    text
}

/// A text of this length does not appear in another one by chance.
const LONG: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write profile")]
    struct Outer {
        source: std::io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("ApiError: {0} ({0:?})")]
    struct Foreign(#[source] std::io::Error);

    #[test]
    fn what_foreign_errors_say_twice_is_said_once() {
        let error = Foreign(std::io::Error::other("pods \"a\" is forbidden"));
        assert_eq!(chain(&error), "ApiError: pods \"a\" is forbidden");
    }

    #[test]
    fn sources_are_appended() {
        let error = Outer {
            source: std::io::Error::other("disk is on fire"),
        };
        assert_eq!(chain(&error), "cannot write profile: disk is on fire");
    }
}

//! An error with all its sources, as one line.

use std::error::Error;

/// `error: source: source of the source`. Error texts never contain their source, so whoever
/// handles an error prints this.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some foreign errors print their source themselves.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write profile")]
    struct Outer {
        source: std::io::Error,
    }

    #[test]
    fn sources_are_appended() {
        let error = Outer {
            source: std::io::Error::other("disk is on fire"),
        };
        assert_eq!(chain(&error), "cannot write profile: disk is on fire");
    }
}

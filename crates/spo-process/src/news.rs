//! Pure. A failure that repeats is told once: the same again is not news.

use std::collections::BTreeSet;

/// So many different failures in a row are told; texts with a number in them are always different.
const MOST: usize = 8;

/// What went wrong since it last worked.
#[derive(Debug, Default)]
pub struct News(BTreeSet<String>);

impl News {
    /// Whether this failure is to be told.
    pub fn failed(&mut self, text: &str) -> bool {
        self.0.len() < MOST && self.0.insert(text.to_owned())
    }

    /// Whether to tell that it works: something went wrong before.
    pub fn works(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_until_it_works() {
        let mut news = News::default();
        assert!(!news.works());
        assert!(news.failed("refused"));
        assert!(news.failed("reset"));
        assert!(!news.failed("refused"));
        assert!(news.works());
        assert!(news.failed("refused"));
    }

    #[test]
    fn texts_that_always_differ_are_no_flood() {
        let mut news = News::default();
        let told = (0..100).filter(|number| news.failed(&format!("port {number}")));
        assert_eq!(told.count(), MOST);
    }
}

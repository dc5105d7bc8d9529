//! Every Rust file opens with what it is for.

use crate::{problem::Problem, tree::Tree};

/// Every file opens with `//!` and a text.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    tree.ending(".rs")
        .filter(|(_, text)| opening(text).is_none())
        .map(|(file, _)| {
            Problem::new(
                file,
                1,
                "it does not say what it is for",
                "open the file with `//!` and one sentence on what it is for",
            )
        })
        .collect()
}

/// The first line of the documentation with which a file opens.
pub(crate) fn opening(text: &str) -> Option<&str> {
    let line = text.lines().next()?.strip_prefix("//!")?.trim();
    (!line.is_empty()).then_some(line)
}

#[test]
fn a_file_which_opens_with_code_or_nothing_is_seen() {
    let tree = Tree::from([
        ("a.rs", "//! What it is for.\n"),
        ("b.rs", "use std::fs;\n//! Too late.\n"),
        ("c.rs", "//!\n//! Too late.\n"),
        ("d.rs", ""),
    ]);
    let what = "it does not say what it is for";
    let expected = ["b.rs", "c.rs", "d.rs"].map(|file| format!("{file}:1: {what}"));
    crate::problem::assert_says(&check(&tree), &expected.each_ref().map(String::as_str));
}

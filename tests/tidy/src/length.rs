//! How long a file may be: one which takes an hour to enter hides two nouns.

use crate::{problem::Problem, rust, tree::Tree};

/// From here on we ask whether a file is two.
const LONG: usize = 600;
/// From here on it is.
const TOO_LONG: usize = 900;

/// No program of ours is longer than can be entered.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let too_long = programs(tree).filter(|(_, lines)| *lines > TOO_LONG);
    too_long
        .map(|(file, lines)| {
            Problem::new(
                file,
                lines,
                format!("it has {lines} lines without its tables, more than {TOO_LONG}"),
                "find its second noun and give that a file; tests move to a file of their own",
            )
        })
        .collect()
}

/// Files to look at, and their lines without tables.
pub(crate) fn long_files(tree: &Tree) -> Vec<(&str, usize)> {
    programs(tree)
        .filter(|(_, lines)| (LONG + 1..=TOO_LONG).contains(lines))
        .collect()
}

/// What people write and read as a program, and its lines without tables.
fn programs(tree: &Tree) -> impl Iterator<Item = (&str, usize)> {
    tree.texts().filter_map(|(file, text)| {
        let lines = text.lines().count();
        if file.ends_with(".rs") {
            let tables = rust::tokens(text).map_or(0, rust::table_lines);
            Some((file, lines - tables))
        } else {
            (text.starts_with("#!") || file.ends_with(".c")).then_some((file, lines))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::assert_says;

    #[test]
    fn a_file_may_be_long_but_not_too_long() {
        let long = "// a\n".repeat(TOO_LONG);
        let too_long = "// a\n".repeat(TOO_LONG + 1);
        let script = format!("#!/bin/sh\n{}", "# a\n".repeat(TOO_LONG));
        let tree = Tree::from([
            ("a.rs", "// a\n"),
            ("b.rs", &long),
            ("c.rs", &too_long),
            ("d", &script),
            ("e.yaml", &too_long),
        ]);
        assert_eq!(long_files(&tree), [("b.rs", TOO_LONG)]);
        let what = "it has 901 lines without its tables, more than 900";
        assert_says(
            &check(&tree),
            &[&format!("c.rs:901: {what}"), &format!("d:901: {what}")],
        );
    }

    #[test]
    fn a_table_does_not_count() {
        let table = format!("const A: &[u8] = &[\n{}];\n", "1,\n".repeat(TOO_LONG));
        assert_says(&check(&Tree::from([("a.rs", table.as_str())])), &[]);
    }
}

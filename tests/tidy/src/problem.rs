//! What a rule has to say: where, what, and how to mend it.

use std::fmt;

/// A breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Path in the repository.
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    /// The breach, as a phrase.
    pub(crate) what: String,
    /// What to do about it, as a phrase.
    pub(crate) fix: String,
}

impl Problem {
    pub(crate) fn new(
        file: &str,
        line: usize,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            what,
            fix,
        } = self;
        write!(f, "{file}:{line}: {what}\n    fix: {fix}")
    }
}

/// Asserts what a rule says about a small tree, as `file:line: what`.
#[track_caller]
pub(crate) fn assert_says(problems: &[Problem], expected: &[&str]) {
    let said: Vec<String> = problems
        .iter()
        .map(
            |Problem {
                 file, line, what, ..
             }| format!("{file}:{line}: {what}"),
        )
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn a_problem_names_file_line_and_fix() {
    let problem = Problem::new("a/b.rs", 3, "it is red", "paint it");
    assert_eq!(
        problem.to_string(),
        "a/b.rs:3: it is red\n    fix: paint it"
    );
}

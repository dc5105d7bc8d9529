//! The core, and every file which says `Pure.`, sees no clock, file, socket, environment or task.
//!
//! clippy.toml of each core crate forbids the functions by type; this rule forbids the words, so
//! that it also holds for single files of other crates and for what nobody thought to list there.

use crate::{
    crate_order::CORE,
    doc, module,
    problem::Problem,
    rust::{self, Path},
    tree::Tree,
};

/// Each is a part of a path; the last word may go on (`var_os`).
const FORBIDDEN: &[&[&str]] = &[
    &["async"],
    &["await"],
    &["tokio"],
    &["SystemTime"],
    &["Instant", "now"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "env"],
    &["env", "var"],
    &["process", "Command"],
];

/// It belongs to a core crate, and writes files for the repository.
const EXCEPTIONS: [&str; 1] = ["crates/spo-api/src/bin/crdgen.rs"];

/// No pure file names what is not pure, outside of tests.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let for_tests = module::files_for_tests(tree);
    let mut problems = Vec::new();
    for (file, text) in tree.ending(".rs") {
        let says_pure = doc::opening(text).is_some_and(|line| line.starts_with("Pure."));
        let exempt = EXCEPTIONS.contains(&file) || for_tests.contains(file);
        if exempt || !(says_pure || is_core(file)) {
            continue;
        }
        let Some(tokens) = rust::tokens(text) else {
            continue;
        };
        for path in rust::paths(tokens) {
            if let Some(words) = forbidden(&path) {
                problems.push(Problem::new(
                    file,
                    path.line,
                    format!("a pure file says `{words}`"),
                    "take the value as an argument, and leave reading or waiting to the caller",
                ));
            }
        }
    }
    problems
}

fn is_core(file: &str) -> bool {
    CORE.iter()
        .any(|package| file.starts_with(&format!("crates/{package}/src/")))
}

fn forbidden(path: &Path) -> Option<String> {
    FORBIDDEN.iter().find_map(|words| {
        let matches = |window: &[String]| {
            let (last, before) = words.split_last().expect("no entry is empty");
            before.iter().zip(window).all(|(word, part)| word == part)
                && match window.last() {
                    Some(part) if *last == "var" => part.starts_with(last),
                    part => part.is_some_and(|part| part == last),
                }
        };
        path.parts
            .windows(words.len())
            .any(matches)
            .then(|| words.join("::"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::assert_says;

    const CORE_FILE: &str = "crates/spo-profile/src/lib.rs";

    fn check_core(code: &str, expected: Option<&str>) {
        let problems = check(&Tree::from([(CORE_FILE, code)]));
        let expected: Vec<String> = expected
            .map(|words| format!("{CORE_FILE}:1: a pure file says `{words}`"))
            .into_iter()
            .collect();
        assert_says(
            &problems,
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn the_core_may_not_say_what_acts() {
        let check = |code, words| check_core(code, Some(words));
        check("async fn f() {}", "async");
        check("fn f() { g().await }", "await");
        check("use tokio::sync::mpsc;", "tokio");
        check("use std::fs;", "std::fs");
        check("use std::{collections::BTreeMap, fs::File};", "std::fs");
        check(
            "fn f() -> std::io::Result<()> { std::fs::write(a, b) }",
            "std::fs",
        );
        check("use std::time::{Duration, SystemTime};", "SystemTime");
        check("fn f() { std::time::Instant::now() }", "Instant::now");
        check("fn f() { env::var_os(\"A\") }", "env::var");
        check("use std::net::TcpStream;", "std::net");
        check(
            "fn f() { process::Command::new(\"a\") }",
            "process::Command",
        );
        check("fn f() { jiff::Timestamp::now() }", "Timestamp::now");
        check("fn f() { g! { async move {} } }", "async");
    }

    #[test]
    fn the_core_may_say_what_is_a_value() {
        let check = |code| check_core(code, None);
        check("use std::time::{Duration, Instant};\nfn f(now: Instant) {}");
        check("const A: &str = env!(\"CARGO_PKG_VERSION\"); // std::fs");
        check("/// Not `std::fs`.\nfn fs(env: u8) -> u8 { env }");
        check("#[cfg(test)]\nmod tests { use std::fs; }");
    }

    #[test]
    fn a_file_which_says_pure_is_held_to_it() {
        let tree = Tree::from([
            ("crates/spo-host/src/a.rs", "//! Pure. Names.\nuse std::fs;"),
            (
                "crates/spo-host/src/b.rs",
                "//! Reads. Not Pure.\nuse std::fs;",
            ),
        ]);
        assert_says(
            &check(&tree),
            &["crates/spo-host/src/a.rs:2: a pure file says `std::fs`"],
        );
    }

    #[test]
    fn tests_of_a_pure_file_may_read() {
        let tree = Tree::from([
            ("crates/spo-api/Cargo.toml", "[package]\nname = 'spo-api'"),
            (
                "crates/spo-api/src/lib.rs",
                "//! A.\nmod a;\n#[cfg(test)]\nmod tests;",
            ),
            (
                "crates/spo-api/src/a.rs",
                "//! A.\n#[cfg(test)]\nmod tests;",
            ),
            ("crates/spo-api/src/a/tests.rs", "//! A.\nuse std::fs;"),
            ("crates/spo-api/src/tests.rs", "//! A.\nuse std::fs;"),
            ("crates/spo-api/tests/golden.rs", "//! A.\nuse std::fs;"),
            ("crates/spo-api/src/bin/crdgen.rs", "//! A.\nuse std::fs;"),
        ]);
        assert_says(&check(&tree), &[]);
    }
}

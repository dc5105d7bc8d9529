//! Shell scripts pass shellcheck.

use std::{io, process::Command};

use crate::{
    problem::Problem,
    tree::{self, Tree},
};

/// What shellcheck says about the scripts. `None` if it is not installed.
pub(crate) fn check(tree: &Tree) -> Option<Vec<Problem>> {
    let output = Command::new("shellcheck")
        .args(["--external-sources", "--format=gcc", "--"])
        .args(scripts(tree))
        .current_dir(tree::root())
        .output();
    let output = match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        output => output.expect("shellcheck can be started if it is there"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let problems: Vec<Problem> = text.lines().filter_map(parse).collect();
    // It also exits with 1 if it found something.
    let spoke = output.status.success() || !problems.is_empty();
    assert!(
        spoke,
        "shellcheck: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(problems)
}

/// Files in hack and .ci which a shell runs.
fn scripts(tree: &Tree) -> Vec<&str> {
    let is_script = |(file, text): &(&str, &str)| {
        let first = text.lines().next().unwrap_or_default();
        file.ends_with(".sh") || (first.starts_with("#!") && first.ends_with("sh"))
    };
    tree.texts()
        .filter(|(file, _)| file.starts_with("hack/") || file.starts_with(".ci/"))
        .filter(is_script)
        .map(|(file, _)| file)
        .collect()
}

/// One line of shellcheck: `hack/x:3:5: warning: … [SC2086]`.
fn parse(line: &str) -> Option<Problem> {
    let mut parts = line.splitn(4, ':');
    let (file, number) = (parts.next()?, parts.next()?.parse().ok()?);
    let what = parts.nth(1)?.trim();
    let (_, code) = what.rsplit_once('[')?;
    let fix = format!(
        "shellcheck.net/wiki/{} says how",
        code.trim_end_matches(']')
    );
    Some(Problem::new(file, number, what, fix))
}

#[test]
fn scripts_are_told_by_name_or_first_line() {
    let tree = Tree::from([
        (".ci/run", "#!/usr/bin/env bash\n"),
        ("crates/a.sh", ""),
        ("hack/a", "#!/bin/sh\n"),
        ("hack/b.sh", ""),
        ("hack/c", "#!/usr/bin/env python3\n"),
        ("hack/d", "sh"),
    ]);
    assert_eq!(scripts(&tree), [".ci/run", "hack/a", "hack/b.sh"]);
}

#[test]
fn what_shellcheck_says_is_understood() {
    let problem = parse("hack/x:3:5: warning: Quote this. [SC2086]");
    let fix = "shellcheck.net/wiki/SC2086 says how";
    assert_eq!(
        problem,
        Some(Problem::new(
            "hack/x",
            3,
            "warning: Quote this. [SC2086]",
            fix
        ))
    );
    assert_eq!(
        parse("hack/x: hack/x: openBinaryFile: does not exist"),
        None
    );
}

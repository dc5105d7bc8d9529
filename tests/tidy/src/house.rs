//! Our own tree, held to every rule.

use std::io::{self, Write as _};

use crate::{
    crate_order, doc, length, lints, lockfile, markdown, module, owner, place, problem::Problem,
    purity, shell, tree::Tree,
};

#[test]
fn our_crates_depend_on_each_other_in_order() {
    holds(crate_order::check(Tree::ours()));
}

#[test]
fn an_external_crate_has_one_owner() {
    holds(owner::check(Tree::ours()));
}

#[test]
fn dependencies_come_from_one_registry() {
    holds(lockfile::check(Tree::ours()));
}

#[test]
fn the_core_and_pure_files_are_pure() {
    holds(purity::check(Tree::ours()));
}

#[test]
fn every_rust_file_is_reached_by_a_mod() {
    holds(module::check_reached(Tree::ours()));
}

#[test]
fn no_file_is_called_mod_rs() {
    holds(module::check_names(Tree::ours()));
}

#[test]
fn every_member_switches_on_the_lints_of_the_workspace() {
    holds(lints::check(Tree::ours()));
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    holds(doc::check(Tree::ours()));
}

#[test]
fn links_in_markdown_lead_somewhere() {
    holds(markdown::check(Tree::ours()));
}

#[test]
fn no_file_is_too_long_to_enter() {
    let tree = Tree::ours();
    for (file, lines) in length::long_files(tree) {
        note(&format!(
            "{file} has {lines} lines; are there two nouns in it?"
        ));
    }
    holds(length::check(tree));
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    holds(place::check(Tree::ours()));
}

#[test]
fn shell_scripts_pass_shellcheck() {
    let tree = Tree::ours();
    match shell::check(tree) {
        Some(problems) => holds(problems),
        // Whoever changes only Rust should not need it; CI sees every change.
        None if std::env::var_os("CI").is_none() => {
            note("shellcheck is not installed, so that no script was looked at");
        }
        None => panic!("shellcheck is not installed, and CI must have it: run hack/deps check"),
    }
}

/// Tells something which is no failure. `println!` would be shown for failed tests only.
fn note(text: &str) {
    writeln!(io::stderr(), "note: {text}").expect("standard error is there");
}

#[track_caller]
fn holds(problems: Vec<Problem>) {
    let count = problems.len();
    let text: String = problems
        .iter()
        .map(|problem| format!("\n{problem}"))
        .collect();
    assert!(problems.is_empty(), "{count} problems:{text}\n");
}

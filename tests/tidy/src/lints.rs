//! Every member asks for the lints of the workspace; cargo does not do it by itself.

use crate::{manifest, problem::Problem, tree::Tree};

/// Every package says `[lints] workspace = true`.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    manifest::packages(tree)
        .iter()
        // Outside the workspace there is nothing to inherit.
        .filter(|manifest| !manifest.file.starts_with("tests/fuzz/"))
        .filter(|manifest| !manifest.workspace_lints)
        .map(|manifest| {
            Problem::new(
                &manifest.file,
                1,
                "the lints of the workspace are not switched on",
                "add `[lints]` and below it `workspace = true`",
            )
        })
        .collect()
}

#[test]
fn a_member_without_the_lints_is_seen() {
    let tree = Tree::from([
        (
            "crates/a/Cargo.toml",
            "[package]\nname = 'a'\n[lints]\nworkspace = true",
        ),
        (
            "crates/b/Cargo.toml",
            "[package]\nname = 'b'\n[lints.rust]\nmissing_docs = 'warn'",
        ),
        ("tests/fuzz/Cargo.toml", "[package]\nname = 'fuzz'"),
    ]);
    crate::problem::assert_says(
        &check(&tree),
        &["crates/b/Cargo.toml:1: the lints of the workspace are not switched on"],
    );
}

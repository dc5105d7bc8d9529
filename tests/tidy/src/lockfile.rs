//! Where Cargo.lock takes packages from: cargo's own registry, and nowhere else.

use crate::{problem::Problem, tree::Tree};

/// How Cargo.lock names cargo's own registry, also where a mirror stands in for it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// No package comes from a git repository or from another registry.
pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let text = tree.text("Cargo.lock").unwrap_or_default();
    let sources = text.lines().zip(1..).filter_map(|(line, number)| {
        Some((line.strip_prefix("source = ")?.trim_matches('"'), number))
    });
    sources
        .filter(|(source, _)| *source != REGISTRY)
        .map(|(source, line)| {
            Problem::new(
                "Cargo.lock",
                line,
                format!("a package comes from {source}"),
                "depend on a published version",
            )
        })
        .collect()
}

#[test]
fn a_package_from_a_repository_is_refused() {
    let lock = format!("[[package]]\nsource = \"{REGISTRY}\"\n[[package]]\nsource = \"git+x\"\n");
    crate::problem::assert_says(
        &check(&Tree::from([("Cargo.lock", lock.as_str())])),
        &["Cargo.lock:4: a package comes from git+x"],
    );
}

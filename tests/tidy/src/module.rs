//! Every Rust file is part of some target; dead files look alive.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    manifest::{self, Manifest},
    problem::Problem,
    rust::{self, Child},
    tree::{self, Tree},
};

/// Every file is a target of a package, or another file declares it by `mod`.
pub(crate) fn check_reached(tree: &Tree) -> Vec<Problem> {
    let seen = reached(tree);
    tree.ending(".rs")
        .filter(|(file, _)| !seen.contains_key(*file))
        .map(|(file, _)| {
            Problem::new(
                file,
                1,
                "no `mod` reaches it, so that it is not compiled",
                "declare it in the module above, or remove it",
            )
        })
        .collect()
}

/// A module `foo` with children is `foo.rs` beside `foo/`.
pub(crate) fn check_names(tree: &Tree) -> Vec<Problem> {
    tree.ending(".rs")
        .filter(|(file, _)| file.rsplit('/').next() == Some("mod.rs"))
        .map(|(file, _)| {
            let directory = tree::directory(file);
            Problem::new(
                file,
                1,
                "a module has the name of its folder, not mod.rs",
                format!("git mv {file} {directory}.rs"),
            )
        })
        .collect()
}

/// Files which a module pulls in for its tests only.
pub(crate) fn files_for_tests(tree: &Tree) -> BTreeSet<String> {
    let seen = reached(tree).into_iter();
    seen.filter_map(|(file, by)| (by == SeenBy::Tests).then_some(file))
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SeenBy {
    Tests,
    Everybody,
}

/// Where a file stands, which decides where its modules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `src/lib.rs`: module `a` is `src/a.rs`.
    Root,
    /// `src/foo.rs`: module `a` is `src/foo/a.rs`.
    Module,
}

/// All files which belong to a target.
fn reached(tree: &Tree) -> BTreeMap<String, SeenBy> {
    let mut seen: BTreeMap<String, SeenBy> = BTreeMap::new();
    let mut open: Vec<(String, Place, SeenBy)> = manifest::packages(tree)
        .iter()
        .flat_map(|package| targets(tree, package))
        .map(|file| (file, Place::Root, SeenBy::Everybody))
        .collect();
    while let Some((file, place, by)) = open.pop() {
        let Some(tokens) = tree.text(&file).and_then(rust::tokens) else {
            continue;
        };
        // A second way to it counts if more can see it that way.
        if seen.get(&file).is_some_and(|&before| before >= by) {
            continue;
        }
        for child in rust::children(tokens) {
            let by = if child.for_tests { SeenBy::Tests } else { by };
            if let Some(child) = child_file(tree, &file, place, &child) {
                open.push((child, Place::Module, by));
            }
        }
        seen.insert(file, by);
    }
    seen
}

/// The files with which cargo starts, by their place or by name.
fn targets(tree: &Tree, package: &Manifest) -> Vec<String> {
    let directory = package.directory();
    let below = |file: &str| {
        file.strip_prefix(directory)?
            .strip_prefix('/')
            .map(str::to_owned)
    };
    let by_place = tree
        .ending(".rs")
        .filter(|(file, _)| below(file).is_some_and(|path| is_target(&path)))
        .map(|(file, _)| file.to_owned());
    let by_name = package
        .target_paths
        .iter()
        .filter_map(|path| tree::join(directory, path));
    by_place.chain(by_name).collect()
}

/// Whether cargo takes a file of a package for a target without being told.
fn is_target(path: &str) -> bool {
    matches!(
        path.split('/').collect::<Vec<_>>()[..],
        ["build.rs"]
            | ["src", "lib.rs" | "main.rs"]
            | ["src", "bin", _]
            | ["src", "bin", _, "main.rs"]
            | ["tests" | "examples" | "benches", _]
            | ["tests" | "examples" | "benches", _, "main.rs"]
    )
}

fn child_file(tree: &Tree, file: &str, place: Place, child: &Child) -> Option<String> {
    let directory = tree::directory(file);
    let own = match place {
        Place::Root => directory,
        Place::Module => file
            .strip_suffix("/mod.rs")
            .or_else(|| file.strip_suffix(".rs"))?,
    };
    let Some((_, around)) = child.names.split_last() else {
        return tree::join(directory, child.path.as_deref()?);
    };
    match &child.path {
        Some(path) if around.is_empty() => tree::join(directory, path),
        Some(path) => tree::join(own, &format!("{}/{path}", around.join("/"))),
        None => {
            let path = tree::join(own, &child.names.join("/"))?;
            [format!("{path}.rs"), format!("{path}/mod.rs")]
                .into_iter()
                .find(|path| tree.text(path).is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::assert_says;

    const MANIFEST: (&str, &str) = ("crates/a/Cargo.toml", "[package]\nname = 'a'");
    const DEAD: &str = "1: no `mod` reaches it, so that it is not compiled";

    /// Asserts which of the files no target has.
    fn check_dead<const N: usize>(files: [(&str, &str); N], expected: &[&str]) {
        let mut tree = Vec::from(files.map(|(path, text)| (format!("crates/a/{path}"), text)));
        tree.push((MANIFEST.0.to_owned(), MANIFEST.1));
        let tree: Tree = tree.into_iter().collect();
        let expected: Vec<String> = expected
            .iter()
            .map(|path| format!("crates/a/{path}:{DEAD}"))
            .collect();
        assert_says(
            &check_reached(&tree),
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn a_file_without_a_mod_is_dead() {
        check_dead(
            [
                ("src/lib.rs", "mod a;"),
                ("src/a.rs", "mod b;"),
                ("src/a/b.rs", ""),
                ("src/b.rs", ""),
            ],
            &["src/b.rs"],
        );
    }

    #[test]
    fn what_only_a_dead_file_declares_is_dead() {
        check_dead(
            [
                ("src/lib.rs", "// mod a;"),
                ("src/a.rs", "mod b;"),
                ("src/a/b.rs", ""),
            ],
            &["src/a.rs", "src/a/b.rs"],
        );
    }

    #[test]
    fn targets_are_alive() {
        check_dead(
            [
                ("build.rs", ""),
                ("src/main.rs", "mod inline { mod deep; }"),
                ("src/inline/deep.rs", ""),
                ("src/bin/tool.rs", ""),
                ("tests/golden.rs", "mod support;"),
                ("tests/support.rs", ""),
                ("tests/golden/other.rs", ""),
                ("examples/measure.rs", ""),
            ],
            &["tests/golden/other.rs"],
        );
    }

    #[test]
    fn a_path_leads_to_a_module() {
        check_dead(
            [
                ("src/lib.rs", "#[path = \"gen/x.rs\"] mod x;"),
                ("src/gen/x.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn a_target_may_be_named() {
        let manifest = "[package]\nname = 'f'\n[[bin]]\nname = 'x'\npath = 'targets/x.rs'";
        let tree = Tree::from([
            ("tests/f/Cargo.toml", manifest),
            ("tests/f/targets/x.rs", ""),
        ]);
        assert_says(&check_reached(&tree), &[]);
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let tree = Tree::from([
            MANIFEST,
            ("crates/a/src/lib.rs", "mod a; #[cfg(test)] mod tests;"),
            (
                "crates/a/src/a.rs",
                "#[cfg(test)] #[path = \"b.rs\"] mod again;",
            ),
            ("crates/a/src/b.rs", "mod c;"),
            ("crates/a/src/b/c.rs", ""),
            ("crates/a/src/tests.rs", "mod deep;"),
            ("crates/a/src/tests/deep.rs", ""),
        ]);
        let expected = ["b.rs", "b/c.rs", "tests.rs", "tests/deep.rs"];
        let expected = expected.map(|file| format!("crates/a/src/{file}"));
        assert_eq!(files_for_tests(&tree), BTreeSet::from(expected));
    }

    #[test]
    fn mod_rs_is_refused() {
        let tree = Tree::from([("crates/a/src/b/mod.rs", ""), ("crates/a/src/tmod.rs", "")]);
        let problems = check_names(&tree);
        let what = "a module has the name of its folder, not mod.rs";
        assert_says(&problems, &[&format!("crates/a/src/b/mod.rs:1: {what}")]);
        assert_eq!(
            problems[0].fix,
            "git mv crates/a/src/b/mod.rs crates/a/src/b.rs"
        );
    }
}

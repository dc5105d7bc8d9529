//! The files of the repository as values.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Files by their path in the repository, with `/` between its parts.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Content>,
}

#[derive(Debug)]
enum Content {
    Text(String),
    /// A link, or not UTF-8. It exists, and no rule looks inside.
    Other,
}

impl Tree {
    /// This repository: what git tracks, and what it would track after `git add`.
    pub(crate) fn ours() -> &'static Self {
        static OURS: OnceLock<Tree> = OnceLock::new();
        OURS.get_or_init(|| Self::read(&root()))
    }

    fn read(root: &Path) -> Self {
        let output = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root)
            .output()
            .expect("git is needed to know which files are ours");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "git can not list the files of {root:?}: {errors}"
        );
        let names = String::from_utf8(output.stdout).expect("our file names are UTF-8");
        let mut files = BTreeMap::new();
        for name in names.split_terminator('\0') {
            let path = root.join(name);
            // Of git's list, what was removed and not yet committed is missing.
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            let text = if metadata.is_file() {
                fs::read_to_string(&path).ok()
            } else {
                None
            };
            files.insert(name.to_owned(), text.map_or(Content::Other, Content::Text));
        }
        Self { files }
    }

    /// All files which are text, as path and text, in the order of their paths.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, content)| match content {
                Content::Text(text) => Some((path.as_str(), text.as_str())),
                Content::Other => None,
            })
    }

    /// All files whose name ends in this, as path and text.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts().filter(move |(path, _)| path.ends_with(end))
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        match self.files.get(path)? {
            Content::Text(text) => Some(text),
            Content::Other => None,
        }
    }

    /// Whether there is such a file or directory.
    pub(crate) fn has(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.keys().any(|file| file.starts_with(&inside))
    }
}

/// A small tree, to see a rule fail.
impl<P: Into<String>, T: Into<String>> FromIterator<(P, T)> for Tree {
    fn from_iter<I: IntoIterator<Item = (P, T)>>(files: I) -> Self {
        let own = |(path, text): (P, T)| (path.into(), Content::Text(text.into()));
        Self {
            files: files.into_iter().map(own).collect(),
        }
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Tree {
    fn from(files: [(&str, &str); N]) -> Self {
        files.into_iter().collect()
    }
}

/// Where the repository is.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Two paths as one, without `.` and `..`. Nothing if that leaves the repository.
pub(crate) fn join(directory: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The directory a file is in, empty for the top.
pub(crate) fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[test]
fn paths_are_joined() {
    let check = |directory, path, expected: Option<&str>| {
        assert_eq!(join(directory, path).as_deref(), expected);
    };
    check("a/b", "c.md", Some("a/b/c.md"));
    check("a/b", "../c.md", Some("a/c.md"));
    check("", "./c.md", Some("c.md"));
    check("a", "..", Some(""));
    check("a", "../..", None);
}

#[test]
fn a_directory_is_there_if_a_file_in_it_is() {
    let tree = Tree::from([("a/b/c", "")]);
    assert!(tree.has("a/b") && tree.has("a/b/c"));
    assert!(!tree.has("a/b/d") && !tree.has("a/b/"));
}

#[test]
fn our_own_tree_is_read() {
    assert!(Tree::ours().has("tests/tidy/src/tree.rs"));
    assert!(!Tree::ours().has("target"), "what git ignores is not ours");
}

//! A Cargo.toml, as far as our rules look into it.

use toml::de::{DeTable, DeValue};

use crate::{tree, tree::Tree};

/// The manifest of a package.
#[derive(Debug, PartialEq)]
pub(crate) struct Manifest {
    /// Path in the repository.
    pub(crate) file: String,
    pub(crate) package: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// It says `[lints] workspace = true`.
    pub(crate) workspace_lints: bool,
    /// Paths of files which it names as targets, relative to its directory.
    pub(crate) target_paths: Vec<String>,
}

/// One package which another needs.
#[derive(Debug, PartialEq)]
pub(crate) struct Dependency {
    /// Of the package, also where it is renamed.
    pub(crate) package: String,
    pub(crate) kind: Kind,
    /// Those of the workspace and those of the package.
    pub(crate) features: Vec<String>,
    pub(crate) line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For the package itself, or for its build script.
    Shipped,
    /// For its tests.
    Dev,
}

impl Manifest {
    /// The directory of the package in the repository.
    pub(crate) fn directory(&self) -> &str {
        tree::directory(&self.file)
    }
}

/// The manifests of all packages in the tree.
pub(crate) fn packages(tree: &Tree) -> Vec<Manifest> {
    let workspace = tree
        .text("Cargo.toml")
        .map(|text| parse_table("Cargo.toml", text));
    let shared = workspace
        .as_ref()
        .and_then(|root| table(table(root, "workspace")?, "dependencies"));
    let manifests = tree
        .texts()
        .filter(|(path, _)| path.rsplit('/').next() == Some("Cargo.toml"));
    manifests
        .filter_map(|(file, text)| parse(file, text, shared))
        .collect()
}

fn parse(file: &str, text: &str, shared: Option<&DeTable<'_>>) -> Option<Manifest> {
    let root = parse_table(file, text);
    let package = string(table(&root, "package")?, "name")?.to_owned();

    let mut dependencies = Vec::new();
    let mut collect = |tables: &DeTable<'_>| {
        for (key, kind) in [
            ("dependencies", Kind::Shipped),
            ("build-dependencies", Kind::Shipped),
            ("dev-dependencies", Kind::Dev),
        ] {
            for (name, value) in table(tables, key).into_iter().flatten() {
                let line = line_at(text, name.span().start);
                dependencies.push(dependency(
                    name.get_ref(),
                    value.get_ref(),
                    kind,
                    line,
                    shared,
                ));
            }
        }
    };
    collect(&root);
    for (_, target) in table(&root, "target").into_iter().flatten() {
        collect(target.get_ref().as_table()?);
    }
    dependencies.sort_by_key(|dependency| dependency.line);

    let workspace_lints =
        table(&root, "lints").and_then(|lints| lints.get("workspace")?.get_ref().as_bool());
    let mut target_paths = Vec::new();
    for (_, value) in &root {
        collect_rust_paths(value.get_ref(), &mut target_paths);
    }
    Some(Manifest {
        file: file.to_owned(),
        package,
        dependencies,
        workspace_lints: workspace_lints == Some(true),
        target_paths,
    })
}

fn dependency(
    name: &str,
    value: &DeValue<'_>,
    kind: Kind,
    line: usize,
    shared: Option<&DeTable<'_>>,
) -> Dependency {
    let here = value.as_table();
    let inherited = here.is_some_and(|table| table.contains_key("workspace"));
    let above = shared
        .filter(|_| inherited)
        .and_then(|shared| shared.get(name)?.get_ref().as_table());
    let tables = || [above, here].into_iter().flatten();
    let package = tables()
        .find_map(|table| string(table, "package"))
        .unwrap_or(name);
    let features = tables()
        .filter_map(|table| table.get("features")?.get_ref().as_array())
        .flatten()
        .filter_map(|feature| feature.get_ref().as_str())
        .map(str::to_owned)
        .collect();
    Dependency {
        package: package.to_owned(),
        kind,
        features,
        line,
    }
}

/// Every `path = "….rs"`, be it of a binary, a test or the library.
fn collect_rust_paths(value: &DeValue<'_>, paths: &mut Vec<String>) {
    if let Some(path) = value.as_table().and_then(|table| string(table, "path"))
        && path.ends_with(".rs")
    {
        paths.push(path.to_owned());
    }
    for element in value.as_array().into_iter().flatten() {
        collect_rust_paths(element.get_ref(), paths);
    }
}

/// Cargo has read it before us, so that it can only be right.
fn parse_table<'a>(file: &str, text: &'a str) -> DeTable<'a> {
    DeTable::parse(text)
        .unwrap_or_else(|error| panic!("{file}: {error}"))
        .into_inner()
}

fn table<'a, 'i>(within: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    within.get(key)?.get_ref().as_table()
}

fn string<'a>(within: &'a DeTable<'_>, key: &str) -> Option<&'a str> {
    within.get(key)?.get_ref().as_str()
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[test]
fn a_manifest_is_read_with_what_the_workspace_adds() {
    let tree = Tree::from([
        (
            "Cargo.toml",
            "[workspace.dependencies]\nkube = { version = '1', features = ['derive'] }\n\
             old = { package = 'new', version = '1' }",
        ),
        (
            "crates/x/Cargo.toml",
            "[package]\nname = 'x'\n[[bin]]\nname = 'y'\npath = 'other/y.rs'\n\
             [dependencies]\nkube = { workspace = true, features = ['client'] }\n\
             old.workspace = true\n[target.'cfg(unix)'.dev-dependencies]\ntempfile = '3'\n\
             [lints]\nworkspace = true",
        ),
    ]);
    let dependency = |package: &str, kind, features: &[&str], line| Dependency {
        package: package.to_owned(),
        kind,
        features: features.iter().map(|&feature| feature.to_owned()).collect(),
        line,
    };
    assert_eq!(
        packages(&tree),
        [Manifest {
            file: "crates/x/Cargo.toml".to_owned(),
            package: "x".to_owned(),
            dependencies: vec![
                dependency("kube", Kind::Shipped, &["derive", "client"], 7),
                dependency("new", Kind::Shipped, &[], 8),
                dependency("tempfile", Kind::Dev, &[], 10),
            ],
            workspace_lints: true,
            target_paths: vec!["other/y.rs".to_owned()],
        }]
    );
}

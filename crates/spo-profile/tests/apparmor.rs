//! Golden files of AppArmor profiles: a case is a manifest, and beside it the text which a node gets.
//!
//! `tests/golden/apparmor/*.yaml` are cases of ours; those which begin with `sleep` and `contract`
//! are upstream's examples. Every AppArmorProfile in `examples/` at the top of the repository is a
//! case as well. `UPDATE_GOLDEN=1 cargo test -p spo-profile` writes what is rendered; read it before
//! committing.
#![expect(clippy::print_stderr, reason = "a test says what differs")]
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the purity contract is for the crate, not its tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use spo_api::apparmor_profile::AppArmorProfile;
use spo_profile::apparmor;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The manifests of a folder by path, in order.
fn manifests(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_case = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(prefix) && name.ends_with(".yaml")
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_case).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no {prefix}*.yaml in {folder:?}");
    paths
}

fn rendered(manifest: &Path) -> String {
    let text = fs::read_to_string(manifest).unwrap();
    let profile: AppArmorProfile =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{manifest:?}: {error}"));
    let name = profile.metadata.name.unwrap();
    apparmor::render(&name, &profile.spec).unwrap_or_else(|error| panic!("{manifest:?}: {error}"))
}

/// Compares with the golden file and returns whether that is up to date.
fn is_golden(folder: &str, manifest: &Path) -> bool {
    let name = manifest.file_name().unwrap();
    let folder = root().join("tests/golden").join(folder);
    let golden = folder.join(name).with_extension("apparmor");
    let rendered = rendered(manifest);
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        fs::write(&golden, &rendered).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    if expected != rendered {
        eprintln!("{}\n- {expected}\n+ {rendered}", golden.display());
    }
    expected == rendered
}

#[test]
fn apparmor_files_are_rendered_byte_for_byte() {
    let cases = manifests(&root().join("tests/golden/apparmor"), "");
    let examples = manifests(&root().join("../../examples"), "apparmorprofile");
    let cases = cases.iter().map(|path| ("apparmor", path));
    let cases = cases.chain(examples.iter().map(|path| ("examples", path)));
    let stale: Vec<&PathBuf> = cases
        .filter(|(folder, path)| !is_golden(folder, path))
        .map(|(_, path)| path)
        .collect();
    assert_eq!(
        stale,
        [] as [&PathBuf; 0],
        "run with UPDATE_GOLDEN=1 and read the difference"
    );
}

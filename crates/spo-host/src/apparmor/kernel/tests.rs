//! The layout is that of Linux 6.12, as `ls -R` showed it in the test VM. What the kernel does with
//! a write is tested there, tests/vm.

#![expect(clippy::disallowed_methods, reason = "somebody else wrote these files")]

use std::fs::{create_dir_all, write};
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn profile(dir: &Path, name: &str, mode: &str, hash: Option<&str>) {
    create_dir_all(dir).unwrap();
    write(dir.join("name"), format!("{name}\n")).unwrap();
    write(dir.join("mode"), format!("{mode}\n")).unwrap();
    if let Some(hash) = hash {
        write(dir.join("sha256"), hash).unwrap();
        write(dir.join("raw_sha256"), format!("{hash}\n")).unwrap();
    }
}

fn kernel() -> (TempDir, PathBuf, Kernel) {
    let dir = tempfile::tempdir().unwrap();
    let profiles = dir.path().join("policy/profiles");
    profile(&profiles.join("web.1"), "web", "enforce", Some("aa"));
    profile(
        &profiles.join("foo.bar.2"),
        "foo/bar",
        "complain",
        Some("bb"),
    );
    profile(
        &profiles.join("with_space.12"),
        "with space (x)",
        "kill",
        None,
    );
    let kernel = Kernel::at(dir.path());
    (dir, profiles, kernel)
}

#[test]
fn a_profile_has_its_name_and_mode_whatever_they_are() {
    let (_dir, _profiles, kernel) = kernel();
    let modes: Vec<(String, Mode)> = kernel
        .profiles()
        .unwrap()
        .into_iter()
        .map(|(name, loaded)| (name, loaded.mode))
        .collect();
    let expected = [
        ("foo/bar", Mode::Complain),
        ("web", Mode::Enforce),
        ("with space (x)", Mode::Other("kill".to_owned())),
    ];
    assert_eq!(modes, expected.map(|(name, mode)| (name.to_owned(), mode)));
    for (name, mode) in modes {
        assert_eq!(kernel.loaded(&name).unwrap().unwrap().mode, mode, "{name}");
    }
    for absent in ["we", "web.1", "web/", "bar", ""] {
        assert_eq!(kernel.loaded(absent).unwrap(), None, "{absent}");
    }
}

#[test]
fn a_digest_is_one_of_the_content_and_of_the_children() {
    let (_dir, profiles, kernel) = kernel();
    let digest = || kernel.loaded("web").unwrap().unwrap().digest;
    let alone = digest();
    assert!(alone.is_some());
    profile(
        &profiles.join("web.1/profiles/child.3"),
        "web//child",
        "enforce",
        Some("c1"),
    );
    let with_child = digest();
    assert_ne!(with_child, alone);
    profile(
        &profiles.join("web.1/profiles/child.3"),
        "web//child",
        "enforce",
        Some("c2"),
    );
    assert_ne!(digest(), with_child);
    profile(
        &profiles.join("web.1/profiles/child.3"),
        "web//child",
        "enforce",
        Some("c1"),
    );
    assert_eq!(digest(), with_child);
    // A child without a hash can not be told from another one.
    profile(
        &profiles.join("web.1/profiles/hat.4"),
        "web//hat",
        "enforce",
        None,
    );
    assert_eq!(digest(), None);
    assert_eq!(
        kernel.loaded("with space (x)").unwrap().unwrap().digest,
        None
    );
}

#[test]
fn a_kernel_without_apparmor_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = Kernel::at(dir.path());
    let error = kernel.profiles().unwrap_err().to_string();
    assert!(error.ends_with("/policy/profiles"), "{error}");
    assert!(kernel.replace(b"x").is_err());
}

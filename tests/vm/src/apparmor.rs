//! AppArmor as the guest's kernel has it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::run::{Ended, run};

/// The profiles that are loaded, by name, each with its mode.
pub fn loaded() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap();
    let profile = |line: &str| {
        let (name, mode) = line.strip_suffix(')')?.rsplit_once(" (")?;
        Some((name.to_owned(), mode.to_owned()))
    };
    text.lines().filter_map(profile).collect()
}

/// The mode of a profile, if it is loaded.
pub fn mode(profile: &str) -> Option<String> {
    loaded().remove(profile)
}

/// Loads a text, as an administrator of the node would.
pub fn load(text: &str) -> Ended {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    parser("--replace", file.path())
}

/// Takes a profile out of the kernel, by its name.
pub fn unload(profile: &str) -> Ended {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("profile {profile} {{ }}\n")).unwrap();
    parser("--remove", file.path())
}

fn parser(what: &str, file: &Path) -> Ended {
    run(
        "apparmor_parser",
        &[what, "--skip-cache", file.to_str().unwrap()],
    )
}

/// Runs a script under a profile.
pub fn confined(profile: &str, script: &str) -> Ended {
    run("aa-exec", &["-p", profile, "--", "sh", "-c", script])
}

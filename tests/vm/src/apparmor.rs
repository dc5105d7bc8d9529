//! AppArmor as the guest's kernel has it.

use std::collections::BTreeMap;
use std::path::Path;

use spo_test_apiserver::wait::eventually;

use crate::rig::SOON;
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

/// Waits until a profile has a mode, or is not loaded.
pub async fn becomes(profile: &str, expected: Option<&str>) {
    let what = format!("{profile} is {expected:?} in the kernel");
    eventually(SOON, &what, async || match mode(profile) {
        mode if mode.as_deref() == expected => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// Under which profile, and in which mode of it, a process runs.
pub fn confinement(process: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{process}/attr/current")).unwrap();
    text.trim_end().to_owned()
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

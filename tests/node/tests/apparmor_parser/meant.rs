//! The parser finds the rules which a profile means, and no others.
//!
//! What is meant is written down here a second time, straight from the fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use spo_api::apparmor_profile::rules::{FileAccess, FileRule};
use spo_api::apparmor_profile::{AppArmorProfileSpec, Mode};
use spo_profile::apparmor;

use super::parser::{self, Found};
use super::spec::{NAME, specs};

/// What every profile of this mode has.
fn base(mode: Mode) -> Found {
    let spec = AppArmorProfileSpec {
        mode,
        ..AppArmorProfileSpec::default()
    };
    parser::examine(&apparmor::render(NAME, &spec).unwrap()).unwrap()
}

struct Meant(Found);

impl Meant {
    fn file(&mut self, path: &str, letters: &str) {
        let files = self.0.files.entry(path.to_owned()).or_default();
        files.extend(letters.chars());
    }

    fn rules(&mut self, class: &'static str, more: usize) {
        if more > 0 {
            *self.0.rules.entry(class).or_default() += more;
        }
    }

    fn file_rules(&mut self, rules: &[FileRule]) {
        for FileRule { path, access } in rules {
            for access in access {
                let letters = match access {
                    FileAccess::Read => "r",
                    FileAccess::Write => "wa",
                    FileAccess::Append => "a",
                    FileAccess::Map => "m",
                    FileAccess::Lock => "k",
                    FileAccess::Link => "l",
                };
                self.file(path, letters);
            }
        }
    }
}

fn meant(spec: &AppArmorProfileSpec) -> Found {
    let mut meant = Meant(base(spec.mode));
    let rules = spec.r#abstract.clone().unwrap_or_default();
    let enforces = spec.mode == Mode::Enforce;
    let capability = rules.capability.unwrap_or_default();
    let names = capability.allowed_capabilities.iter();
    let names: Vec<String> = names.map(|name| name.trim().to_lowercase()).collect();
    let workaround = names.iter().any(|name| name == "sys_rawio");
    meant.0.capabilities.extend(names);

    let executable = rules.executable.unwrap_or_default();
    for path in &executable.allowed_executables {
        meant.file(path, "rx");
    }
    for path in &executable.allowed_libraries {
        meant.file(path, "rm");
    }
    for transition in &executable.transitions {
        meant.file(&transition.path, "rx");
    }
    for path in executable.denied_executables.iter().filter(|_| enforces) {
        meant.file(path, "x");
    }
    if workaround {
        meant.file("/sbin/fsck", "rx");
        meant.file("/sbin/fsck.ext4", "rx");
        meant.rules("mount", 2);
        meant.rules("umount", 1);
    }

    let files = rules.filesystem.unwrap_or_default();
    for path in &files.read_only_paths {
        meant.file(path, if enforces { "rwalk" } else { "r" });
    }
    for path in &files.write_only_paths {
        meant.file(path, if enforces { "rwalk" } else { "walk" });
    }
    for path in &files.read_write_paths {
        meant.file(path, "rwalk");
    }
    meant.file_rules(&files.allowed_paths);
    if enforces {
        meant.file_rules(&files.denied_paths);
    }

    // The parser shows rules about raw sockets of all families as one about Unix sockets, too.
    let raw = rules.network.map(|network| network.allow_raw == Some(true));
    meant.rules("unix", usize::from(raw.is_some_and(|raw| raw || enforces)));
    let mount = rules.mount.unwrap_or_default();
    meant.rules("mount", mount.allowed_mounts.len());
    meant.rules("umount", mount.allowed_unmounts.len());
    meant.rules(
        "signal",
        rules.signal.unwrap_or_default().allowed_signals.len(),
    );
    meant.rules(
        "ptrace",
        rules.ptrace.unwrap_or_default().allowed_traces.len(),
    );
    meant.rules("unix", rules.unix.unwrap_or_default().allowed_sockets.len());
    meant.0
}

/// What is not the same, line by line: a profile includes much that always is.
fn difference(found: &Found, meant: &Found) -> Vec<String> {
    let lines = |one: &Found| -> BTreeSet<String> {
        let files = one.files.iter().map(|file| format!("{file:?}"));
        let rules = one.rules.iter().map(|rules| format!("{rules:?}"));
        let capabilities = one.capabilities.iter().cloned();
        let names = one.names.iter().cloned();
        files
            .chain(rules)
            .chain(capabilities)
            .chain(names)
            .collect()
    };
    let (found, meant) = (lines(found), lines(meant));
    let both = found.symmetric_difference(&meant);
    let side = |line: &String| {
        if found.contains(line) {
            "found"
        } else {
            "meant"
        }
    };
    both.map(|line| format!("{}: {line}", side(line))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_profile_has_the_rules_that_are_meant(spec in specs()) {
        let text = apparmor::render(NAME, &spec).unwrap();
        let found = parser::examine(&text);
        let found = found.map(|found| difference(&found, &meant(&spec)));
        prop_assert_eq!(found, Ok(vec![]), "{}", text);
    }
}

/// Those which somebody has read.
#[test]
fn every_golden_profile_is_read() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/spo-profile/tests/golden");
    let mut read = BTreeMap::new();
    for folder in ["apparmor", "examples"].map(|name| folder.join(name)) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|it| it != "apparmor") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            parser::compile(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            let names = parser::names(&text).unwrap();
            let name = names.lines().next().unwrap().to_owned();
            assert_eq!(apparmor::defines_only(&name, &names), Ok(()), "{path:?}");
            assert!(
                text.contains(&format!("\nprofile {name} flags=(")),
                "{path:?}"
            );
            read.insert(path, name);
        }
    }
    assert!(read.len() >= 7, "{read:?}");
}

//! Golden files: a case is a manifest, and beside it the bytes which a node gets.
//!
//! `tests/golden/seccomp/*.yaml` and `tests/golden/selinux/*.yaml` are cases of ours. Every SeccompProfile in `examples/` at the top
//! of the repository is one as well, with its base profiles resolved among the examples.
//! `UPDATE_GOLDEN=1 cargo test -p spo-profile` writes what is rendered; read it before committing.
#![expect(clippy::print_stderr, reason = "a test says what differs")]
#![expect(clippy::unwrap_used, reason = "a test helper may panic like a test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the purity contract is for the crate, not its tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use spo_api::raw_selinux_profile::RawSelinuxProfile;
use spo_api::seccomp_profile::{SeccompProfile, SeccompProfileSpec};
use spo_api::selinux_profile::SelinuxProfile;
use spo_api::spod::SelinuxOptions;
use spo_profile::seccomp::resolve::{BaseRef, Progress, Resolver};
use spo_profile::seccomp::validate::validate;
use spo_profile::seccomp::{parse, render};
use spo_profile::selinux::limits::Limits;
use spo_profile::selinux::name::BlockName;
use spo_profile::selinux::{cil, raw};

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

fn read(path: &Path) -> SeccompProfile {
    read_as(path)
}

fn read_as<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Compares with the golden file and returns whether that is up to date.
fn is_golden(folder: &str, manifest: &Path, extension: &str, rendered: &[u8]) -> bool {
    let name = manifest.file_name().unwrap();
    let golden = root()
        .join("tests/golden")
        .join(folder)
        .join(name)
        .with_extension(extension);
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        fs::write(&golden, rendered).unwrap();
    }
    let expected = fs::read(&golden).unwrap_or_default();
    if expected != rendered {
        eprintln!(
            "{}\n- {}",
            golden.display(),
            String::from_utf8_lossy(&expected)
        );
        eprintln!("+ {}", String::from_utf8_lossy(rendered));
    }
    expected == rendered
}

#[test]
fn seccomp_files_are_rendered_byte_for_byte() {
    let cases = manifests(&root().join("tests/golden/seccomp"), "");
    let stale: Vec<&PathBuf> = cases
        .iter()
        .filter(|path| !is_golden("seccomp", path, "json", &render::render(&read(path).spec)))
        .collect();
    assert_eq!(
        stale,
        [] as [&PathBuf; 0],
        "run with UPDATE_GOLDEN=1 and read the difference"
    );
}

#[test]
fn the_example_of_the_contract_is_reproduced() {
    let rendered = render::render(&read(&root().join("tests/golden/seccomp/contract.yaml")).spec);
    let literal = r#"{"state":"Enabled","baseProfileName":"base","defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["openat"],"action":"SCMP_ACT_ERRNO","errnoRet":13,"args":[{"index":0,"value":42,"op":"SCMP_CMP_EQ"}]},{"names":["read"],"action":"SCMP_ACT_ALLOW"}],"flags":["SECCOMP_FILTER_FLAG_LOG"]}"#;
    assert_eq!(String::from_utf8(rendered).unwrap(), literal);
}

#[test]
fn examples_are_rendered_and_run() {
    let cases = manifests(&root().join("../../examples"), "seccompprofile");
    let examples: BTreeMap<String, SeccompProfileSpec> = cases
        .iter()
        .map(|path| {
            (
                read(path).metadata.name.expect("an example has a name"),
                read(path).spec,
            )
        })
        .collect();
    let mut stale = vec![];
    for path in &cases {
        let example = read(path);
        let spec = resolve(example.metadata.name.as_deref().unwrap(), &examples);
        assert_eq!(validate(&spec), [], "{path:?}");
        let rendered = render::render(&spec);
        assert!(render::is_rendered(&rendered), "{path:?}");
        let parsed = parse::parse(&rendered).unwrap();
        assert_eq!((parsed.spec, parsed.losses), (spec, vec![]), "{path:?}");
        if !is_golden("examples", path, "json", &rendered) {
            stale.push(path);
        }
    }
    assert_eq!(
        stale,
        [] as [&PathBuf; 0],
        "run with UPDATE_GOLDEN=1 and read the difference"
    );
}

fn resolve(name: &str, examples: &BTreeMap<String, SeccompProfileSpec>) -> SeccompProfileSpec {
    let mut resolver = Resolver::new(name, examples[name].clone());
    loop {
        match resolver.step() {
            Progress::Need(need) => {
                let base = match need.base() {
                    BaseRef::Local(name) => examples.get(name).cloned(),
                    BaseRef::Artifact(_) => return examples[name].clone(),
                };
                resolver = need.answer(base);
            }
            Progress::Done(resolved) => return resolved.spec,
            Progress::Failed(error) => panic!("{name}: {error}"),
        }
    }
}

/// The text of a case. A raw profile has a policy.
fn policy(manifest: &Path) -> String {
    let limits = Limits::of(&SelinuxOptions {
        allowed_system_profiles: vec!["container".to_owned(), "net_container".to_owned()],
        ..SelinuxOptions::default()
    });
    let name = |name: Option<String>| BlockName::parse(&name.unwrap()).unwrap();
    let profile: RawSelinuxProfile = read_as(manifest);
    if let Some(policy) = profile.spec.policy {
        raw::check(&policy, &|name| limits.permits_system(name)).unwrap();
        return raw::wrap(&name(profile.metadata.name), &policy);
    }
    let profile: SelinuxProfile = read_as(manifest);
    let name = name(profile.metadata.name);
    let text = cil::render(&name, &profile.spec, &limits).unwrap();
    let expected = (name.clone(), cil::canonical(&name, &profile.spec));
    assert_eq!(
        cil::parse::parse(&text, &limits),
        Ok(expected),
        "{manifest:?}"
    );
    text
}

#[test]
fn selinux_modules_are_rendered_byte_for_byte() {
    let cases = manifests(&root().join("tests/golden/selinux"), "");
    let stale: Vec<&PathBuf> = cases
        .iter()
        .filter(|path| !is_golden("selinux", path, "cil", policy(path).as_bytes()))
        .collect();
    assert_eq!(
        stale,
        [] as [&PathBuf; 0],
        "run with UPDATE_GOLDEN=1 and read the difference"
    );
}

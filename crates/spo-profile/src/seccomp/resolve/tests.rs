//! Chains of base profiles, written as `name: base`.

use super::*;
use spo_api::seccomp_profile::{Action, Syscall};

fn profile(base: &str, syscalls: &[&str]) -> SeccompProfileSpec {
    let entry = |name: &&str| Syscall {
        names: vec![(*name).to_owned()],
        action: Action::Allow,
        errno_ret: None,
        args: vec![],
    };
    SeccompProfileSpec {
        base_profile_name: Some(base.to_owned()),
        syscalls: syscalls.iter().map(entry).collect(),
        ..SeccompProfileSpec::default()
    }
}

/// Resolves the first profile; the others are what exists.
fn resolve(profiles: &[(&str, &str, &[&str])]) -> Result<Resolved, String> {
    let look_up = |base: &BaseRef| {
        let mut others = profiles.iter().skip(1);
        let found = others.find(|(name, _, _)| *name == base.to_string());
        found.map(|(_, base, syscalls)| profile(base, syscalls))
    };
    let (name, base, syscalls) = profiles[0];
    let mut resolver = Resolver::new(name, profile(base, syscalls));
    loop {
        match resolver.step() {
            Progress::Need(need) => {
                let base = look_up(need.base());
                resolver = need.answer(base);
            }
            Progress::Done(resolved) => return Ok(resolved),
            Progress::Failed(error) => return Err(error.to_string()),
        }
    }
}

fn names(resolved: &Resolved) -> String {
    let names = resolved
        .spec
        .syscalls
        .iter()
        .map(|entry| entry.names.join("+"));
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn without_a_base_the_system_calls_stay_as_written() {
    let mut spec = profile("", &["write", "read", "write"]);
    spec.syscalls[0].names.push("open".to_owned());
    let Progress::Done(resolved) = Resolver::new("web", spec.clone()).step() else {
        panic!()
    };
    assert_eq!(
        resolved,
        Resolved {
            spec,
            bases: vec![],
            has_base: false
        }
    );
}

#[test]
fn system_calls_are_united_along_the_chain() {
    let resolved = resolve(&[
        ("web", "http", &["write", "accept"]),
        ("http", "oci://registry/base:v1", &["accept", "listen"]),
        ("oci://registry/base:v1", "libc", &["read"]),
        ("libc", "", &["brk"]),
    ]);
    let resolved = resolved.unwrap();
    assert_eq!(names(&resolved), "accept brk listen read write");
    assert_eq!(resolved.bases, ["http", "libc"]);
    assert!(resolved.has_base);
    assert_eq!(resolved.spec.base_profile_name.as_deref(), Some("http"));
}

#[test]
fn only_system_calls_are_inherited() {
    let base = SeccompProfileSpec {
        default_action: Action::Allow,
        listener_path: Some("/x".to_owned()),
        ..profile("", &["read"])
    };
    let Progress::Need(need) = Resolver::new("web", profile("base", &[])).step() else {
        panic!()
    };
    let Progress::Done(resolved) = need.answer(Some(base)).step() else {
        panic!()
    };
    assert_eq!(resolved.spec, profile("base", &["read"]));
}

#[test]
fn artifacts_are_asked_for_by_reference() {
    let resolver = Resolver::new("web", profile("oci://ghcr.io/x/y@sha256:0", &[]));
    let Progress::Need(need) = resolver.step() else {
        panic!()
    };
    assert_eq!(
        need.base(),
        &BaseRef::Artifact("ghcr.io/x/y@sha256:0".to_owned())
    );
    let Progress::Failed(error) = need.answer(None).step() else {
        panic!()
    };
    assert_eq!(
        error.to_string(),
        "spec.baseProfileName: artifact \"oci://ghcr.io/x/y@sha256:0\" does not exist; create it \
         or remove the field"
    );
}

#[test]
fn broken_chains_are_named() {
    for (profiles, expected) in [
        (
            vec![("a", "x", &[][..])],
            "spec.baseProfileName: SeccompProfile \"x\" does not exist; create it or remove the \
             field",
        ),
        (
            vec![("a", "b", &[]), ("b", "x", &[])],
            "spec.baseProfileName: SeccompProfile \"x\", which SeccompProfile \"b\" has as base \
             profile, does not exist; create it or remove the field there",
        ),
        (
            vec![("a", "a", &[])],
            "spec.baseProfileName: a -> a is a cycle",
        ),
        (
            vec![("a", "b", &[]), ("b", "a", &[])],
            "spec.baseProfileName: a -> b -> a is a cycle",
        ),
        (
            vec![("a", "b", &[]), ("b", "c", &[]), ("c", "b", &[])],
            "spec.baseProfileName: a -> b -> c -> b is a cycle",
        ),
    ] {
        assert_eq!(resolve(&profiles).unwrap_err(), expected);
    }
}

#[test]
fn fifteen_levels_are_too_deep() {
    let names: Vec<String> = (0..=15).map(|level| format!("p{level}")).collect();
    let chain = |length: usize| -> Vec<(&str, &str, &[&str])> {
        let base = |level: usize| {
            if level == length {
                ""
            } else {
                &*names[level + 1]
            }
        };
        (0..=length)
            .map(|level| (&*names[level], base(level), &[][..]))
            .collect()
    };
    assert_eq!(resolve(&chain(14)).unwrap().bases.len(), 14);
    let error = resolve(&chain(15)).unwrap_err();
    let text = "max recursion level of 15 is reached for resolving base profiles: p0 -> p1 -> ";
    assert!(error.starts_with(text), "{error}");
}

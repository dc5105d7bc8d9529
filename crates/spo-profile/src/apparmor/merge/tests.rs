//! The examples of the contract, and laws.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use spo_api::apparmor_profile::{AppArmorProfileSpec, Filesystem};

use super::{clean, matches, unite};

fn spec(rules: &Value) -> AppArmorProfileSpec {
    serde_json::from_value(json!({ "abstract": rules })).unwrap()
}

fn files(read: &[&str], write: &[&str], both: &[&str]) -> AppArmorProfileSpec {
    spec(&json!({"filesystem": {
        "readOnlyPaths": read,
        "writeOnlyPaths": write,
        "readWritePaths": both,
    }}))
}

#[test]
fn files_as_contracted() {
    let base = || files(&["/r/*"], &["/w/*"], &["/rw/*"]);
    for (right, expected) in [
        (
            files(&["/w/foo"], &["/r/bar"], &[]),
            files(&["/r/*"], &["/w/*"], &["/r/bar", "/rw/*", "/w/foo"]),
        ),
        (
            files(&[], &[], &["/r/foo", "/w/foo"]),
            files(&["/r/*"], &["/w/*"], &["/r/foo", "/rw/*", "/w/foo"]),
        ),
        (
            files(&["/r2/foo"], &[], &[]),
            files(&["/r/*", "/r2/foo"], &["/w/*"], &["/rw/*"]),
        ),
        (files(&["/rw/a"], &["/rw/b"], &["/rw/c"]), base()),
        (
            files(&["/w/*"], &[], &[]),
            files(&["/r/*"], &[], &["/rw/*", "/w/*"]),
        ),
    ] {
        assert_eq!(unite(&base(), &right), Ok(expected));
    }
    let left = files(&["/a/x", "/b"], &["/a/y"], &[]);
    let expected = files(&["/b"], &[], &["/a/**", "/a/x", "/a/y"]);
    assert_eq!(unite(&left, &files(&[], &[], &["/a/**"])), Ok(expected));
}

#[test]
fn sections_as_contracted() {
    let left = spec(&json!({
        "executable": {"allowedExecutables": ["/bin/b", "/bin/a"]},
        "network": {"allowRaw": false, "allowedProtocols": {"allowTcp": true}},
        "capability": {"allowedCapabilities": ["SETUID", "chown"]},
    }));
    let right = spec(&json!({
        "executable": {"allowedExecutables": ["/bin/*"], "allowedLibraries": ["/lib//x"]},
        "network": {"allowedProtocols": {"allowTcp": false, "allowUdp": true}},
        "capability": {"allowedCapabilities": ["bpf", "chown"]},
        "filesystem": {"readOnlyPaths": ["/b", "/a"]},
        "signal": {"allowedSignals": [{"access": ["Send"]}]},
    }));
    let expected = spec(&json!({
        "executable": {"allowedExecutables": ["/bin/*"], "allowedLibraries": ["/lib/x"]},
        "network": {"allowRaw": false, "allowedProtocols": {"allowTcp": true, "allowUdp": true}},
        "capability": {"allowedCapabilities": ["bpf", "chown", "setuid"]},
        "filesystem": {"readOnlyPaths": ["/a", "/b"]},
        "signal": {"allowedSignals": [{"access": ["Send"]}]},
    }));
    assert_eq!(unite(&left, &right), Ok(expected));
}

#[test]
fn a_union_denies_what_both_deny() {
    let denies = |paths: &[&str]| {
        let rules: Vec<Value> = paths
            .iter()
            .map(|path| json!({"path": path, "access": ["Read"]}))
            .collect();
        spec(&json!({
            "filesystem": {"deniedPaths": rules},
            "executable": {"deniedExecutables": paths},
        }))
    };
    let united = unite(&denies(&["/a", "/b"]), &denies(&["/b", "/c"]));
    assert_eq!(united, Ok(denies(&["/b"])));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let fine = files(&["/a"], &[], &[]);
    let policy = AppArmorProfileSpec {
        policy: Some("profile x { }".to_owned()),
        ..AppArmorProfileSpec::default()
    };
    for wrong in [
        files(&[""], &[], &[]),
        files(&["/a"], &["/a"], &[]),
        files(&["/a"], &[], &["/./a"]),
        spec(&json!({"capability": {"allowedCapabilities": ["chown", "CHOWN"]}})),
        spec(&json!({"capability": {"allowedCapabilities": [" "]}})),
        policy,
    ] {
        assert!(unite(&fine, &wrong).is_err(), "{wrong:?}");
        assert!(unite(&wrong, &fine).is_err(), "{wrong:?}");
    }
}

#[test]
fn patterns_cover_paths() {
    for (pattern, path, covers) in [
        ("/a/*", "/a/b", true),
        ("/a/*", "/a/", true),
        ("/a/*", "/a/b/c", false),
        ("/a/**", "/a/b/c", true),
        ("/a/**/d", "/a/b/c/d", true),
        ("/a/**/d", "/a/b/c/e", false),
        ("/a?", "/ab", true),
        ("/a?", "/a/", false),
        ("/a", "/a", true),
        ("/*/x", "/a/b/x", false),
        ("**", "/", true),
    ] {
        assert_eq!(matches(pattern, path), covers, "{pattern} {path}");
    }
    assert!(!matches(&"*".repeat(4097), "/"));
}

#[test]
fn paths_are_clean() {
    for (path, expected) in [
        ("/a//b/./c", "/a/b/c"),
        ("/run/", "/run/"),
        ("/run//", "/run/"),
        ("/", "/"),
        ("/./a", "/a"),
        ("/a//*//b", "/a/*//b"),
        ("/a/.*", "/a/.*"),
        ("ptrace (read),", "ptrace (read),"),
    ] {
        assert_eq!(clean(path), expected);
    }
}

const PATHS: [&str; 9] = [
    "/a", "/a/b", "/a/c", "/a/b/c", "/a/*", "/a/**", "/a/b/*", "/d", "/?",
];

/// Each path in one list.
fn specs() -> impl Strategy<Value = AppArmorProfileSpec> {
    let lists = prop::collection::vec(select(vec![0, 1, 2]), PATHS.len());
    (subsequence(PATHS.to_vec(), 0..6), lists).prop_map(|(paths, lists)| {
        let list = |wanted: i32| -> Vec<&str> {
            let both = paths.iter().zip(&lists);
            both.filter(|(_, list)| **list == wanted)
                .map(|(path, _)| *path)
                .collect()
        };
        files(&list(0), &list(1), &list(2))
    })
}

/// Whether a profile allows to read and to write a path, by its rules that allow.
fn allows(spec: &AppArmorProfileSpec, path: &str) -> (bool, bool) {
    let rules = spec.r#abstract.clone().unwrap();
    let Filesystem {
        read_only_paths,
        write_only_paths,
        read_write_paths,
        ..
    } = rules.filesystem.unwrap();
    let any = |list: &[String]| list.iter().any(|pattern| matches(pattern, path));
    let both = any(&read_write_paths);
    (
        both || any(&read_only_paths),
        both || any(&write_only_paths),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_union_allows_what_its_parts_allow(left in specs(), right in specs()) {
        let united = unite(&left, &right).unwrap();
        for path in ["/a", "/a/b", "/a/c", "/a/x", "/a/b/c", "/a/b/x", "/d", "/x", "/x/y"] {
            let (one, other) = (allows(&left, path), allows(&right, path));
            let (read, write) = allows(&united, path);
            prop_assert!(read || !(one.0 || other.0), "{} {:?}", path, united);
            prop_assert!(write || !(one.1 || other.1), "{} {:?}", path, united);
        }
    }

    #[test]
    fn a_union_with_itself_changes_nothing(left in specs(), right in specs()) {
        let united = unite(&left, &right).unwrap();
        prop_assert_eq!(unite(&united, &united).unwrap(), united.clone());
        prop_assert_eq!(unite(&united, &right).unwrap(), united);
    }
}

//! Conversion between served versions: tables per kind, what the schemas say, and what upstream
//! answered for the same objects.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of the repository are the subject"
)]
#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]
#![expect(clippy::print_stdout, reason = "a note for who runs the tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use spo_api::{
    GROUP,
    convert::{Error, convert},
    crd,
    spod::flat::MOVES,
};

fn object(kind: &str, version: &str, rest: &Value) -> Value {
    let mut object = json!({
        "apiVersion": format!("{GROUP}/{version}"),
        "kind": kind,
        "metadata": {"name": "x", "annotations": {"a": "logs"}, "unknown": []},
    });
    let rest = rest.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(rest);
    object
}

fn to(version: &str) -> String {
    format!("{GROUP}/{version}")
}

/// Converts from one version to the other and compares.
#[track_caller]
fn check(kind: &str, (from, before): (&str, Value), (into, after): (&str, Value)) {
    assert_eq!(
        convert(object(kind, from, &before), &to(into)),
        Ok(object(kind, into, &after))
    );
}

/// Converts in both directions.
#[track_caller]
fn both(kind: &str, old: (&str, Value), v1: Value) {
    check(kind, old.clone(), ("v1", v1.clone()));
    check(kind, ("v1", v1), old);
}

#[test]
fn recordings_are_spelled_in_the_way_of_the_version() {
    let kind = "ProfileRecording";
    both(
        kind,
        (
            "v1alpha1",
            json!({"spec": {"kind": "SeccompProfile", "recorder": "logs",
                "mergeStrategy": "containers", "podSelector": {"matchLabels": {"app": "a"}}}}),
        ),
        json!({"spec": {"kind": "SeccompProfile", "recorder": "Logs",
            "mergeStrategy": "Containers", "podSelector": {"matchLabels": {"app": "a"}}}}),
    );
    both(
        kind,
        ("v1alpha1", json!({"spec": {"recorder": "bpf"}})),
        json!({"spec": {"recorder": "Bpf"}}),
    );
    for same in [
        json!({}),
        json!({"spec": null}),
        json!({"spec": []}),
        json!({"spec": {}, "status": {}}),
        json!({"spec": {"recorder": "", "mergeStrategy": ""}}),
        json!({"spec": {"recorder": "Tea", "mergeStrategy": 1, "containers": []}}),
        json!({"spec": {"recorder": ["logs"], "unknown": {"recorder": "logs"}}}),
    ] {
        both(kind, ("v1alpha1", same.clone()), same);
    }
    check(
        kind,
        ("v1alpha1", json!({"spec": {"kind": "ApparmorProfile"}})),
        ("v1", json!({"spec": {"kind": "AppArmorProfile"}})),
    );
}

#[test]
fn a_spod_keeps_what_only_v1_had() {
    let kind = "SecurityProfilesOperatorDaemon";
    let spec = |source: &str| {
        json!({
            "selinux": {"options": {"allowedSystemProfiles": [], "deniedTypes": ["t"]}},
            "security": {"allowedIdentityRegexp": "", "allowedOidcIssuerRegexp": "^x$"},
            "enricher": {"logEnricherSource": source},
            "scheduling": {"priorityClassName": ""},
        })
    };
    for (v1, old) in [
        ("Auditd", "auditd"),
        ("Bpf", "bpf"),
        ("Netlink", "netlink"),
        ("Auto", "auto"),
        ("Tea", "Tea"),
        ("", ""),
    ] {
        both(
            kind,
            (
                "v1alpha1",
                json!({"spec": spec(old), "status": {"state": "RUNNING"}}),
            ),
            json!({"spec": spec(v1), "status": {"state": "Running"}}),
        );
    }
    for same in [
        json!({"spec": {"enricher": {}}, "status": {}}),
        json!({"spec": {"enricher": "x"}, "status": "x"}),
        json!({"spec": {"enableSelinux": "x", "tolerations": {}, "affinity": null}}),
        json!({"spec": {"enableSelinux": true, "selinux": []}}),
        json!({"spec": {"selinuxOptions": {"allowedSystemProfiles": {}}}}),
    ] {
        both(kind, ("v1alpha1", same.clone()), same);
    }
}

/// The example of contract 4.5.
#[test]
fn a_flat_spod_means_what_it_said() {
    let kind = "SecurityProfilesOperatorDaemon";
    check(
        kind,
        (
            "v1alpha1",
            json!({"spec": {
                "enableSelinux": true,
                "selinuxTypeTag": "unconfined_t",
                "enableLogEnricher": true,
                "logEnricherSource": "bpf",
                "tolerations": [{"operator": "Exists"}],
                "allowedSyscalls": ["read", "write"],
            }}),
        ),
        (
            "v1",
            json!({"spec": {
                "selinux": {"enable": true, "typeTag": "unconfined_t"},
                "enricher": {"enableLogEnricher": true, "logEnricherSource": "Bpf"},
                "scheduling": {"tolerations": [{"operator": "Exists"}]},
                "security": {"allowedSyscalls": ["read", "write"]},
            }}),
        ),
    );
    // Whoever writes a flat name into an old version means it, whatever the group says.
    check(
        kind,
        (
            "v1alpha1",
            json!({"spec": {
                "enableLogEnricher": false,
                "logEnricherSource": "AUDITD",
                "selinuxOptions": {"allowedSystemProfiles": [], "other": 1},
                "enricher": {"enableLogEnricher": true, "logEnricherSource": "bpf"},
            }}),
        ),
        (
            "v1",
            json!({"spec": {
                "enricher": {"enableLogEnricher": false, "logEnricherSource": "Auditd"},
                "selinux": {"options": {"allowedSystemProfiles": []}},
                "selinuxOptions": {"other": 1},
            }}),
        ),
    );
    // In v1 the group wins, unless it says what the API server has filled in.
    check(
        kind,
        (
            "v1",
            json!({"spec": {
                "enableLogEnricher": true,
                "selinuxTypeTag": "a_t",
                "enricher": {"enableLogEnricher": false},
                "selinux": {"typeTag": "b_t"},
            }}),
        ),
        (
            "v1alpha1",
            json!({"spec": {"enricher": {"enableLogEnricher": true}, "selinux": {"typeTag": "b_t"}}}),
        ),
    );
}

#[test]
fn texts_which_can_not_be_shown_are_refused() {
    let refused = |spec: Value| {
        let spod = json!({"spec": spec, "metadata": {"name": "spod", "namespace": "ns"}});
        let spod = object("SecurityProfilesOperatorDaemon", "v1alpha1", &spod);
        convert(spod, &to("v1")).unwrap_err().to_string()
    };
    assert_eq!(
        refused(json!({"logEnricherSource": "tea"})),
        "SecurityProfilesOperatorDaemon ns/spod: spec.logEnricherSource is \"tea\"; write one of \
         Auditd, Bpf, Netlink, Auto into spec.enricher.logEnricherSource"
    );
    assert!(
        refused(json!({"allowedSeccompActions": ["SCMP_ACT_LOG", "ALLOW"]})).starts_with(
            "SecurityProfilesOperatorDaemon ns/spod: spec.allowedSeccompActions is \"ALLOW\"; \
             write one of SCMP_ACT_KILL, "
        )
    );
}

#[test]
fn booleans_of_old_become_values() {
    for (kind, version) in [
        ("SeccompProfile", "v1beta1"),
        ("SelinuxProfile", "v1alpha2"),
        ("RawSelinuxProfile", "v1alpha2"),
        ("AppArmorProfile", "v1alpha1"),
    ] {
        for (disabled, state) in [(true, "Disabled"), (false, "Enabled")] {
            for before in [
                json!({"disabled": disabled}),
                json!({"disabled": disabled, "state": "Enabled"}),
                json!({"disabled": disabled, "state": "Disabled"}),
            ] {
                check(
                    kind,
                    (version, json!({"spec": before})),
                    ("v1", json!({"spec": {"state": state}})),
                );
            }
        }
        for same in [
            json!({"spec": {"disabled": "true", "permissive": 1, "complainMode": null}}),
            json!({"spec": {"state": "Disabled", "inherit": [], "syscalls": []}}),
            json!({"spec": 1, "status": {"conditions": []}}),
        ] {
            both(kind, (version, same.clone()), same);
        }
    }
    for (kind, version, field, on, off) in [
        (
            "SelinuxProfile",
            "v1alpha2",
            "permissive",
            "Permissive",
            "Enforcing",
        ),
        (
            "AppArmorProfile",
            "v1alpha1",
            "complainMode",
            "Complain",
            "Enforce",
        ),
    ] {
        for (old, new) in [(true, on), (false, off)] {
            check(
                kind,
                (version, json!({"spec": {field: old, "mode": off}})),
                ("v1", json!({"spec": {"mode": new}})),
            );
        }
    }
    // A field of another kind is not ours.
    let foreign = json!({"spec": {"permissive": true}});
    both("SeccompProfile", ("v1beta1", foreign.clone()), foreign);
}

#[test]
fn node_statuses_of_old_have_groups_now() {
    let kind = "SecurityProfileNodeStatus";
    for version in ["v1", "v1report"] {
        check(
            kind,
            ("v1alpha1", json!({"nodeName": "n", "status": "Installed"})),
            (
                version,
                json!({"spec": {"nodeName": "n"}, "status": {"status": "Installed"}}),
            ),
        );
        check(
            kind,
            ("v1alpha1", json!({"nodeName": "n", "spec": {"other": 1}})),
            (version, json!({"spec": {"nodeName": "n", "other": 1}})),
        );
        for same in [
            json!({"spec": {"nodeName": "n"}, "status": {"status": "Pending"}}),
            json!({"nodeName": 1, "status": []}),
            json!({"nodeName": "n", "spec": "x", "status": null}),
        ] {
            check(kind, ("v1alpha1", same.clone()), (version, same.clone()));
            check(kind, (version, same.clone()), ("v1alpha1", same));
        }
    }
}

#[test]
fn a_binding_keeps_its_selector() {
    let binding = json!({"spec": {"image": "*", "podSelector": {"matchLabels": {"app": "a"}}}});
    both("ProfileBinding", ("v1alpha1", binding.clone()), binding);
}

#[test]
fn what_is_not_served_is_refused() {
    let error = |object: Value, version: &str| convert(object, version).unwrap_err();
    assert_eq!(error(json!(null), &to("v1")), Error::NoType("apiVersion"));
    assert_eq!(error(json!([]), &to("v1")), Error::NoType("apiVersion"));
    assert_eq!(
        error(json!({"apiVersion": 1, "kind": "x"}), &to("v1")),
        Error::NoType("apiVersion")
    );
    assert_eq!(
        error(json!({"apiVersion": to("v1")}), &to("v1beta1")),
        Error::NoType("kind")
    );
    let profile = || object("SeccompProfile", "v1", &json!({}));
    assert_eq!(
        error(profile(), &to("v1alpha1")).to_string(),
        format!(
            "SeccompProfile x: there is no conversion from {GROUP}/v1 to {GROUP}/v1alpha1; \
             SeccompProfile is served in {GROUP}/v1, {GROUP}/v1beta1"
        )
    );
    for version in ["v1beta1", "other/v1beta1", "", GROUP, &to("")] {
        let refused = error(profile(), version);
        assert!(matches!(refused, Error::NotServed { .. }), "{refused}");
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod"});
    assert!(matches!(
        error(pod.clone(), &to("v1")),
        Error::NotServed { .. }
    ));
    assert_eq!(convert(pod.clone(), "v1"), Ok(pod));
}

/// What the tables of the conversion say is what the schemas say.
#[test]
fn every_version_of_every_kind_converts() {
    for crd in crd::all() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        let versions = crd["spec"]["versions"].as_array().unwrap();
        let name = |version: &Value| version["name"].as_str().unwrap().to_owned();
        for from in versions {
            for into in versions {
                let before = object(kind, &name(from), &json!({"spec": {"unknown": [{}]}}));
                let after = object(kind, &name(into), &json!({"spec": {"unknown": [{}]}}));
                assert_eq!(convert(before, &to(&name(into))), Ok(after));
            }
        }
        let refused = convert(object(kind, "v1", &json!({})), &to("v2")).unwrap_err();
        let known = versions.iter().map(|version| to(&name(version)));
        let known = known.collect::<Vec<_>>().join(", ");
        assert!(refused.to_string().ends_with(&known), "{refused}");
    }
}

#[test]
fn every_value_has_its_spelling_in_the_other_version() {
    let mut respelled = 0;
    for crd in crd::all() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        let versions = crd["spec"]["versions"].as_array().unwrap();
        let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
        for old in &versions[1..] {
            let version = old["name"].as_str().unwrap();
            enumerations(
                &schema(&versions[0]),
                &schema(old),
                &mut vec![],
                &mut |path, v1, old| {
                    for (v1, old) in v1.iter().zip(old) {
                        both(kind, (version, nested(path, old)), nested(path, v1));
                        respelled += usize::from(v1 != old);
                    }
                },
            );
        }
    }
    assert_eq!(respelled, 2 + 2 + 4 + 5);
}

/// Calls `each` for the values of every enumeration that is not within a list.
fn enumerations(
    v1: &Value,
    old: &Value,
    path: &mut Vec<String>,
    each: &mut impl FnMut(&[String], &[Value], &[Value]),
) {
    // A flat name of the SPOD has no place of its own in the other version.
    let dotted = path.get(1..).unwrap_or_default().join(".");
    if MOVES.iter().any(|field| field.flat == dotted) {
        return;
    }
    if let (Some(v1), Some(old)) = (v1["enum"].as_array(), old["enum"].as_array()) {
        each(path, v1, old);
    }
    for (name, inner) in v1["properties"].as_object().into_iter().flatten() {
        path.push(name.clone());
        enumerations(inner, &old["properties"][name], path, each);
        path.pop();
    }
}

fn nested(path: &[String], value: &Value) -> Value {
    path.iter()
        .rfold(value.clone(), |inner, name| json!({ name: inner }))
}

// What upstream answered, and all manifests.

/// Where upstream's answer and ours differ.
struct Difference {
    path: &'static str,
    upstream: Upstream,
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    Adds,
    Drops,
}

const DIFFERENCES: [Difference; 8] = [
    Difference {
        path: ".status",
        upstream: Upstream::Adds,
        reason: "an absent status stays absent",
    },
    Difference {
        path: ".spec.abstract",
        upstream: Upstream::Adds,
        reason: "absent lists are not empty ones",
    },
    Difference {
        path: ".spec.mergeStrategy",
        upstream: Upstream::Adds,
        reason: "the API server fills in the default when it reads",
    },
    Difference {
        path: ".spec.disableProfileAfterRecording",
        upstream: Upstream::Drops,
        reason: "an explicit false stays",
    },
    Difference {
        path: ".spec.abstract.filesystem.readOnlyPaths",
        upstream: Upstream::Drops,
        reason: "an explicit empty list stays",
    },
    Difference {
        path: ".spec.abstract.filesystem.readWritePaths",
        upstream: Upstream::Drops,
        reason: "an explicit empty list stays",
    },
    Difference {
        path: ".spec.abstract.filesystem.writeOnlyPaths",
        upstream: Upstream::Drops,
        reason: "an explicit empty list stays",
    },
    Difference {
        path: FAILED,
        upstream: Upstream::Drops,
        reason: "upstream has not registered the SPOD for conversion",
    },
];

/// The difference that upstream has no answer at all.
const FAILED: &str = "everything";

#[test]
fn we_answer_like_upstream_or_say_why_not() {
    let Some(directory) = shared("golden/conversion") else {
        return;
    };
    let mut seen = BTreeSet::new();
    let mut compare = |name: &Path, upstream: Option<&Value>, object: &Value, version: &str| {
        let ours = convert(object.clone(), version).unwrap_or_else(|e| panic!("{name:?}: {e}"));
        let found = match upstream {
            Some(theirs) => differences(theirs, &ours, ""),
            None => vec![(FAILED.to_owned(), Upstream::Drops)],
        };
        for (path, upstream) in found {
            let known = DIFFERENCES
                .iter()
                .position(|difference| difference.path == path && difference.upstream == upstream);
            seen.insert(known.unwrap_or_else(|| panic!("{name:?} {path}: upstream {upstream:?}")));
        }
    };
    let mut answers = 0;
    for path in json_files(&directory.join("review")) {
        let golden = read(&path);
        let version = golden["request"]["desiredAPIVersion"].as_str().unwrap();
        let objects = golden["request"]["objects"].as_array().unwrap();
        for (index, object) in objects.iter().enumerate() {
            let upstream = golden["response"]["convertedObjects"].get(index);
            compare(&path, upstream, object, version);
            answers += 1;
        }
    }
    for path in json_files(&directory.join("api")) {
        let golden = read(&path);
        let reads = golden.iter();
        let old = reads.filter(|(key, _)| key.starts_with("read_") && *key != "read_v1");
        for (key, upstream) in old {
            let object = &golden["read_v1"];
            // Where upstream fails, the API server answers with a Status.
            let upstream = Some(upstream).filter(|it| it["kind"] == object["kind"]);
            compare(&path, upstream, object, &to(&key["read_".len()..]));
            answers += 1;
        }
    }
    assert!(answers > 80, "{answers} answers of upstream");
    for (index, difference) in DIFFERENCES.iter().enumerate() {
        assert!(
            seen.contains(&index),
            "{} is not needed ({})",
            difference.path,
            difference.reason
        );
    }
}

/// The paths at which upstream has more or less than we. Other values are no difference to account
/// for: they are wrong.
fn differences(upstream: &Value, ours: &Value, path: &str) -> Vec<(String, Upstream)> {
    let (Value::Object(upstream), Value::Object(ours)) = (upstream, ours) else {
        assert_eq!(upstream, ours, "{path}");
        return vec![];
    };
    let keys: BTreeSet<&String> = upstream.keys().chain(ours.keys()).collect();
    keys.into_iter()
        .flat_map(|key| {
            let path = format!("{path}.{key}");
            match (upstream.get(key), ours.get(key)) {
                (Some(upstream), Some(ours)) => differences(upstream, ours, &path),
                (Some(_), None) => vec![(path, Upstream::Adds)],
                (None, _) => vec![(path, Upstream::Drops)],
            }
        })
        .collect()
}

#[test]
fn every_manifest_comes_back_unchanged() {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let crds = crd::all();
    let mut manifests = 0;
    for directory in [Some(ours), shared("examples")].into_iter().flatten() {
        for path in files(&directory, "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            for document in documents {
                let Some(old) = old_version(&crds, &document) else {
                    continue;
                };
                let converted = convert(document.clone(), &to(&old)).unwrap();
                assert_eq!(converted["metadata"], document["metadata"], "{path:?}");
                assert_eq!(convert(converted, &to("v1")), Ok(document), "{path:?}");
                manifests += 1;
            }
        }
    }
    assert!(manifests >= 5, "{manifests} manifests");
}

/// The version other than v1 of a manifest of ours.
fn old_version(crds: &[Value], document: &Value) -> Option<String> {
    if document["apiVersion"] != to("v1") {
        return None;
    }
    let mut crds = crds.iter();
    let crd = crds.find(|crd| crd["spec"]["names"]["kind"] == document["kind"]);
    let name = &crd.unwrap()["spec"]["versions"][1]["name"];
    Some(name.as_str().unwrap().to_owned())
}

/// A directory of the contract, which lies next to the repository where it is developed.
fn shared(name: &str) -> Option<PathBuf> {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contract");
    let directory = contract.join(name);
    if !directory.is_dir() {
        println!("nothing compared: no {}", directory.display());
        return None;
    }
    Some(directory)
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect()
}

fn json_files(directory: &Path) -> Vec<PathBuf> {
    files(directory, "json")
}

fn read(path: &Path) -> Map<String, Value> {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

//! The CEL rules of the schemas: they refuse what upstream could never make work, and nothing else.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of the repository are the subject"
)]
#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]

use std::{collections::BTreeMap, fs, path::Path};

use kube::core::cel::Validator;
use serde_json::{Value, json};
use spo_api::{GROUP, convert::convert, crd};

/// The schemas by kind and version.
fn schemas() -> BTreeMap<(String, String), Value> {
    let mut schemas = BTreeMap::new();
    for crd in crd::all() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        for version in crd["spec"]["versions"].as_array().unwrap() {
            let name = version["name"].as_str().unwrap().to_owned();
            let schema = version["schema"]["openAPIV3Schema"].clone();
            schemas.insert((kind.clone(), name), schema);
        }
    }
    schemas
}

/// The messages of the rules that a specification breaks, with the paths.
fn broken(schema: &Value, spec: &Value) -> Vec<String> {
    let object = json!({"metadata": {"name": "x"}, "spec": spec});
    match Validator::new().validate(schema, &object, None) {
        Ok(()) => vec![],
        Err(errors) => errors.iter().map(|error| error.to_string()).collect(),
    }
}

#[test]
fn what_could_never_work_is_refused() {
    let schemas = schemas();
    let check = |kind: &str, version: &str, spec: Value, expected: &str| {
        let schema = &schemas[&(kind.to_owned(), version.to_owned())];
        let broken = broken(schema, &spec);
        assert_eq!(
            broken.len(),
            usize::from(!expected.is_empty()),
            "{spec} {broken:?}"
        );
        assert!(broken.iter().all(|it| it.contains(expected)), "{broken:?}");
    };
    let logs_only = "recorder \"Bpf\" is not supported for SelinuxProfile, only \"Logs\" is";
    let bpf_only = "recorder \"Logs\" is not supported for AppArmorProfile, only \"Bpf\" is";
    for (version, kind, recorder, expected) in [
        ("v1", "SeccompProfile", "Logs", ""),
        ("v1", "SeccompProfile", "Bpf", ""),
        ("v1", "SelinuxProfile", "Logs", ""),
        ("v1", "SelinuxProfile", "Bpf", logs_only),
        ("v1", "AppArmorProfile", "Logs", bpf_only),
        ("v1", "AppArmorProfile", "Bpf", ""),
        ("v1alpha1", "SeccompProfile", "logs", ""),
        ("v1alpha1", "SeccompProfile", "bpf", ""),
        ("v1alpha1", "SelinuxProfile", "logs", ""),
        ("v1alpha1", "SelinuxProfile", "bpf", logs_only),
        ("v1alpha1", "AppArmorProfile", "logs", bpf_only),
        ("v1alpha1", "AppArmorProfile", "bpf", ""),
        ("v1alpha1", "ApparmorProfile", "logs", bpf_only),
        ("v1alpha1", "ApparmorProfile", "bpf", ""),
    ] {
        let spec = json!({"kind": kind, "recorder": recorder, "podSelector": {}});
        check("ProfileRecording", version, spec, expected);
    }
    for version in ["v1", "v1alpha2"] {
        let kind = "RawSelinuxProfile";
        check(kind, version, json!({"policy": "(a)"}), "");
        check(kind, version, json!({}), "policy is required");
    }
    for version in ["v1", "v1alpha1"] {
        let unix = |access: &str, peer: &str| {
            let socket = json!({"access": ["Send", access], (peer): "@x"});
            json!({"abstract": {"unix": {"allowedSockets": [socket]}}})
        };
        let peer = "with a peer, access is";
        for (spec, expected) in [
            (json!({"policy": "profile x { }"}), ""),
            (json!({"abstract": {}}), ""),
            (json!({}), ""),
            (
                json!({"abstract": {}, "policy": "profile x { }"}),
                "abstract and policy exclude each other",
            ),
            (unix("Receive", "peerAddress"), ""),
            (unix("Bind", "address"), ""),
            (unix("Bind", "peerAddress"), peer),
            (unix("GetOpt", "peer"), peer),
        ] {
            check("AppArmorProfile", version, spec, expected);
        }
    }
    for version in ["v1", "v1beta1"] {
        for (index, expected) in [(0, ""), (5, ""), (6, "a system call has six arguments")] {
            let spec = json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{
                "names": ["socket"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": index, "op": "SCMP_CMP_EQ"}],
            }]});
            check("SeccompProfile", version, spec, expected);
        }
    }
    for version in ["v1", "v1alpha1"] {
        for (policy, expected) in [
            (json!({}), ""),
            (json!({"failurePolicy": "Ignore"}), ""),
            (json!({"failurePolicy": "Fail"}), ""),
            (
                json!({"failurePolicy": "fail"}),
                "failurePolicy is Ignore or Fail",
            ),
        ] {
            let mut option = policy;
            option["name"] = json!("binding.spo.io");
            for spec in [
                json!({"webhook": {"options": [option]}}),
                json!({"webhookOptions": [option]}),
            ] {
                check("SecurityProfilesOperatorDaemon", version, spec, expected);
            }
        }
    }
}

/// In every version.
#[test]
fn every_manifest_keeps_the_rules() {
    let schemas = schemas();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut manifests = 0;
    // The second one lies next to the repository where it is developed.
    for directory in ["examples", "../shared/contract/examples"] {
        let directory = root.join(directory);
        let Ok(entries) = fs::read_dir(&directory) else {
            println!("nothing checked: no {}", directory.display());
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            for document in documents {
                let versions = schemas
                    .iter()
                    .filter(|((kind, _), _)| document["kind"] == **kind);
                for ((_, version), schema) in versions {
                    let object = convert(document.clone(), &format!("{GROUP}/{version}")).unwrap();
                    assert_eq!(
                        broken(schema, &object["spec"]),
                        Vec::<String>::new(),
                        "{path:?}"
                    );
                    manifests += 1;
                }
            }
        }
    }
    assert!(manifests >= 10, "{manifests} manifests");
}

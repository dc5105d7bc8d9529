//! Manifests: in every version of the API, and every one that we show to users.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spo_test_apiserver::env::{self, kubectl};
use spo_test_apiserver::profile;
use spo_test_apiserver::rig::Rig;

/// Applies a manifest; a field that the schema does not have is an error.
fn apply(file: &Path) -> Result<String, String> {
    kubectl(&["apply", "--validate=strict", "-f", file.to_str().unwrap()])
}

fn get(resource: &str) -> Value {
    serde_json::from_str(&kubectl(&["get", resource, "-o", "json"]).unwrap()).unwrap()
}

fn manifests(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "{} has no manifests", folder.display());
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_in_the_old_version_is_the_same_in_both() {
    let rig = Rig::with_nodes(1).await;
    rig.converts().await;
    let spec = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{
            "action": "SCMP_ACT_ALLOW",
            "names": ["read", "write"],
            "args": [{ "index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ" }],
        }],
    });
    let manifest = json!({
        "apiVersion": "security-profiles-operator.x-k8s.io/v1beta1",
        "kind": "SeccompProfile",
        "metadata": { "name": "old" },
        "spec": spec,
    });
    let file = rig.directory().join("old.json");
    std::fs::write(&file, manifest.to_string()).unwrap();
    apply(&file).unwrap();
    let old = rig.ready("old").await;
    rig.on_every_node("old", &profile::file(&rig.client, &old).await)
        .await;
    let mut expected = spec;
    expected["state"] = json!("Enabled");
    for version in ["v1", "v1beta1"] {
        let resource = format!("seccompprofiles.{version}.security-profiles-operator.x-k8s.io/old");
        let found = get(&resource);
        assert_eq!(
            found["apiVersion"],
            format!("security-profiles-operator.x-k8s.io/{version}")
        );
        assert_eq!(found["spec"], expected, "{version}");
        assert_eq!(found["status"]["status"], "Installed");
    }
    // A second time, as a GitOps tool does, changes nothing.
    assert!(apply(&file).unwrap().contains("unchanged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_does_not_exist_is_refused() {
    let rig = Rig::empty().await;
    for version in ["v1", "v1beta1"] {
        let manifest = json!({
            "apiVersion": format!("security-profiles-operator.x-k8s.io/{version}"),
            "kind": "SeccompProfile",
            "metadata": { "name": "typo" },
            "spec": { "defaultAction": "SCMP_ACT_ERRNO", "sycalls": [] },
        });
        let file = rig.directory().join("typo.json");
        std::fs::write(&file, manifest.to_string()).unwrap();
        let refusal = apply(&file).unwrap_err();
        assert!(
            refusal.contains("unknown field \"spec.sycalls\""),
            "{refusal}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_ours_applies_and_every_profile_in_them_is_installed() {
    let rig = Rig::with_nodes(1).await;
    for file in manifests(&env::repository().join("examples")) {
        apply(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    for found in rig
        .profiles()
        .list(&kube::api::ListParams::default())
        .await
        .unwrap()
    {
        let name = found.metadata.name.unwrap();
        let found = rig.ready(&name).await;
        assert_eq!(
            profile::message(&found),
            "installed on 1 of 1 nodes",
            "{name}"
        );
    }
}

//! Old versions of the API: read, written, converted and migrated by the real API server, which asks
//! the real manager.

use std::time::{Duration, Instant};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use spo_api::GROUP;
use spo_test_apiserver::cluster::{DEFAULT, NAMESPACE};
use spo_test_apiserver::env::kubectl;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};
use tokio::task::JoinSet;

fn resource(kind: &str, version: &str) -> ApiResource {
    let gvk = GroupVersionKind::gvk(GROUP, version, kind);
    ApiResource::from_gvk_with_plural(&gvk, &plural(kind))
}

fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if lower.ends_with("status") {
        format!("{lower}es")
    } else {
        format!("{lower}s")
    }
}

fn cluster(rig: &Rig, kind: &str, version: &str) -> Api<DynamicObject> {
    Api::all_with(rig.client.clone(), &resource(kind, version))
}

fn namespaced(rig: &Rig, namespace: &str, kind: &str, version: &str) -> Api<DynamicObject> {
    Api::namespaced_with(rig.client.clone(), namespace, &resource(kind, version))
}

fn object(kind: &str, version: &str, name: &str, spec: Value) -> DynamicObject {
    let object = json!({
        "apiVersion": format!("{GROUP}/{version}"),
        "kind": kind,
        "metadata": { "name": name },
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

async fn create(api: &Api<DynamicObject>, object: &DynamicObject) -> DynamicObject {
    api.create(&PostParams::default(), object).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn enumerations_and_the_fields_of_release_0_10_mean_what_they_meant() {
    let rig = Rig::with_nodes(0).await;
    rig.converts().await;
    // kind, old version, old spec, fields of v1, fields of the old version
    let recordings = [
        (
            json!({ "kind": "SeccompProfile", "recorder": "logs", "mergeStrategy": "none",
                "podSelector": { "matchLabels": { "app": "a" } } }),
            json!({ "recorder": "Logs", "mergeStrategy": "None" }),
            json!({ "recorder": "logs", "mergeStrategy": "none" }),
        ),
        (
            json!({ "kind": "ApparmorProfile", "recorder": "bpf", "mergeStrategy": "containers",
                "podSelector": {} }),
            json!({ "recorder": "Bpf", "mergeStrategy": "Containers", "kind": "AppArmorProfile" }),
            json!({ "recorder": "bpf", "mergeStrategy": "containers" }),
        ),
    ];
    for (number, (spec, v1, old)) in recordings.into_iter().enumerate() {
        let name = format!("recording-{number}");
        let kind = "ProfileRecording";
        let api = namespaced(&rig, DEFAULT, kind, "v1alpha1");
        create(&api, &object(kind, "v1alpha1", &name, spec)).await;
        check(&namespaced(&rig, DEFAULT, kind, "v1"), &name, &v1).await;
        check(&api, &name, &old).await;
    }
    let profiles = [
        (
            "SeccompProfile",
            "v1beta1",
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "disabled": true }),
            json!({ "state": "Disabled" }),
        ),
        (
            "SelinuxProfile",
            "v1alpha2",
            json!({ "permissive": true, "disabled": false }),
            json!({ "mode": "Permissive", "state": "Enabled" }),
        ),
        (
            "AppArmorProfile",
            "v1alpha1",
            json!({ "complainMode": true }),
            json!({ "mode": "Complain" }),
        ),
    ];
    for (kind, version, spec, v1) in profiles {
        let api = cluster(&rig, kind, version);
        create(&api, &object(kind, version, "legacy", spec)).await;
        check(&cluster(&rig, kind, "v1"), "legacy", &v1).await;
        // The old version shows the new field: clients of its last release know no other.
        check(&api, "legacy", &v1).await;
    }
}

async fn check(api: &Api<DynamicObject>, name: &str, expected: &Value) {
    let found = api.get(name).await.unwrap();
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(
            &found.data["spec"][field], value,
            "{name}: spec.{field} of {:?}",
            found.types
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_through_the_old_version_loses_nothing() {
    let rig = Rig::with_nodes(0).await;
    rig.converts().await;
    let kind = "ProfileBinding";
    let v1 = namespaced(&rig, DEFAULT, kind, "v1");
    let spec = json!({
        "image": "nginx:1.19.1",
        "podSelector": { "matchLabels": { "app": "a" } },
        "profileRef": { "kind": "SeccompProfile", "name": "p" },
    });
    let before = create(&v1, &object(kind, "v1", "narrow", spec)).await;
    let old = namespaced(&rig, DEFAULT, kind, "v1alpha1");
    let mut edited = old.get("narrow").await.unwrap();
    edited.metadata.labels = Some([("edited".to_owned(), "true".to_owned())].into());
    old.replace("narrow", &PostParams::default(), &edited)
        .await
        .unwrap();
    let after = v1.get("narrow").await.unwrap();
    assert_eq!(after.data["spec"], before.data["spec"]);
    assert_eq!(after.metadata.labels.unwrap()["edited"], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flat_spod_of_release_0_10_and_its_commands_work() {
    let rig = Rig::with_nodes(0).await;
    rig.deploy();
    rig.converts().await;
    let kind = "SecurityProfilesOperatorDaemon";
    let spec = json!({
        "enableSelinux": true,
        "selinuxTypeTag": "unconfined_t",
        "enableLogEnricher": true,
        "logEnricherSource": "bpf",
        "tolerations": [{ "operator": "Exists" }],
        "allowedSyscalls": ["read", "write"],
    });
    let old = namespaced(&rig, DEFAULT, kind, "v1alpha1");
    create(&old, &object(kind, "v1alpha1", "flat", spec)).await;
    let v1 = namespaced(&rig, DEFAULT, kind, "v1");
    let found = v1.get("flat").await.unwrap();
    let spec = &found.data["spec"];
    assert_eq!(spec["selinux"]["enable"], true, "{spec}");
    assert_eq!(spec["selinux"]["typeTag"], "unconfined_t");
    assert_eq!(spec["enricher"]["enableLogEnricher"], true);
    assert_eq!(spec["enricher"]["logEnricherSource"], "Bpf");
    assert_eq!(
        spec["scheduling"]["tolerations"],
        json!([{ "operator": "Exists" }])
    );
    assert_eq!(
        spec["security"]["allowedSyscalls"],
        json!(["read", "write"])
    );

    // The command of the old guides, on the default SPOD, in v1.
    let spods = namespaced(&rig, NAMESPACE, kind, "v1");
    eventually(SOON, "the default SPOD", async || {
        spods.get("spod").await.map_err(|error| error.to_string())
    })
    .await;
    let patched = kubectl(&[
        "patch",
        "-n",
        NAMESPACE,
        "spod",
        "spod",
        "--type=merge",
        "-p",
        r#"{"spec":{"enableLogEnricher":true}}"#,
    ])
    .unwrap();
    assert!(patched.contains("patched"), "{patched}");
    let condition = eventually(SOON, "the status names the old field", async || {
        let found = spods.get("spod").await.map_err(|error| error.to_string())?;
        let conditions = found.data["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let named = conditions
            .iter()
            .find(|c| c["type"] == "DeprecatedFields")
            .cloned();
        named.ok_or_else(|| found.data["status"].to_string())
    })
    .await;
    assert_eq!(
        condition["message"],
        "spec.enableLogEnricher is taken as spec.enricher.enableLogEnricher: write that instead"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_old_objects_converts_in_time() {
    const COUNT: usize = 1000;
    let rig = Rig::with_nodes(0).await;
    rig.converts().await;
    let kind = "ProfileBinding";
    let api = namespaced(&rig, DEFAULT, kind, "v1");
    let mut creations = JoinSet::new();
    for number in 0..COUNT {
        let api = api.clone();
        let spec = json!({
            "image": format!("registry.example/image:{number}"),
            "profileRef": { "kind": "SeccompProfile", "name": "p" },
        });
        let binding = object(kind, "v1", &format!("binding-{number}"), spec);
        creations.spawn(async move { create(&api, &binding).await });
        if creations.len() >= 16 {
            creations.join_next().await.unwrap().unwrap();
        }
    }
    creations.join_all().await;
    let start = Instant::now();
    let old = namespaced(&rig, DEFAULT, kind, "v1alpha1");
    let list = old.list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.len(), COUNT);
    println!(
        "{COUNT} objects listed in the old version: {:.1?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "the API server waits 30 s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_release_has_stored_is_migrated_once() {
    let mut rig = Rig::empty().await;
    let crds: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    let binding = json!({
        "image": "nginx:1.19.1",
        "profileRef": { "kind": "SeccompProfile", "name": "p" },
    });
    let recording = json!({ "kind": "SeccompProfile", "recorder": "logs", "podSelector": {} });
    // kind, old version, namespace, spec
    let kinds = [
        ("AppArmorProfile", "v1alpha1", None, json!({})),
        ("ProfileBinding", "v1alpha1", Some(DEFAULT), binding),
        ("ProfileRecording", "v1alpha1", Some(DEFAULT), recording),
        (
            "RawSelinuxProfile",
            "v1alpha2",
            None,
            json!({ "policy": "(allow process process (tcp_socket (listen)))" }),
        ),
        (
            "SeccompProfile",
            "v1beta1",
            None,
            json!({ "defaultAction": "SCMP_ACT_LOG" }),
        ),
        (
            "SecurityProfileNodeStatus",
            "v1alpha1",
            None,
            json!({ "nodeName": "nowhere" }),
        ),
        (
            "SecurityProfilesOperatorDaemon",
            "v1alpha1",
            Some(NAMESPACE),
            json!({ "verbosity": 1 }),
        ),
        ("SelinuxProfile", "v1alpha2", None, json!({})),
    ];
    let definition = |kind: &str| format!("{}.{GROUP}", plural(kind));
    let api = |kind: &str, version: &str, namespace: Option<&str>| match namespace {
        Some(namespace) => namespaced(&rig, namespace, kind, version),
        None => cluster(&rig, kind, version),
    };
    // The cluster of an old release: it stores old versions, and has no conversion webhook of ours.
    for (kind, version, ..) in &kinds {
        store_in(&crds, &definition(kind), version).await;
    }
    act().await;
    for (kind, version, namespace, spec) in &kinds {
        let old = object(kind, version, "stored-long-ago", spec.clone());
        create(&api(kind, version, *namespace), &old).await;
    }
    for (kind, ..) in &kinds {
        store_in(&crds, &definition(kind), "v1").await;
    }
    act().await;
    let stored = async |kind: &str| {
        let status = crds.get(&definition(kind)).await.unwrap().status.unwrap();
        status.stored_versions.unwrap_or_default()
    };
    for (kind, version, ..) in &kinds {
        let versions = stored(kind).await;
        assert!(
            versions.contains(&(*version).to_owned()),
            "{kind}: {versions:?}"
        );
    }

    let kubeconfig = rig.manager_kubeconfig("manager-0").await;
    rig.start_manager_with("manager-0", &kubeconfig).await;
    let api = |kind: &str, version: &str, namespace: Option<&str>| match namespace {
        Some(namespace) => namespaced(&rig, namespace, kind, version),
        None => cluster(&rig, kind, version),
    };
    for (kind, ..) in &kinds {
        eventually(SOON, &format!("only v1 of {kind} is stored"), async || {
            let versions = stored(kind).await;
            if versions == ["v1"] {
                Ok(())
            } else {
                Err(format!("{versions:?}"))
            }
        })
        .await;
    }
    for (kind, _, namespace, spec) in &kinds {
        if *kind == "SecurityProfileNodeStatus" {
            // There is no such node, so that it is gone already or will be.
            continue;
        }
        let found = api(kind, "v1", *namespace)
            .get("stored-long-ago")
            .await
            .unwrap();
        for (field, value) in spec.as_object().unwrap() {
            let expected = if value == "logs" {
                &json!("Logs")
            } else {
                value
            };
            assert_eq!(&found.data["spec"][field], expected, "{kind}");
        }
    }
}

/// The API server takes a moment to act on a definition.
async fn act() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// Changes the version in which a kind is stored, without conversion: as an old release has it.
async fn store_in(crds: &Api<CustomResourceDefinition>, name: &str, version: &str) {
    let crd = crds.get(name).await.unwrap();
    let versions: Vec<Value> = crd
        .spec
        .versions
        .iter()
        .map(|served| {
            let mut served = serde_json::to_value(served).unwrap();
            served["storage"] = json!(served["name"] == version);
            served
        })
        .collect();
    let patch = json!({ "spec": {
        "versions": versions,
        "conversion": { "strategy": "None", "webhook": null },
    } });
    crds.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

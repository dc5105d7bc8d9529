//! A cluster that ran upstream's operator changes over: what is not a SeccompProfile (upstream.rs).

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spo_api::GROUP;
use spo_api::spod::SecurityProfilesOperatorDaemon as Spod;
use spo_test_apiserver::cluster::{DEFAULT, NAMESPACE};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

/// Creates an object under the name that upstream's manager writes under, or replaces one.
async fn by_upstream<K>(api: &Api<K>, object: Value)
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let params = PostParams {
        field_manager: Some("security-profiles-operator".to_owned()),
        ..PostParams::default()
    };
    // Services outlive other tests.
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    api.delete(&name, &DeleteParams::default()).await.ok();
    let object: K = serde_json::from_value(object).unwrap();
    api.create(&params, &object).await.unwrap();
}

async fn left_by_upstream(rig: &Rig) {
    let client = || rig.client.clone();
    let service =
        |path: &str| json!({ "name": "webhook-service", "namespace": NAMESPACE, "path": path });
    let rules = json!([{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["pods"], "scope": "*",
    }]);
    let webhook = |name: &str, path: &str, label: &str| {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1beta1"],
            "clientConfig": { "caBundle": "Q2c9PQ==", "service": service(path) },
            "failurePolicy": "Fail",
            "namespaceSelector": { "matchExpressions": [{ "key": label, "operator": "Exists" }] },
            "rules": rules,
            "sideEffects": "None",
        })
    };
    by_upstream::<MutatingWebhookConfiguration>(
        &Api::all(client()),
        json!({
            "metadata": {
                "name": "spo-mutating-webhook-configuration",
                "annotations": {
                    "cert-manager.io/inject-ca-from": "security-profiles-operator/webhook-cert",
                },
            },
            "webhooks": [
                webhook("binding.spo.io", "/mutate-v1-pod-binding", "spo.x-k8s.io/enable-binding"),
                webhook("recording.spo.io", "/mutate-v1-pod-recording", "spo.x-k8s.io/enable-recording"),
            ],
        }),
    )
    .await;
    let services: Api<Service> = Api::namespaced(client(), NAMESPACE);
    by_upstream(
        &services,
        json!({
            "metadata": { "name": "webhook-service" },
            "spec": {
                "ports": [{ "port": 443, "targetPort": 9443 }],
                "selector": { "name": "security-profiles-operator-webhook" },
            },
        }),
    )
    .await;
    by_upstream(
        &services,
        json!({
            "metadata": { "name": "metrics" },
            "spec": { "ports": [{ "name": "https", "port": 443, "targetPort": 9443 }] },
        }),
    )
    .await;
    let labels = json!({ "app": "security-profiles-operator", "name": "security-profiles-operator-webhook" });
    by_upstream::<Deployment>(
        &Api::namespaced(client(), NAMESPACE),
        json!({
            "metadata": { "name": "security-profiles-operator-webhook" },
            "spec": {
                "replicas": 3,
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": {
                        "serviceAccountName": "spo-webhook",
                        "containers": [{
                            "name": "security-profiles-operator",
                            "image": "upstream:v1.0",
                            "args": ["webhook"],
                            "env": [{ "name": "ONLY_UPSTREAM", "value": "1" }],
                        }],
                    },
                },
            },
        }),
    )
    .await;
    let spods: Api<Spod> = Api::namespaced(client(), NAMESPACE);
    by_upstream(
        &spods,
        json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "SecurityProfilesOperatorDaemon",
            "metadata": { "name": "spod" },
            "spec": { "verbosity": 0 },
        }),
    )
    .await;
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "Available", "message": "",
        "lastTransitionTime": "2024-01-01T00:00:00Z",
    });
    let status = json!({ "status": { "state": "Running", "conditions": [ready] } });
    spods
        .patch_status("spod", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_services_and_the_spod_become_ours() {
    let mut rig = Rig::empty().await;
    left_by_upstream(&rig).await;
    rig.deploy();
    rig.make_node("node-1").await;
    rig.start_manager("manager-0").await;
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(rig.client.clone());
    let found = eventually(SOON, "the webhooks have our authority", async || {
        let found = configurations
            .get("spo-mutating-webhook-configuration")
            .await
            .map_err(|error| error.to_string())?;
        let webhooks = found.webhooks.iter().flatten();
        let mut bundles = webhooks.map(|w| w.client_config.ca_bundle.clone().unwrap_or_default().0);
        if bundles.all(|bundle| bundle.starts_with(b"-----BEGIN CERTIFICATE-----")) {
            Ok(found)
        } else {
            Err(format!("{:?}", found.webhooks))
        }
    })
    .await;
    assert!(
        !found
            .annotations()
            .contains_key("cert-manager.io/inject-ca-from"),
        "{:?}",
        found.annotations()
    );
    assert_eq!(found.labels()["app"], "security-profiles-operator");
    let recording = found
        .webhooks
        .iter()
        .flatten()
        .find(|w| w.name == "recording.spo.io");
    let operations = recording.and_then(|w| w.rules.as_ref()?.first()?.operations.clone());
    // Decision 10: a recording begins when its pod is created.
    assert_eq!(operations.unwrap_or_default(), ["CREATE"]);

    let deployments: Api<Deployment> = Api::namespaced(rig.client.clone(), NAMESPACE);
    eventually(SOON, "the webhook's Deployment is ours", async || {
        let found = deployments.get("security-profiles-operator-webhook").await;
        let found = found.map_err(|error| error.to_string())?;
        let text = serde_json::to_string(&found.spec).unwrap();
        if text.contains("ONLY_UPSTREAM") || text.contains("upstream:v1.0") {
            return Err(text);
        }
        found
            .owner_references()
            .first()
            .map(|_| ())
            .ok_or("it has no owner".to_owned())
    })
    .await;
    // What said Running under upstream says what is so now, and Running again when it is.
    rig.spod("is not yet what was rendered", false, |spod| {
        let conditions = spod.status.iter().flat_map(|status| &status.conditions);
        conditions
            .clone()
            .any(|c| c.type_ == "Ready" && c.status == "False")
    })
    .await;
    rig.spod("runs", true, |spod| {
        let conditions = spod.status.iter().flat_map(|status| &status.conditions);
        conditions
            .clone()
            .any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;
}

fn api(rig: &Rig, kind: &str, plural: &str, namespaced: bool) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(GROUP, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    match namespaced {
        true => Api::namespaced_with(rig.client.clone(), DEFAULT, &resource),
        false => Api::all_with(rig.client.clone(), &resource),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_finalizer_of_upstream_holds_an_object() {
    let mut rig = Rig::empty().await;
    let theirs = "example.com/somebody-else";
    let reference = json!({ "kind": "SeccompProfile", "name": "p" });
    let cases = [
        (
            api(&rig, "ProfileBinding", "profilebindings", true),
            "ProfileBinding",
            &["active-workload-lock"][..],
            json!({ "image": "nginx", "profileRef": reference }),
        ),
        (
            api(&rig, "ProfileRecording", "profilerecordings", true),
            "ProfileRecording",
            &[
                "active-seccomp-profile-recording-lock",
                "spo.x-k8s.io/has-unmerged-profiles",
            ],
            json!({ "kind": "SeccompProfile", "recorder": "Logs", "podSelector": {} }),
        ),
        (
            api(&rig, "SelinuxProfile", "selinuxprofiles", false),
            "SelinuxProfile",
            &["gone-deleted", "in-use-by-active-pods"],
            json!({}),
        ),
        (
            api(&rig, "RawSelinuxProfile", "rawselinuxprofiles", false),
            "RawSelinuxProfile",
            &["gone-deleted"],
            json!({ "policy": "(allow process process (tcp_socket (listen)))" }),
        ),
        (
            api(&rig, "AppArmorProfile", "apparmorprofiles", false),
            "AppArmorProfile",
            &["gone-deleted", "spo.x-k8s.io/partial-profile-finalizer"],
            json!({}),
        ),
    ];
    for (api, kind, finalizers, spec) in &cases {
        for (name, more) in [("deleted", None), ("kept", Some(theirs))] {
            let finalizers: Vec<&str> = finalizers.iter().copied().chain(more).collect();
            let object = json!({
                "apiVersion": format!("{GROUP}/v1"),
                "kind": kind,
                "metadata": { "name": name, "finalizers": finalizers },
                "spec": spec,
            });
            let object = serde_json::from_value(object).unwrap();
            api.create(&PostParams::default(), &object).await.unwrap();
        }
        // Begun under upstream, and never ended.
        api.delete("deleted", &DeleteParams::default())
            .await
            .unwrap();
    }
    rig.start_manager("manager-0").await;
    for (api, kind, ..) in &cases {
        eventually(
            SOON,
            &format!("the deletion of a {kind} ends"),
            async || match api.get_opt("deleted").await.unwrap() {
                Some(left) => Err(format!("{:?}", left.finalizers())),
                None => Ok(()),
            },
        )
        .await;
        eventually(SOON, &format!("upstream holds no {kind}"), async || {
            let found = api.get("kept").await.unwrap();
            // What is on nodes is held by us.
            let ours = match kind.ends_with("Profile") {
                true => &[theirs, "spo.x-k8s.io/installed"][..],
                false => &[theirs],
            };
            if found.finalizers() == ours {
                Ok(())
            } else {
                Err(format!("{:?}", found.finalizers()))
            }
        })
        .await;
        let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        api.patch("kept", &PatchParams::default(), &none)
            .await
            .unwrap();
    }
}

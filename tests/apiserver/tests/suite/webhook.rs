//! The webhook server behind the configurations that the manager registers, as the API server calls
//! it.

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use spo_api::GROUP;
use spo_test_apiserver::cluster::{DEFAULT, NAMESPACE};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

async fn rig() -> Rig {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.make_node("node-1").await;
    rig.start_manager("manager-0").await;
    rig.start_webhook().await;
    rig
}

fn raw(rig: &Rig, version: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(GROUP, version, "RawSelinuxProfile");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "rawselinuxprofiles");
    Api::all_with(rig.client.clone(), &resource)
}

fn policy(version: &str, name: &str, policy: &str) -> DynamicObject {
    let object = json!({
        "apiVersion": format!("{GROUP}/{version}"),
        "kind": "RawSelinuxProfile",
        "metadata": { "name": name },
        "spec": { "policy": policy },
    });
    serde_json::from_value(object).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_policy_is_checked_in_every_version() {
    let rig = rig().await;
    let create = PostParams::default();
    for version in ["v1", "v1alpha2"] {
        let api = raw(&rig, version);
        let bad = policy(version, "bad", "(typepermissive spc_t)");
        // The API server takes a moment to learn of a configuration and of a service.
        let message = eventually(
            SOON,
            &format!("{version}: a bad policy is refused"),
            async || match api.create(&create, &bad).await {
                Err(kube::Error::Api(status)) if status.code == 403 => Ok(status.message.clone()),
                Err(error) => Err(error.to_string()),
                Ok(_) => {
                    api.delete("bad", &DeleteParams::default()).await.unwrap();
                    Err("it was taken".to_owned())
                }
            },
        )
        .await;
        let expected =
            "invalid policy: use of restricted global directive 'typepermissive' is not allowed";
        assert!(message.contains(expected), "{message}");
        let name = format!("good-{version}");
        let good = policy(
            version,
            &name,
            "(blockinherit container)\n(allow process process (tcp_socket (listen)))",
        );
        api.create(&create, &good).await.unwrap();
        // Metadata can always be written: a finalizer has to go.
        let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
        api.patch(&name, &PatchParams::default(), &label)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_in_a_bound_namespace_is_admitted() {
    let rig = rig().await;
    let namespaces: Api<Namespace> = Api::all(rig.client.clone());
    let label = |value| {
        Patch::Merge(json!({ "metadata": { "labels": {
        "spo.x-k8s.io/enable-binding": value,
        "spo.x-k8s.io/enable-recording": value,
    } } }))
    };
    let params = PatchParams::default();
    namespaces
        .patch(DEFAULT, &params, &label(Some("")))
        .await
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(rig.client.clone(), DEFAULT);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "bound", "labels": { "spo.test/rig": "true" } },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "c", "image": "i" }] },
    }))
    .unwrap();
    let created = eventually(SOON, "a pod is admitted", async || {
        pods.create(&PostParams::default(), &pod)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(created.spec.unwrap().containers.len(), 1);
    namespaces
        .patch(DEFAULT, &params, &label(None))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_authority_is_replaced_everywhere() {
    let mut rig = Rig::with_nodes(0).await;
    let secrets: Api<Secret> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let bundle = async || {
        let secret = secrets.get("security-profiles-operator-ca").await.ok()?;
        secret.data?.remove("bundle.crt")
    };
    let before = eventually(SOON, "there is an authority", async || {
        bundle().await.ok_or("there is none").map_err(str::to_owned)
    })
    .await;
    secrets
        .delete("security-profiles-operator-ca", &DeleteParams::default())
        .await
        .unwrap();
    eventually(SOON, "there is another", async || match bundle().await {
        Some(after) if after != before => Ok(()),
        other => Err(format!("{:?}", other.map(|bundle| bundle.0.len()))),
    })
    .await;
    let gvk = GroupVersionKind::gvk(GROUP, "v1beta1", "SeccompProfile");
    let old: Api<DynamicObject> = Api::all_with(
        rig.client.clone(),
        &ApiResource::from_gvk_with_plural(&gvk, "seccompprofiles"),
    );
    rig.create(&spo_test_apiserver::profile::allowing("web", &["read"]))
        .await;
    eventually(SOON, "conversion is trusted again", async || {
        old.get("web")
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    })
    .await;
    assert!(rig.take_manager("manager-0").terminate().await.success());
}

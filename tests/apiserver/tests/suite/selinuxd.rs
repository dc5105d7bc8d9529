//! SELinux in the SPOD: who installs policies, and which image of selinuxd that is.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Node};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use spo_api::spod::SecurityProfilesOperatorDaemon as Spod;
use spo_test_apiserver::cluster::NAMESPACE;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

const PROFILES: &str = "security-profiles-operator-profile";

async fn patch_spod(rig: &Rig, selinux: serde_json::Value) {
    let spods: Api<Spod> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({ "spec": { "selinux": selinux } }));
    spods
        .patch("spod", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// Waits for the container of selinuxd in the DaemonSet to be as it should.
async fn selinuxd(rig: &Rig, what: &str, is: impl Fn(&Container) -> bool) {
    let daemons: Api<DaemonSet> = Api::namespaced(rig.client.clone(), NAMESPACE);
    eventually(SOON, what, async || {
        let daemon = daemons
            .get("spod")
            .await
            .map_err(|error| error.to_string())?;
        let pod = daemon.spec.template.spec;
        let containers = pod.map(|pod| pod.containers).unwrap_or_default();
        match containers.iter().find(|found| found.name == "selinuxd") {
            Some(found) if is(found) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// A manager with images, on a node with this system.
async fn rig(system: &str) -> Rig {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.make_node("node-1").await;
    let nodes: Api<Node> = Api::all(rig.client.clone());
    let labels = json!({ "metadata": { "labels": { "kubernetes.io/os": "linux" } } });
    let parameters = PatchParams::default();
    nodes
        .patch("node-1", &parameters, &Patch::Merge(labels))
        .await
        .unwrap();
    let node = nodes.get("node-1").await.unwrap();
    let info = node.status.and_then(|status| status.node_info);
    let mut info = serde_json::to_value(info.unwrap_or_default()).unwrap();
    info["osImage"] = system.into();
    let status = json!({ "status": { "nodeInfo": info } });
    nodes
        .patch_status("node-1", &parameters, &Patch::Merge(status))
        .await
        .unwrap();
    for (variable, image) in [
        ("RELATED_IMAGE_SELINUXD", "selinuxd"),
        ("RELATED_IMAGE_SELINUXD_EL9", "selinuxd-el9"),
    ] {
        rig.manager_env.insert(variable, image.to_owned());
    }
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_of_selinuxd_fits_the_system_of_the_nodes() {
    let mut rig = rig("Red Hat Enterprise Linux release 9.2 (Plow)").await;
    rig.start_manager("manager-0").await;
    rig.spod("is there", false, |_| true).await;
    patch_spod(&rig, json!({ "enable": true })).await;
    selinuxd(&rig, "the image for EL9", |container| {
        container.image.as_deref() == Some("selinuxd-el9")
    })
    .await;

    // Our own image instead, with the same arguments.
    patch_spod(&rig, json!({ "enable": true, "backend": "BuiltIn" })).await;
    selinuxd(&rig, "our own image", |container| {
        let args = container.args.clone().unwrap_or_default();
        args.starts_with(&["selinuxd".to_owned(), "daemon".to_owned()])
            && container.image.as_deref() != Some("selinuxd-el9")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_mapping_is_told_and_selinuxd_runs_all_the_same() {
    let mut rig = rig("Red Hat Enterprise Linux release 9.2 (Plow)").await;
    let maps: Api<ConfigMap> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let mut map = maps.get(PROFILES).await.unwrap();
    maps.delete(PROFILES, &DeleteParams::default())
        .await
        .unwrap();
    rig.start_manager("manager-0").await;
    rig.spod("is there", false, |_| true).await;
    patch_spod(&rig, json!({ "enable": true })).await;
    selinuxd(&rig, "the image for all others", |container| {
        container.image.as_deref() == Some("selinuxd")
    })
    .await;
    rig.spod("says so", false, |spod| {
        let conditions = spod.status.iter().flat_map(|status| &status.conditions);
        conditions
            .filter(|condition| condition.type_ == "Incomplete")
            .any(|condition| condition.message.contains("there is no ConfigMap"))
    })
    .await;
    map.metadata.resource_version = None;
    map.metadata.uid = None;
    maps.create(&PostParams::default(), &map).await.unwrap();
}

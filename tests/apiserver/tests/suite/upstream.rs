//! A cluster that ran upstream's operator changes over.

use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use spo_api::meta;
use spo_api::node_status::SecurityProfileNodeStatus;
use spo_api::seccomp_profile::SeccompProfile;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};
use spo_test_apiserver::{cluster, files};

/// A profile and its node statuses as upstream leaves them (contract 02a, 2.8 and 2.9).
async fn left_by_upstream(rig: &Rig, nodes: &[&str]) -> SeccompProfile {
    let mut object = allowing("web", &["read", "write"]);
    let mut finalizers: Vec<String> = nodes.iter().map(|node| format!("{node}-deleted")).collect();
    finalizers.push("in-use-by-active-pods".to_owned());
    finalizers.push("example.com/somebody-else".to_owned());
    object.metadata.finalizers = Some(finalizers);
    object.metadata.labels = Some(
        [(
            meta::LABEL_PROFILE_ID.to_owned(),
            "SeccompProfile-web".to_owned(),
        )]
        .into(),
    );
    let object = rig.create(&object).await;
    let params = PatchParams::default();
    let status = json!({ "status": {
        "status": "Installed",
        "localhostProfile": "operator/web.json",
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Available", "message": "",
            "lastTransitionTime": "2024-01-01T00:00:00Z",
        }],
    }});
    rig.profiles()
        .patch_status("web", &params, &Patch::Merge(status))
        .await
        .unwrap();
    for node in nodes {
        let old = json!({
            "apiVersion": format!("{}/v1", spo_api::GROUP),
            "kind": "SecurityProfileNodeStatus",
            "metadata": {
                "name": format!("web-{node}"),
                "labels": {
                    meta::LABEL_PROFILE_ID: "SeccompProfile-web",
                    meta::LABEL_NODE_NAME: node,
                    meta::LABEL_PROFILE_STATE: "Installed",
                    meta::LABEL_PROFILE_KIND: "SeccompProfile",
                },
                "ownerReferences": [{
                    "apiVersion": format!("{}/v1", spo_api::GROUP),
                    "kind": "SeccompProfile",
                    "name": "web",
                    "uid": object.uid().unwrap(),
                    "controller": true,
                    "blockOwnerDeletion": true,
                }],
            },
            "spec": { "nodeName": node },
        });
        let old: SecurityProfileNodeStatus = serde_json::from_value(old).unwrap();
        rig.statuses()
            .create(&PostParams::default(), &old)
            .await
            .unwrap();
        let status = Patch::Merge(json!({ "status": { "status": "Installed" } }));
        rig.statuses()
            .patch_status(&format!("web-{node}"), &params, &status)
            .await
            .unwrap();
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn what_upstream_has_left_is_taken_over() {
    let mut rig = Rig::empty().await;
    let names = ["node-1", "node-2"];
    for name in names {
        rig.make_node(name).await;
    }
    // One node is gone for good, and its finalizer would hold the profile for ever.
    let object = left_by_upstream(&rig, &["node-1", "node-2", "node-3"]).await;
    let bytes = profile::file(&rig.client, &object).await;
    let file = rig.node("node-1").file("web");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let before = files::stamp(&file);

    rig.start_manager("manager-0").await;
    for name in names {
        rig.start_daemon(name);
        rig.daemon_is_ready(name).await;
    }
    rig.until(SOON, "web", "is ours", |found| {
        profile::is_ready(found)
            && profile::message(found) == "installed on 2 of 2 nodes"
            && found.finalizers() == ["example.com/somebody-else", meta::FINALIZER]
    })
    .await;
    rig.on_every_node("web", &bytes).await;
    assert_eq!(
        files::stamp(&file),
        before,
        "a file that is as it should be is not written"
    );

    let mut expected = names
        .map(|node| meta::node_status_name("SeccompProfile", "web", node))
        .to_vec();
    expected.sort_unstable();
    eventually(SOON, "the node statuses are ours", async || {
        let mut found: Vec<String> = rig
            .statuses_of("web")
            .await
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect();
        found.sort_unstable();
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;

    rig.delete("web").await;
    rig.until(SOON, "web", "is left to somebody else", |found| {
        found.finalizers() == ["example.com/somebody-else"]
    })
    .await;
    rig.on_no_node("web").await;
    rig.patch("web", json!({ "metadata": { "finalizers": null } }))
        .await;
    rig.gone("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_upstream_has_begun_is_ended() {
    let mut rig = Rig::empty().await;
    rig.make_node("node-1").await;
    left_by_upstream(&rig, &["node-1", "node-2"]).await;
    rig.delete("web").await;
    rig.patch(
        "web",
        json!({ "metadata": { "finalizers": ["node-1-deleted", "node-2-deleted"] } }),
    )
    .await;
    cluster::make_pod(&rig.client, "user", "node-1", "operator/other.json").await;
    rig.start_manager("manager-0").await;
    rig.start_daemon("node-1");
    rig.gone("web").await;
}

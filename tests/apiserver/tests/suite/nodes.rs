//! Nodes that go, nodes that do not answer, nodes that come back.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use spo_api::meta;
use spo_api::node_status::ProfileState;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, always, eventually};
use spo_test_apiserver::{cluster, files};

async fn reports_of(rig: &Rig, node: &str) -> Vec<String> {
    let params = ListParams::default().labels(&format!("{}={node}", meta::LABEL_NODE_NAME));
    let statuses = rig.statuses().list_metadata(&params).await.unwrap();
    statuses.iter().map(ResourceExt::name_any).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_deleted_takes_its_reports_along_and_the_profile_stays_ready() {
    let mut rig = Rig::with_nodes(3).await;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    assert_eq!(
        reports_of(&rig, "node-2").await.len(),
        2,
        "about the profile and about the node"
    );

    rig.kill_daemon("node-2");
    let nodes: Api<Node> = Api::all(rig.client.clone());
    nodes
        .delete("node-2", &DeleteParams::default())
        .await
        .unwrap();
    let mut always_ready = true;
    rig.until(SOON, "web", "is on two nodes", |found| {
        always_ready &= profile::is_ready(found);
        profile::message(found) == "installed on 2 of 2 nodes"
    })
    .await;
    assert!(always_ready, "the profile was not ready for a moment");
    eventually(SOON, "the reports of node-2 are gone", async || {
        let left = reports_of(&rig, "node-2").await;
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_gets_every_profile_before_it_counts() {
    let mut rig = Rig::with_nodes(1).await;
    for number in 0..5 {
        rig.create(&allowing(&format!("web-{number}"), &["read"]))
            .await;
    }
    let mut bytes = Vec::new();
    for number in 0..5 {
        let web = rig.ready(&format!("web-{number}")).await;
        bytes = profile::file(&rig.client, &web).await;
    }
    rig.make_node("node-2").await;
    rig.start_daemon("node-2");
    let mut was_ready = true;
    rig.until(SOON, "web-4", "is on two nodes", |found| {
        was_ready &= profile::is_ready(found);
        profile::message(found) == "installed on 2 of 2 nodes"
    })
    .await;
    assert!(was_ready, "a node that joins makes a profile not ready");
    for number in 0..5 {
        rig.on_every_node(&format!("web-{number}"), &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_does_not_wait_for_a_node_that_is_down_which_cleans_up_when_it_is_back() {
    let mut rig = Rig::with_nodes(2).await;
    rig.create(&allowing("web", &["read"])).await;
    rig.create(&allowing("other", &["read"])).await;
    let web = rig.ready("web").await;
    rig.ready("other").await;
    let bytes = profile::file(&rig.client, &web).await;

    rig.kill_daemon("node-2");
    cluster::set_node_ready(&rig.client, "node-2", "Unknown").await;
    rig.until(SOON, "web", "tells that a node is down", |found| {
        profile::message(found).contains("not waiting for node-2, which is down")
    })
    .await;
    rig.delete("web").await;
    eventually(SOON, "the object is gone", async || {
        let left = rig.profiles().get_opt("web").await.unwrap();
        left.map_or(Ok(()), |left| Err(profile::summary(&left)))
    })
    .await;
    let file = rig.node("node-2").file("web");
    assert_eq!(
        files::check(&file, &bytes),
        Ok(()),
        "nobody was there to remove it"
    );

    cluster::set_node_ready(&rig.client, "node-2", "True").await;
    rig.start_daemon("node-2");
    rig.daemon_is_ready("node-2").await;
    rig.gone("web").await;
    let other = rig
        .until(SOON, "other", "is on two nodes", |found| {
            profile::message(found) == "installed on 2 of 2 nodes"
        })
        .await;
    rig.on_every_node("other", &profile::file(&rig.client, &other).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_a_node_that_is_up_and_whose_daemon_is_not() {
    let mut rig = Rig::with_nodes(2).await;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    rig.kill_daemon("node-2");
    rig.delete("web").await;
    rig.until(SOON, "web", "is being removed", |found| {
        profile::state(found) == Some(ProfileState::Terminating)
    })
    .await;
    always(Duration::from_secs(2), "the object stays", async || {
        let there = rig.profiles().get_opt("web").await.unwrap().is_some();
        if there {
            Ok(())
        } else {
            Err("it is gone, and its file is on node-2".to_owned())
        }
    })
    .await;
    rig.start_daemon("node-2");
    rig.gone("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_no_operator_wrote_are_left_alone() {
    let mut rig = Rig::empty().await;
    rig.start_manager("manager-0").await;
    rig.make_node("node-1").await;
    let directory = rig.node("node-1").directory();
    std::fs::create_dir_all(&directory).unwrap();
    let foreign: &[(&str, &[u8])] = &[
        ("by-hand.json", b"{\"defaultAction\": \"SCMP_ACT_LOG\"}\n"),
        ("notes.txt", b"mind the gap"),
        (
            "kubelet-config.json",
            b"{\"kubeletDir\":\"/var/lib/kubelet\"}",
        ),
    ];
    for (name, bytes) in foreign {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
    rig.start_daemon("node-1");
    rig.daemon_is_ready("node-1").await;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    for (name, bytes) in foreign {
        assert_eq!(
            &std::fs::read(directory.join(name)).unwrap(),
            bytes,
            "{name}"
        );
    }
}

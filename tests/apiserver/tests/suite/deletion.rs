//! A profile goes when nobody uses it, and goes everywhere.

use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use spo_api::condition;
use spo_api::node_status::ProfileState;
use spo_api::seccomp_profile::SeccompProfile;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, always, eventually};
use spo_test_apiserver::{cluster, files};

/// A profile on two nodes, used by the pod `user`, and asked to go: it stays.
async fn held_back() -> Rig {
    let rig = Rig::with_nodes(2).await;
    rig.create(&allowing("web", &["read"])).await;
    let web = rig.ready("web").await;
    let bytes = profile::file(&rig.client, &web).await;
    cluster::make_pod(&rig.client, "user", "node-1", "operator/web.json").await;
    rig.until(SOON, "web", "names the pod", |found: &SeccompProfile| {
        found.status.as_ref().is_some_and(|status| {
            status.active_workloads == ["default/user"] && status.active_workloads_count == Some(1)
        })
    })
    .await;
    rig.delete("web").await;
    rig.until(SOON, "web", "is held back", |found| {
        profile::state(found) == Some(ProfileState::Terminating)
            && profile::condition(found, condition::IN_USE).is_some_and(|in_use| {
                in_use.status == "True" && in_use.message.contains("default/user")
            })
    })
    .await;
    let told = rig.event("ProfileInUse", "web").await;
    assert!(told.contains("default/user"), "{told}");
    for node in rig.nodes() {
        assert_eq!(files::check(&node.file("web"), &bytes), Ok(()));
    }
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_in_use_stays_until_the_pod_is_deleted() {
    let rig = held_back().await;
    cluster::delete_pod(&rig.client, "user").await;
    rig.gone("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_in_use_stays_until_the_pod_has_succeeded() {
    let rig = held_back().await;
    let patch = Patch::Merge(json!({ "status": { "phase": "Succeeded" } }));
    rig.pods()
        .patch_status("user", &PatchParams::default(), &patch)
        .await
        .unwrap();
    rig.gone("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_nobody_uses_goes_at_once_and_may_come_again() {
    let rig = Rig::with_nodes(3).await;
    for round in 0..3 {
        rig.create(&allowing("web", &["read", "write"][..1 + round % 2]))
            .await;
        let web = rig.ready("web").await;
        assert_eq!(web.finalizers(), ["spo.x-k8s.io/installed"]);
        rig.on_every_node("web", &profile::file(&rig.client, &web).await)
            .await;
        rig.delete("web").await;
        rig.gone("web").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_comes_again_while_it_goes_is_installed() {
    let rig = Rig::with_nodes(2).await;
    for round in 0..5 {
        rig.create(&allowing("web", &["read"])).await;
        if round % 2 == 0 {
            rig.ready("web").await;
        }
        rig.delete("web").await;
        eventually(SOON, "the object is gone", async || {
            let left = rig.profiles().get_opt("web").await.unwrap();
            left.map_or(Ok(()), |left| Err(profile::summary(&left)))
        })
        .await;
        // At once: daemons may still be busy with the old one.
        rig.create(&allowing("web", &["write"])).await;
        let web = rig.ready("web").await;
        rig.on_every_node("web", &profile::file(&rig.client, &web).await)
            .await;
        rig.delete("web").await;
        rig.gone("web").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_holds_a_profile_back_by_its_file_whatever_the_name() {
    let rig = Rig::with_nodes(1).await;
    let long = "a".repeat(253);
    for (number, name) in ["a.b.c", "x.json", &long].into_iter().enumerate() {
        rig.create(&allowing(name, &["read"])).await;
        let found = rig.ready(name).await;
        let path = found.status.unwrap().localhost_profile.unwrap();
        let pod = format!("user-{number}");
        cluster::make_pod(&rig.client, &pod, "node-1", &path).await;
        rig.until(SOON, name, "names the pod", |found: &SeccompProfile| {
            let status = found.status.as_ref();
            status.is_some_and(|status| status.active_workloads == [format!("default/{pod}")])
        })
        .await;
        rig.delete(name).await;
        rig.until(SOON, name, "is held back", |found| {
            profile::condition(found, condition::IN_USE).is_some_and(|c| c.status == "True")
        })
        .await;
        cluster::delete_pod(&rig.client, &pod).await;
        rig.gone(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreground_deletion_does_not_take_a_file_away_under_a_pod() {
    let rig = Rig::with_nodes(2).await;
    rig.create(&allowing("web", &["read"])).await;
    let web = rig.ready("web").await;
    let bytes = profile::file(&rig.client, &web).await;
    cluster::make_pod(&rig.client, "user", "node-1", "operator/web.json").await;
    rig.until(SOON, "web", "is used", |found: &SeccompProfile| {
        found
            .status
            .as_ref()
            .is_some_and(|status| status.active_workloads_count == Some(1))
    })
    .await;
    rig.profiles()
        .delete("web", &DeleteParams::foreground())
        .await
        .unwrap();
    rig.until(SOON, "web", "is held back", |found| {
        profile::condition(found, condition::IN_USE).is_some_and(|c| c.status == "True")
    })
    .await;
    // The garbage collector deletes the node statuses first, and somebody may write them again.
    always(Duration::from_secs(3), "the files stay", async || {
        rig.nodes()
            .try_for_each(|node| files::check(&node.file("web"), &bytes))
    })
    .await;
    cluster::delete_pod(&rig.client, "user").await;
    rig.gone("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_that_somebody_took_away_comes_back() {
    let rig = Rig::with_nodes(1).await;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    rig.patch(
        "web",
        json!({ "metadata": { "finalizers": null, "labels": null } }),
    )
    .await;
    rig.until(SOON, "web", "has its finalizer", |found| {
        found.finalizers() == ["spo.x-k8s.io/installed"]
            && found.labels().contains_key("spo.x-k8s.io/profile-id")
    })
    .await;
}

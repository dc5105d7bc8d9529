//! Profiles that are objects only: disabled ones, and partial ones.

use serde_json::json;
use spo_api::meta;
use spo_api::node_status::ProfileState;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::{cluster, rig::Rig};

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_profile_is_taken_off_the_nodes_and_comes_back() {
    let rig = Rig::with_nodes(2).await;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    rig.patch("web", json!({ "spec": { "state": "Disabled" } }))
        .await;
    rig.state("web", ProfileState::Disabled, &["disabled on 2 of 2 nodes"])
        .await;
    rig.on_no_node("web").await;
    rig.patch("web", json!({ "spec": { "state": "Enabled" } }))
        .await;
    let web = rig.ready("web").await;
    rig.on_every_node("web", &profile::file(&rig.client, &web).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_disabled_under_a_pod_keeps_its_file_until_the_pod_ends() {
    let rig = Rig::with_nodes(1).await;
    rig.create(&allowing("web", &["read"])).await;
    let web = rig.ready("web").await;
    let bytes = profile::file(&rig.client, &web).await;
    cluster::make_pod(&rig.client, "user", "node-1", "operator/web.json").await;
    let used = |found: &_| active_workloads(found) == 1;
    rig.until(spo_test_apiserver::wait::SOON, "web", "is used", used)
        .await;
    rig.patch("web", json!({ "spec": { "state": "Disabled" } }))
        .await;
    rig.state(
        "web",
        ProfileState::Disabled,
        &["the file is kept while pods use it"],
    )
    .await;
    rig.on_every_node("web", &bytes).await;
    cluster::delete_pod(&rig.client, "user").await;
    rig.on_no_node("web").await;
    rig.state("web", ProfileState::Disabled, &["disabled on 1 of 1 nodes"])
        .await;
}

fn active_workloads(profile: &spo_api::seccomp_profile::SeccompProfile) -> i32 {
    let status = profile.status.as_ref();
    status
        .and_then(|status| status.active_workloads_count)
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_profile_is_installed_when_it_is_not_partial_any_more() {
    let rig = Rig::with_nodes(2).await;
    let mut partial = allowing("recorded", &["read"]);
    partial.metadata.labels = Some([(meta::LABEL_PARTIAL.to_owned(), "true".to_owned())].into());
    rig.create(&partial).await;
    rig.state(
        "recorded",
        ProfileState::Partial,
        &["partial on 2 of 2 nodes"],
    )
    .await;
    rig.on_no_node("recorded").await;
    rig.patch(
        "recorded",
        json!({ "metadata": { "labels": { meta::LABEL_PARTIAL: null } } }),
    )
    .await;
    let whole = rig.ready("recorded").await;
    rig.on_every_node("recorded", &profile::file(&rig.client, &whole).await)
        .await;
}

//! What the administrator does not allow is not on the nodes.

use serde_json::json;
use spo_api::node_status::ProfileState;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};
use spo_test_apiserver::{files, metrics};

const ERRORS: &str = "security_profiles_operator_seccomp_profile_error_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_not_allowed_any_more_is_taken_off_the_nodes_and_comes_back() {
    let rig = Rig::with_nodes(2).await;
    rig.create(&allowing("good", &["read", "write"])).await;
    rig.create(&allowing("bad", &["read", "mkdir"])).await;
    let bad = rig.ready("bad").await;
    rig.ready("good").await;
    let bytes = profile::file(&rig.client, &bad).await;
    let stamps = |rig: &Rig| -> Vec<_> {
        rig.nodes()
            .map(|node| files::stamp(&node.file("good")))
            .collect()
    };
    let before = stamps(&rig);
    assert!(before.iter().all(Option::is_some));

    rig.configure(json!({ "allowedSyscalls": ["read", "write", "openat"] }))
        .await;
    rig.state("bad", ProfileState::Error, &["ProfileNotAllowed", "mkdir"])
        .await;
    rig.on_no_node("bad").await;
    let told = rig.event("ProfileNotAllowed", "bad").await;
    assert!(told.contains("mkdir"), "{told}");
    for node in rig.nodes() {
        eventually(SOON, "the error is counted", async || {
            let counted = metrics::sum(
                &node.metrics().await,
                ERRORS,
                &[("reason", "ProfileNotAllowed")],
            );
            if counted == 1.0 {
                Ok(())
            } else {
                Err(format!("{counted} times"))
            }
        })
        .await;
    }
    rig.ready("good").await;
    assert_eq!(
        stamps(&rig),
        before,
        "the file of a conforming profile is not touched"
    );

    rig.configure(json!({})).await;
    rig.ready("bad").await;
    rig.on_every_node("bad", &bytes).await;
    assert_eq!(
        stamps(&rig),
        before,
        "the file of a conforming profile is not touched"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_allowed_actions_may_occur() {
    let rig = Rig::with_nodes(1).await;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    // Lists of upstream name granting actions only, and mean nothing for the others.
    rig.configure(json!({ "allowedSeccompActions": ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL"] }))
        .await;
    let texts = ["ProfileNotAllowed", "SCMP_ACT_ERRNO"];
    rig.state("web", ProfileState::Error, &texts).await;
    rig.on_no_node("web").await;
    rig.configure(json!({ "allowedSeccompActions": ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"] }))
        .await;
    rig.ready("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_that_are_not_allowed_are_deleted_where_the_administrator_wants_that() {
    let rig = Rig::with_nodes(2).await;
    rig.create(&allowing("good", &["read"])).await;
    rig.create(&allowing("bad", &["mkdir"])).await;
    rig.ready("good").await;
    rig.ready("bad").await;
    rig.configure(json!({ "allowedSyscalls": ["read"], "notAllowedProfiles": "Delete" }))
        .await;
    rig.gone("bad").await;
    rig.event("ProfileNotAllowed", "bad").await;
    rig.ready("good").await;
    // One that comes now goes, too.
    rig.create(&allowing("late", &["mkdir"])).await;
    eventually(SOON, "late is deleted", async || {
        let left = rig.profiles().get_opt("late").await.unwrap();
        left.map_or(Ok(()), |left| Err(profile::summary(&left)))
    })
    .await;
}

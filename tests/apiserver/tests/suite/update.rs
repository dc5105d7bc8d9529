//! A change of a profile: nobody is told that it is there before it is.

use std::time::{Duration, Instant};

use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::always;
use spo_test_apiserver::{files, profile};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_is_ready_only_when_every_node_has_the_new_file() {
    let rig = Rig::with_nodes(3).await;
    rig.create(&profile::allowing("web", &["read"])).await;
    rig.ready("web").await;
    for round in 0..10 {
        let names = if round % 2 == 0 {
            ["read", "write"]
        } else {
            ["read", "openat"]
        };
        let changed = rig.allow("web", &names).await;
        let expected = profile::file(&rig.client, &changed).await;
        let start = Instant::now();
        // As fast as it goes: the moment at which the status changes is the one that counts.
        while !profile::is_ready(&rig.get("web").await) {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "round {round}: not ready"
            );
        }
        for node in rig.nodes() {
            let found = files::check(&node.file("web"), &expected);
            assert_eq!(
                found,
                Ok(()),
                "round {round}: ready, and the file of {} is old",
                node.name
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_keeps_a_new_generation_from_being_ready() {
    let mut rig = Rig::with_nodes(3).await;
    rig.create(&profile::allowing("web", &["read"])).await;
    rig.ready("web").await;

    rig.node("node-2").daemon().freeze().await;
    let changed = rig.allow("web", &["read", "write"]).await;
    let expected = profile::file(&rig.client, &changed).await;
    always(
        Duration::from_secs(2),
        "not ready while node-2 hangs",
        async || {
            let now = rig.get("web").await;
            if profile::is_ready(&now) {
                Err(profile::summary(&now))
            } else {
                Ok(())
            }
        },
    )
    .await;
    let waiting = "installed on 2 of 3 nodes; waiting for node-2";
    rig.state(
        "web",
        spo_api::node_status::ProfileState::Pending,
        &[waiting],
    )
    .await;

    rig.node("node-2").daemon().thaw();
    rig.ready("web").await;
    rig.on_every_node("web", &expected).await;
}

//! A node on which files can not be written says so, and heals by itself.

use spo_api::node_status::ProfileState;
use spo_test_apiserver::metrics;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;

const TEXTS: &[&str] = &[
    "CannotSaveSeccompProfile",
    "node-1",
    "/var/lib/kubelet/seccomp/operator",
];
const ERRORS: &str = "security_profiles_operator_seccomp_profile_error_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_the_directory_at_start_is_told_and_its_removal_heals() {
    let mut rig = Rig::empty().await;
    rig.start_manager("manager-0").await;
    rig.make_node("node-1").await;
    let obstacle = rig.node("node-1").directory();
    std::fs::create_dir_all(obstacle.parent().unwrap()).unwrap();
    std::fs::write(&obstacle, "in the way").unwrap();
    rig.start_daemon("node-1");
    rig.create(&allowing("web", &["read"])).await;
    rig.state("web", ProfileState::Error, TEXTS).await;
    rig.event("CannotSaveSeccompProfile", "web").await;
    let text = rig.node("node-1").metrics().await;
    assert!(
        metrics::sum(&text, ERRORS, &[("reason", "CannotSaveSeccompProfile")]) >= 1.0,
        "{text}"
    );
    assert_eq!(std::fs::read_to_string(&obstacle).unwrap(), "in the way");

    std::fs::remove_file(&obstacle).unwrap();
    let web = rig.ready("web").await;
    rig.on_every_node("web", &profile::file(&rig.client, &web).await)
        .await;
    rig.daemon_is_ready("node-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_that_can_not_write_is_named_and_the_others_install() {
    let mut rig = Rig::with_nodes(2).await;
    let obstacle = rig.node("node-1").directory();
    std::fs::remove_dir_all(&obstacle).unwrap();
    std::fs::write(&obstacle, "in the way").unwrap();
    rig.create(&allowing("web", &["read"])).await;
    let told = rig.state("web", ProfileState::Error, TEXTS).await;
    assert!(profile::message(&told).starts_with("installed on 1 of 2 nodes; on node-1: "));
    std::fs::remove_file(&obstacle).unwrap();
    let web = rig.ready("web").await;
    rig.on_every_node("web", &profile::file(&rig.client, &web).await)
        .await;
}

//! A misspelt system call: the profile is installed as runtimes would take it, and it is told.

use spo_api::node_status::ProfileState;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_system_call_is_installed_with_a_warning() {
    let rig = Rig::with_nodes(2).await;
    rig.create(&allowing("web", &["read", "opnat"])).await;
    let texts = [
        "installed on 2 of 2 nodes",
        "UnknownSyscall",
        "spec.syscalls[0].names",
        "opnat",
    ];
    let web = rig.state("web", ProfileState::Installed, &texts).await;
    assert!(profile::is_ready(&web));
    rig.on_every_node("web", &profile::file(&rig.client, &web).await)
        .await;
    let told = rig.event("UnknownSyscall", "web").await;
    assert!(told.contains("opnat"), "{told}");

    rig.allow("web", &["read", "openat"]).await;
    let web = rig.ready("web").await;
    assert_eq!(profile::message(&web), "installed on 2 of 2 nodes");
}

//! AppArmorProfiles and a daemon that dies between what it does and what it says.

use std::time::Instant;

use spo_test_vm::apparmor;
use spo_test_vm::rig::{Rig, SOON};

use super::installed::{ON, manifest};

#[tokio::test]
async fn a_daemon_killed_when_it_has_loaded_and_not_reported_converges() {
    let mut rig = Rig::start(&[ON]).await;
    let applied = rig.apply(&manifest("interrupted", "Enforce")).await;
    // Without a pause: the report is a request to the host, and takes longer than this.
    let start = Instant::now();
    while apparmor::mode("interrupted").is_none() {
        assert!(start.elapsed() < SOON, "not loaded");
        tokio::task::yield_now().await;
    }
    rig.kill_daemon();
    rig.start_daemon();
    rig.installed(&applied).await;
    let ended = apparmor::confined("interrupted", "! echo x >/opt/interrupted");
    assert!(ended.well(), "denied: {ended:?}");

    // The same at the end of its life: nothing is left.
    rig.request_deletion(&applied).await;
    apparmor::becomes("interrupted", None).await;
    rig.kill_daemon();
    rig.start_daemon();
    rig.gone(&applied).await;
    assert_eq!(apparmor::mode("interrupted"), None);
}

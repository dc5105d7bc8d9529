//! AppArmorProfiles where somebody interferes: with the kernel, with the files, with the daemon.

use std::fs;

use serde_json::json;
use spo_test_apiserver::wait::eventually;
use spo_test_vm::apparmor;
use spo_test_vm::rig::{Rig, SOON};

use super::profile::{ON, manifest};

/// Succeeds where the profile of [`manifest`] is enforced.
const DENIED: &str = "touch /tmp/allowed && ! touch /opt/denied";

/// A text that allows everything.
fn weak(name: &str) -> String {
    format!("profile {name} flags=(attach_disconnected,mediate_deleted) {{ file, capability, }}")
}

async fn denies_again(profile: &str) {
    eventually(SOON, &format!("{profile} denies"), async || {
        let ended = apparmor::confined(profile, DENIED);
        if ended.well() {
            Ok(())
        } else {
            Err(format!("{ended:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_changed_behind_our_back_is_restored() {
    let mut rig = Rig::start(ON).await;
    let applied = rig.apply(&manifest("tampered")).await;
    rig.installed(&applied).await;
    denies_again("tampered").await;

    apparmor::unload("tampered").expect_success();
    apparmor::becomes("tampered", Some("enforce")).await;
    denies_again("tampered").await;

    apparmor::load(&weak("tampered")).expect_success();
    denies_again("tampered").await;

    let file = apparmor::file("tampered");
    let text = fs::read(&file).unwrap();
    fs::write(&file, weak("tampered")).unwrap();
    eventually(SOON, "the file is as it was", async || {
        match fs::read(&file) {
            Ok(now) if now == text => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    // What happens while there is no daemon is seen by the next one.
    rig.kill_daemon();
    apparmor::load(&weak("tampered")).expect_success();
    rig.start_daemon();
    denies_again("tampered").await;
    rig.kill_daemon();
    apparmor::unload("tampered").expect_success();
    rig.start_daemon();
    apparmor::becomes("tampered", Some("enforce")).await;
}

#[tokio::test]
async fn a_daemon_killed_when_it_has_loaded_and_not_reported_converges() {
    let mut rig = Rig::start(ON).await;
    let applied = rig.apply(&manifest("interrupted")).await;
    // Without a pause: the report is a request to the host, and takes longer than this.
    let deadline = std::time::Instant::now() + SOON;
    while apparmor::mode("interrupted").is_none() {
        assert!(std::time::Instant::now() < deadline, "{}", rig.log());
        tokio::task::yield_now().await;
    }
    rig.kill_daemon();
    rig.start_daemon();
    rig.installed(&applied).await;
    denies_again("interrupted").await;

    // The same at the end of its life: nothing is left.
    rig.request_deletion(&applied).await;
    apparmor::becomes("interrupted", None).await;
    rig.kill_daemon();
    rig.start_daemon();
    rig.gone(&applied).await;
    assert_eq!(apparmor::mode("interrupted"), None);
}

#[tokio::test]
async fn a_profile_of_somebody_else_is_left_alone() {
    let mut rig = Rig::start(ON).await;
    apparmor::load(&weak("foreign")).expect_success();
    let before = apparmor::digest("foreign");
    let applied = rig.apply(&manifest("foreign")).await;
    rig.complains(&applied, "somebody else has loaded").await;
    assert_eq!(apparmor::digest("foreign"), before, "not overwritten");
    rig.kill_daemon();
    rig.start_daemon();
    rig.ready().await;
    rig.delete(&applied).await;
    assert_eq!(apparmor::digest("foreign"), before, "not removed");
    apparmor::unload("foreign").expect_success();
}

#[tokio::test]
async fn a_policy_as_text_is_loaded_only_where_that_is_on_and_right() {
    let policy = |text: &str| {
        format!(
            r"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: AppArmorProfile
metadata:
  name: written
spec:
  policy: |
    {text}
"
        )
    };
    let text = "profile written flags=(attach_disconnected) {\n      file,\n      deny /opt/denied w,\n    }";
    let rig = Rig::start(ON).await;
    let applied = rig.apply(&policy(text)).await;
    rig.complains(&applied, "switched off").await;
    assert_eq!(apparmor::mode("written"), None);
    rig.delete(&applied).await;
    drop(rig);

    let rig = Rig::start(&["--with-apparmor=true", "--with-raw-apparmor=true"]).await;
    let applied = rig.apply(&policy(text)).await;
    rig.installed(&applied).await;
    denies_again("written").await;
    let broken = text.replace("file,", "file and all that is in it");
    let broken = json!({ "spec": { "policy": broken.replace("\n    ", "\n") } });
    rig.patch(&applied, broken).await;
    let message = rig.complains(&applied, "line ").await;
    assert!(message.contains("file and all"), "{message}");
    // What was there before is still better than nothing.
    denies_again("written").await;
}

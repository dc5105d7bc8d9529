//! SelinuxProfiles where somebody interferes: with the files, with the daemon, with selinuxd.

use std::fs;
use std::path::{Path, PathBuf};

use spo_test_apiserver::wait::eventually;
use spo_test_vm::rig::{Rig, SELINUX_DROP_DIR, SOON};
use spo_test_vm::selinux;

use super::profile::install_container_block;

fn manifest(name: &str) -> String {
    format!(
        r"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: SelinuxProfile
metadata:
  name: {name}
spec:
  inherit:
  - name: container
  allow:
    var_log_t:
      file: [open, append, getattr]
"
    )
}

fn file(name: &str) -> PathBuf {
    Path::new(SELINUX_DROP_DIR).join(format!("{name}.cil"))
}

async fn file_is_there(name: &str) -> Vec<u8> {
    eventually(SOON, &format!("the file of {name}"), async || {
        fs::read(file(name)).map_err(|error| error.to_string())
    })
    .await
}

#[tokio::test]
async fn whoever_is_killed_at_work_converges() {
    install_container_block();
    let mut rig = Rig::start_with_selinuxd().await;
    // The daemon, between the file and the report.
    let first = rig.apply(&manifest("first")).await;
    let text = file_is_there("first").await;
    rig.kill_daemon();
    rig.start_daemon();
    rig.installed(&first).await;

    // selinuxd, while the policy is built; and with what somebody else has done to the files.
    let second = rig.apply(&manifest("second")).await;
    file_is_there("second").await;
    rig.kill_selinuxd();
    fs::remove_file(file("first")).unwrap();
    rig.start_selinuxd();
    rig.installed(&second).await;
    eventually(SOON, "the file is back", async || {
        match fs::read(file("first")) {
            Ok(now) if now == text => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    rig.installed(&first).await;
    eventually(SOON * 3, "both are in the policy", async || {
        let modules = selinux::modules();
        let both = ["first", "second"].map(|name| modules.contains(name));
        if both == [true, true] {
            Ok(())
        } else {
            Err(format!("{modules:?}"))
        }
    })
    .await;
}

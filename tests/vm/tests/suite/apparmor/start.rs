//! What a daemon does when it starts on a node that has profiles already.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use spo_test_apiserver::wait::eventually;
use spo_test_vm::apparmor;
use spo_test_vm::rig::{Profile, Rig, SOON};

pub(super) const ON: &str = "--with-apparmor=true";

/// May read and write nearly anywhere, and not in /opt.
pub(super) fn manifest(name: &str, mode: &str) -> String {
    format!(
        r#"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: AppArmorProfile
metadata:
  name: {name}
spec:
  mode: {mode}
  abstract:
    executable:
      allowedExecutables: ["/usr/bin/**", "/bin/**"]
      allowedLibraries: ["/usr/lib/**", "/lib/**"]
    filesystem:
      readWritePaths: ["/", "/usr/**", "/bin/**", "/lib/**", "/etc/**", "/dev/**", "/tmp/**"]
"#
    )
}

fn file(name: &str) -> PathBuf {
    Path::new("/etc/apparmor.d").join(name)
}

/// The number of changes that the policy of this kernel has seen.
pub(super) fn revision() -> u64 {
    let mut text = [0; 32];
    // Read once: the second read would wait for a change.
    let mut file = fs::File::open("/sys/kernel/security/apparmor/revision").unwrap();
    let read = file.read(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text[..read]);
    text.trim().parse().unwrap()
}

async fn becomes(profile: &str, mode: Option<&str>) {
    eventually(SOON, &format!("{profile} is {mode:?}"), async || {
        let now = apparmor::mode(profile);
        if now.as_deref() == mode {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
}

/// A profile that the rig has installed, in enforce mode.
async fn install(rig: &Rig, name: &str) -> Profile {
    let profile = rig.apply(&manifest(name, "Enforce")).await;
    rig.installed(&profile).await;
    assert_eq!(apparmor::mode(name).as_deref(), Some("enforce"));
    profile
}

#[tokio::test]
async fn a_start_loads_what_is_missing_and_nothing_else() {
    let mut rig = Rig::start(&[ON]).await;
    let kept = install(&rig, "kept").await;
    let lost = install(&rig, "lost").await;
    // What was loaded is written down a moment later.
    let memory = Path::new("/var/lib/security-profiles-operator/apparmor-loaded");
    eventually(SOON, "both are remembered", async || {
        let text = fs::read_to_string(memory).unwrap_or_default();
        if text.contains("\"kept\"") && text.contains("\"lost\"") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    rig.kill_daemon();
    let before = revision();
    rig.start_daemon();
    rig.ready().await;
    assert_eq!(revision(), before, "something was loaded");

    rig.kill_daemon();
    apparmor::unload("lost").expect_success();
    // Of an object which is gone.
    let orphan = fs::read_to_string(file("kept"))
        .unwrap()
        .replace("kept", "orphan");
    fs::write(file("orphan"), &orphan).unwrap();
    apparmor::load(&orphan).expect_success();
    assert_eq!(apparmor::mode("orphan").as_deref(), Some("enforce"));
    rig.start_daemon();
    becomes("lost", Some("enforce")).await;
    becomes("orphan", None).await;
    eventually(SOON, "the file of the orphan is gone", async || {
        if file("orphan").exists() {
            Err("it is there".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    assert_eq!(apparmor::mode("kept").as_deref(), Some("enforce"));
    for profile in [kept, lost] {
        rig.delete(&profile).await;
    }
}

//! AppArmorProfiles that the daemon installs: what the kernel has, and what a process feels of it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use spo_test_apiserver::wait::eventually;
use spo_test_vm::rig::{Profile, Rig, SOON};
use spo_test_vm::{apparmor, audit};

pub(super) const ON: &str = "--with-apparmor=true";
const RAW: &str = "--with-raw-apparmor=true";

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

fn raw(name: &str, policy: &str) -> String {
    let indented: String = policy.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: security-profiles-operator.x-k8s.io/v1\nkind: AppArmorProfile\nmetadata:\n  \
         name: {name}\nspec:\n  policy: |\n{indented}"
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
async fn a_profile_confines_flips_its_mode_and_goes() {
    let rig = Rig::start(&[ON]).await;
    let profile = install(&rig, "lives").await;
    let mode = fs::metadata(file("lives")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);

    let mark = audit::mark();
    let denied = apparmor::confined("lives", "touch /tmp/lives && ! touch /opt/lives");
    assert!(denied.well(), "{denied:?}");
    let record = [
        r#"apparmor="DENIED""#,
        r#"profile="lives""#,
        r#"name="/opt/lives""#,
    ];
    mark.record(&record).await;

    rig.apply(&manifest("lives", "Complain")).await;
    rig.installed(&profile).await;
    assert_eq!(apparmor::mode("lives").as_deref(), Some("complain"));
    let mark = audit::mark();
    let logged = apparmor::confined("lives", "touch /opt/lives");
    assert!(logged.well(), "{logged:?}");
    mark.record(&[r#"apparmor="ALLOWED""#, record[1], record[2]])
        .await;

    rig.delete(&profile).await;
    assert_eq!(apparmor::mode("lives"), None);
    assert!(!file("lives").exists());
}

#[tokio::test]
async fn what_is_done_behind_our_back_is_undone() {
    let rig = Rig::start(&[ON]).await;
    let profile = install(&rig, "tampered").await;
    let text = fs::read_to_string(file("tampered")).unwrap();

    apparmor::unload("tampered").expect_success();
    becomes("tampered", Some("enforce")).await;
    let denied = apparmor::confined("tampered", "! touch /opt/tampered");
    assert!(denied.well(), "{denied:?}");

    // Of the same name and mode, and allows everything.
    apparmor::load("profile tampered { file, capability, }").expect_success();
    eventually(SOON, "it denies again", async || {
        let ended = apparmor::confined("tampered", "! touch /opt/tampered");
        if ended.well() {
            Ok(())
        } else {
            Err(format!("{ended:?}"))
        }
    })
    .await;
    apparmor::load("profile tampered flags=(complain) { file, }").expect_success();
    becomes("tampered", Some("enforce")).await;

    fs::write(file("tampered"), "profile tampered { }\n").unwrap();
    eventually(
        SOON,
        "the file is back",
        async || match fs::read_to_string(file("tampered")) {
            Ok(now) if now == text => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    rig.delete(&profile).await;
    assert_eq!(apparmor::mode("tampered"), None);
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

#[tokio::test]
async fn a_profile_of_somebody_else_is_neither_overwritten_nor_removed() {
    let rig = Rig::start(&[ON]).await;
    apparmor::load("profile foreign flags=(complain) { file, }").expect_success();
    let profile = rig.apply(&manifest("foreign", "Enforce")).await;
    rig.complains(&profile, "profile exists").await;
    assert_eq!(apparmor::mode("foreign").as_deref(), Some("complain"));
    assert!(!file("foreign").exists());
    rig.delete(&profile).await;
    assert_eq!(apparmor::mode("foreign").as_deref(), Some("complain"));
    // The name is free once that profile has gone.
    let profile = rig.apply(&manifest("foreign", "Enforce")).await;
    rig.complains(&profile, "profile exists").await;
    apparmor::unload("foreign").expect_success();
    rig.installed(&profile).await;
    assert_eq!(apparmor::mode("foreign").as_deref(), Some("enforce"));
    rig.delete(&profile).await;
}

#[tokio::test]
async fn a_policy_is_checked_by_the_parser() {
    let rig = Rig::start(&[ON, RAW]).await;
    let good = "profile written {\n  file,\n  capability,\n  audit deny /opt/** w,\n}";
    let profile = rig.apply(&raw("written", good)).await;
    rig.installed(&profile).await;
    assert_eq!(apparmor::mode("written").as_deref(), Some("enforce"));
    let denied = apparmor::confined("written", "touch /tmp/written && ! touch /opt/written");
    assert!(denied.well(), "{denied:?}");

    // A version that is wrong leaves the one before in force.
    rig.apply(&raw("written", &good.replace("/opt/** w", "/opt/** zz")))
        .await;
    let told = rig.complains(&profile, "parsing profile").await;
    assert!(
        told.contains("line ") && told.contains("/opt/** zz"),
        "{told}"
    );
    assert_eq!(apparmor::mode("written").as_deref(), Some("enforce"));

    rig.apply(&raw("written", &good.replace("/opt", "/srv")))
        .await;
    rig.installed(&profile).await;
    let moved = apparmor::confined("written", "touch /opt/written && ! touch /srv/written");
    assert!(moved.well(), "{moved:?}");
    rig.delete(&profile).await;
    assert_eq!(apparmor::mode("written"), None);
}

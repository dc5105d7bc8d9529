//! Whom an AppArmorProfile reaches: containers, and processes which run already. And which profiles:
//! every example.

use serde_json::json;
use spo_test_apiserver::wait::eventually;
use spo_test_vm::container::Container;
use spo_test_vm::rig::{Rig, SOON, examples};
use spo_test_vm::run::Sleeper;
use spo_test_vm::{apparmor, audit};

use super::installed::{ON, manifest};

#[tokio::test]
async fn a_profile_reaches_containers_and_who_runs_already() {
    let rig = Rig::start(&[ON]).await;
    let applied = rig.apply(&manifest("reaches", "Enforce")).await;
    rig.installed(&applied).await;
    let mark = audit::mark();
    let script = "grep -q '^reaches (enforce)' /proc/self/attr/current; echo x >/tmp/allowed && \
                  ! echo x >/root/denied";
    let ended = Container::script(script).apparmor("reaches").run();
    assert!(ended.well(), "denied in a container: {ended:?}");
    mark.record(&[r#"apparmor="DENIED""#, r#"name="/root/denied""#])
        .await;

    let running = Sleeper::start("aa-exec", &["-p", "reaches", "--"]);
    runs_under(&running, "reaches (enforce)").await;
    let mode = |mode: &str| json!({ "spec": { "mode": mode } });
    rig.patch(&applied, mode("Complain")).await;
    runs_under(&running, "reaches (complain)").await;
    let mark = audit::mark();
    let script = "echo x >/tmp/allowed && echo x >/root/denied";
    let ended = Container::script(script).apparmor("reaches").run();
    assert!(ended.well(), "logged in a container: {ended:?}");
    mark.record(&[r#"apparmor="ALLOWED""#, r#"name="/root/denied""#])
        .await;
    rig.patch(&applied, mode("Enforce")).await;
    runs_under(&running, "reaches (enforce)").await;

    let wider = json!({ "readWritePaths": ["/", "/dev/**", "/tmp/**", "/root/**"] });
    let wider = json!({ "spec": { "abstract": { "filesystem": wider } } });
    rig.patch(&applied, wider).await;
    rig.installed(&applied).await;
    let ended = Container::script(script).apparmor("reaches").run();
    assert!(ended.well(), "allowed now: {ended:?}");

    // Disabled is as good as not there.
    rig.patch(&applied, json!({ "spec": { "state": "Disabled" } }))
        .await;
    runs_under(&running, "unconfined").await;
    assert_eq!(apparmor::mode("reaches"), None);
    let ended = Container::script("true").apparmor("reaches").run();
    assert!(!ended.well(), "it is gone: {ended:?}");
    rig.delete(&applied).await;
}

#[tokio::test]
async fn every_example_is_loaded() {
    let rig = Rig::start(&[ON, "--with-raw-apparmor=true"]).await;
    let mut manifests = examples("apparmor", ".yaml");
    let ours = examples("", ".yaml").into_iter();
    manifests.extend(ours.filter(|(_, text)| text.contains("\nkind: AppArmorProfile\n")));
    let mut all = Vec::new();
    for (file, manifest) in manifests {
        // Some have the same name. The name of a policy is in its text, too.
        let stem = file.trim_end_matches(".yaml");
        let manifest = if manifest.contains("  policy: |") {
            manifest
        } else {
            manifest.replacen("\n  name: ", &format!("\n  name: {stem}-"), 1)
        };
        let expected = if manifest.contains("mode: Complain") {
            "complain"
        } else {
            "enforce"
        };
        all.push((rig.apply(&manifest).await, expected));
    }
    for (applied, expected) in &all {
        rig.installed(applied).await;
        let mode = apparmor::mode(&applied.name);
        assert_eq!(mode.as_deref(), Some(*expected), "{applied:?}");
    }
    for (applied, _) in &all {
        rig.request_deletion(applied).await;
    }
    for (applied, _) in &all {
        rig.gone(applied).await;
        assert_eq!(apparmor::mode(&applied.name), None, "{applied:?}");
    }
}

#[tokio::test]
async fn this_node_tells_what_it_has() {
    let rig = Rig::start(&[ON, "--with-selinux=true"]).await;
    let apparmor = rig.mechanism("AppArmor").await;
    assert_eq!(apparmor["available"], true, "{apparmor}");
    let selinux = rig.mechanism("SELinux").await;
    assert_eq!(selinux["available"], false, "{selinux}");
    assert!(selinux["message"].is_string(), "{selinux}");
}

async fn runs_under(process: &Sleeper, expected: &str) {
    let what = format!("a process runs under {expected}");
    eventually(SOON, &what, async || {
        let found = apparmor::confinement(process.pid());
        if found == expected {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
}

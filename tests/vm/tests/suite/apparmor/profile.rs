//! AppArmorProfiles from the object to the act that is denied, and back.

use serde_json::json;
use spo_test_apiserver::wait::eventually;
use spo_test_vm::container::Container;
use spo_test_vm::rig::{Rig, SOON, examples};
use spo_test_vm::run::Sleeper;
use spo_test_vm::{apparmor, audit};

/// What the daemon is told where AppArmor is on.
pub(super) const ON: &[&str] = &["--with-apparmor=true"];

/// May execute what is there and write to `/tmp`. What else there is stands in no rule: what a rule
/// denies is not logged, and denied in the mode `Complain`, too.
pub(super) fn manifest(name: &str) -> String {
    format!(
        r"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: AppArmorProfile
metadata:
  name: {name}
spec:
  abstract:
    executable:
      allowedExecutables: [/bin/**, /usr/bin/**]
      allowedLibraries: [/lib/**, /usr/lib/**]
    filesystem:
      readWritePaths: [/tmp/**, /dev/null]
"
    )
}

/// Succeeds where the profile is enforced.
const DENIED: &str = "touch /tmp/allowed && ! touch /opt/denied";
/// Succeeds where it is not.
const ALLOWED: &str = "touch /tmp/allowed && touch /opt/denied && rm /opt/denied";

#[tokio::test]
async fn a_profile_confines_until_it_is_removed() {
    let rig = Rig::start(ON).await;
    let mut mark = audit::mark();
    let applied = rig.apply(&manifest("confines")).await;
    rig.installed(&applied).await;
    assert_eq!(apparmor::mode("confines").as_deref(), Some("enforce"));

    let ended = apparmor::confined("confines", DENIED);
    assert!(ended.well(), "a process, denied: {ended:?}");
    let denied = [
        r#"apparmor="DENIED""#,
        r#"profile="confines""#,
        r#"name="/opt/denied""#,
    ];
    mark.record(&denied).await;
    mark = audit::mark();
    // In the root of the container, which has no /opt.
    let script = "touch /tmp/allowed && ! touch /etc/denied";
    let ended = Container::script(script).apparmor("confines").run();
    assert!(ended.well(), "a container, denied: {ended:?}");
    mark.record(&[r#"apparmor="DENIED""#, r#"name="/etc/denied""#])
        .await;

    // A flip of the mode reaches who runs already.
    let running = Sleeper::start("aa-exec", &["-p", "confines", "--"]);
    runs_under(&running, "confines (enforce)").await;
    rig.patch(&applied, json!({ "spec": { "mode": "Complain" } }))
        .await;
    rig.installed(&applied).await;
    assert_eq!(apparmor::mode("confines").as_deref(), Some("complain"));
    runs_under(&running, "confines (complain)").await;
    mark = audit::mark();
    let ended = apparmor::confined("confines", ALLOWED);
    assert!(ended.well(), "a process, logged only: {ended:?}");
    let allowed = [
        r#"apparmor="ALLOWED""#,
        r#"profile="confines""#,
        r#"name="/opt/denied""#,
    ];
    mark.record(&allowed).await;

    rig.patch(&applied, json!({ "spec": { "mode": "Enforce" } }))
        .await;
    rig.installed(&applied).await;
    runs_under(&running, "confines (enforce)").await;
    let ended = apparmor::confined("confines", DENIED);
    assert!(ended.well(), "a process, denied again: {ended:?}");

    rig.delete(&applied).await;
    assert_eq!(apparmor::mode("confines"), None);
    runs_under(&running, "unconfined").await;
    assert!(!apparmor::confined("confines", "true").well(), "it is gone");
}

#[tokio::test]
async fn a_changed_profile_is_changed_for_who_runs() {
    let rig = Rig::start(ON).await;
    let applied = rig.apply(&manifest("changes")).await;
    rig.installed(&applied).await;
    let ended = apparmor::confined("changes", DENIED);
    assert!(ended.well(), "denied: {ended:?}");
    let wider = json!({ "readWritePaths": ["/tmp/**", "/opt/**", "/dev/null"] });
    rig.patch(
        &applied,
        json!({ "spec": { "abstract": { "filesystem": wider } } }),
    )
    .await;
    rig.installed(&applied).await;
    let ended = apparmor::confined("changes", ALLOWED);
    assert!(ended.well(), "allowed now: {ended:?}");

    // Disabled is as good as not there.
    rig.patch(&applied, json!({ "spec": { "state": "Disabled" } }))
        .await;
    apparmor::becomes("changes", None).await;
}

#[tokio::test]
async fn every_example_is_loaded() {
    let rig = Rig::start(&["--with-apparmor=true", "--with-raw-apparmor=true"]).await;
    let mut manifests = examples("apparmor", ".yaml");
    let ours = examples("", ".yaml").into_iter();
    manifests.extend(ours.filter(|(_, text)| text.contains("\nkind: AppArmorProfile\n")));
    for (file, manifest) in manifests {
        // Some have the same name.
        let applied = rig.apply(&manifest).await;
        rig.installed(&applied).await;
        let expected = if manifest.contains("mode: Complain") {
            "complain"
        } else {
            "enforce"
        };
        let mode = apparmor::mode(&applied.name);
        assert_eq!(mode.as_deref(), Some(expected), "{file}");
        rig.delete(&applied).await;
    }
}

#[tokio::test]
async fn this_node_tells_what_it_has() {
    let rig = Rig::start(&["--with-apparmor=true", "--with-selinux=true"]).await;
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

//! SelinuxProfiles and RawSelinuxProfiles, from the object to the act that is denied, and back.
//!
//! One long test: each change of the policy takes a quarter of a minute.

use serde_json::json;
use spo_test_vm::container::Container;
use spo_test_vm::rig::{Profile, Rig, examples};
use spo_test_vm::run::Ended;
use spo_test_vm::{audit, selinux};

/// What profiles inherit. Debian has no such block; this one is as udica and Fedora have it, with
/// what Debian's policy leaves to it.
const CONTAINER: &str = "
(block container
  (type process)
  (roletype system_r process)
  (typeattributeset domain (process))
  (typeattributeset container_domain (process))
  (allow process container_file_t (file (execute execute_no_trans read open getattr map entrypoint)))
  (allow process container_file_t (dir (search getattr read open)))
  (allow process container_file_t (lnk_file (read getattr)))
)
";

/// Makes sure of what profiles inherit.
pub(super) fn install_container_block() {
    if !selinux::modules().contains("container-block") {
        selinux::install(&[("container-block", CONTAINER)]).expect_success();
    }
}

/// Runs a script in a container of a type, with a log and a secret.
fn run(type_: &str, script: &str) -> Ended {
    Container::script(script)
        .selinux(type_)
        .file("log", "var_log_t")
        .file("secret", "var_spool_t")
        .run()
}

/// Succeeds in a type that may write logs.
const DENIED: &str = "echo x >>/log && ! cat /secret";
/// Succeeds in one that may do anything.
const ALLOWED: &str = "echo x >>/log && cat /secret";

/// A record of what a type did, or tried.
fn record(type_: &str, permissive: &str) -> [String; 4] {
    [
        "denied  { read }".to_owned(),
        r#"name="secret""#.to_owned(),
        format!("scontext=system_u:system_r:{type_}:s0:c1,c2"),
        format!("permissive={permissive}"),
    ]
}

async fn records(mark: audit::Mark, parts: &[String]) {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    mark.record(&parts).await;
}

#[tokio::test]
async fn profiles_confine_until_they_are_removed() {
    install_container_block();
    let rig = Rig::start_with_selinuxd().await;
    let mut mark = audit::mark();
    // The example of upstream.
    let (_, example) = examples("selinux", "upstream.yaml").remove(0);
    let logger = rig.apply(&example).await;
    let raw = rig
        .apply(
            r"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: RawSelinuxProfile
metadata:
  name: raw-logger
spec:
  policy: |
    (blockinherit container)
    (allow process var_log_t (file (open append getattr)))
",
        )
        .await;
    let permissive = rig
        .apply(
            r"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: SelinuxProfile
metadata:
  name: permissive
spec:
  mode: Permissive
  inherit:
  - name: container
",
        )
        .await;
    let child = rig
        .apply(
            r"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: SelinuxProfile
metadata:
  name: child
spec:
  inherit:
  - kind: SelinuxProfile
    name: errorlogger
  allow:
    var_spool_t:
      file: [open, read, getattr]
",
        )
        .await;
    // Beside the others: what is wrong with one must not be their problem.
    let broken = rig
        .apply(
            r"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: RawSelinuxProfile
metadata:
  name: broken
spec:
  policy: |
    (blockinherit container)
    (allow process no_such_type_t (file (read)))
",
        )
        .await;
    let all = [&logger, &raw, &permissive, &child];
    for profile in all {
        rig.installed(profile).await;
    }
    rig.complains(&broken, "no_such_type_t").await;
    let modules = selinux::modules();
    for profile in all {
        assert!(modules.contains(&profile.name), "{modules:?}");
    }
    assert!(!modules.contains("broken"), "{modules:?}");
    assert_eq!(usage(&rig, &logger).await, "errorlogger.process");

    for type_ in ["errorlogger.process", "raw-logger.process"] {
        let ended = run(type_, DENIED);
        assert!(ended.well(), "{type_}: {ended:?}");
        records(mark, &record(type_, "0")).await;
    }
    let ended = run("child.process", ALLOWED);
    assert!(ended.well(), "allowed more than its parent: {ended:?}");
    mark = audit::mark();
    let ended = run("permissive.process", ALLOWED);
    assert!(ended.well(), "logged only: {ended:?}");
    records(mark, &record("permissive.process", "1")).await;

    // Modes flip, both in one transaction.
    let flip = |mode: &str| json!({ "spec": { "mode": mode } });
    rig.patch(&logger, flip("Permissive")).await;
    rig.patch(&permissive, flip("Enforcing")).await;
    rig.installed(&logger).await;
    rig.installed(&permissive).await;
    let ended = run("errorlogger.process", ALLOWED);
    assert!(ended.well(), "logged only now: {ended:?}");
    let ended = run("permissive.process", "! echo x >>/log && ! cat /secret");
    assert!(ended.well(), "denied now: {ended:?}");

    // The child first: as long as it is there, its parent stays.
    for profile in [&child, &logger, &raw, &permissive, &broken] {
        rig.request_deletion(profile).await;
    }
    for profile in [&child, &logger, &raw, &permissive, &broken] {
        rig.gone(profile).await;
    }
    let modules = selinux::modules();
    for profile in all {
        assert!(!modules.contains(&profile.name), "{modules:?}");
    }
    assert!(!run("errorlogger.process", "true").well(), "no such type");
}

/// The type that a profile says is to be used.
async fn usage(rig: &Rig, profile: &Profile) -> String {
    let object = rig.get(profile).await;
    object.data["status"]["usage"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

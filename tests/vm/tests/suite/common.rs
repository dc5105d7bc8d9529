//! What does not need a security module: seccomp profiles, and a container that runs under one.

use std::fs;

use spo_test_apiserver::wait::eventually;
use spo_test_vm::audit;
use spo_test_vm::container::Container;
use spo_test_vm::rig::{Rig, SOON, seccomp_file};

/// Refuses a change of mode, ends who sets the name of the host, logs a new directory.
fn profile(name: &str) -> String {
    format!(
        r"
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: SeccompProfile
metadata:
  name: {name}
spec:
  defaultAction: SCMP_ACT_ALLOW
  architectures: [SCMP_ARCH_X86_64]
  syscalls:
  - names: [chmod, fchmod, fchmodat, fchmodat2]
    action: SCMP_ACT_ERRNO
  - names: [mkdir, mkdirat]
    action: SCMP_ACT_LOG
  - names: [sethostname]
    action: SCMP_ACT_KILL_PROCESS
"
    )
}

/// Succeeds where the profile is in force.
const DENIED: &str = "mkdir /tmp/new && ! chmod 700 /tmp/new";

#[tokio::test]
async fn a_container_runs_under_the_file_of_a_seccomp_profile() {
    let rig = Rig::start(&[]).await;
    let applied = rig.apply(&profile("confines")).await;
    rig.installed(&applied).await;
    let file = seccomp_file("confines");

    let free = Container::script("mkdir /tmp/new && chmod 700 /tmp/new").run();
    assert!(free.well(), "without a profile: {free:?}");

    let mark = audit::mark();
    let ended = Container::script(DENIED).seccomp(&file).run();
    assert!(ended.well(), "under the profile: {ended:?}");
    let mkdir = ["type=SECCOMP", r#"comm="mkdir""#, "syscall=83 ", "sig=0"];
    mark.record(&mkdir).await;

    let ended = Container::script("hostname new; [ $? -eq 159 ]")
        .seccomp(&file)
        .run();
    assert!(ended.well(), "killed by SIGSYS: {ended:?}");
    mark.record(&["type=SECCOMP", r#"comm="hostname""#, "sig=31"])
        .await;
    assert!(mark.has_none(&[r#"comm="chmod""#]), "ERRNO tells nobody");

    rig.delete(&applied).await;
    assert!(!file.exists());
}

#[tokio::test]
async fn a_daemon_that_was_killed_makes_up_for_what_it_has_missed() {
    let mut rig = Rig::start(&[]).await;
    let changed = rig.apply(&profile("changed")).await;
    let removed = rig.apply(&profile("removed")).await;
    for profile in [&changed, &removed] {
        rig.installed(profile).await;
    }
    let (changed_file, removed_file) = (seccomp_file("changed"), seccomp_file("removed"));
    let before = fs::read(&removed_file).unwrap();

    rig.kill_daemon();
    fs::remove_file(&removed_file).unwrap();
    let strict = profile("changed").replace("SCMP_ACT_LOG", "SCMP_ACT_ERRNO");
    rig.apply(&strict).await;
    rig.start_daemon();
    rig.installed(&changed).await;

    let ended = Container::script("! mkdir /tmp/new")
        .seccomp(&changed_file)
        .run();
    assert!(ended.well(), "under the new profile: {ended:?}");
    eventually(SOON, "the removed file is back", async || {
        match fs::read(&removed_file) {
            Ok(now) if now == before => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

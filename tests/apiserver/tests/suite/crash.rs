//! A component that is killed between any two steps of a plan: what stays is whole, and the next one
//! goes on.
//!
//! strace kills it at an exact system call, which is then not done. The file of a profile is written
//! with openat2, write, fchmod, fsync, renameat and fsync of the directory, in this order; what
//! follows goes to the API server.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use spo_api::meta;
use spo_api::node_status::ProfileState;
use spo_test_apiserver::files;
use spo_test_apiserver::process::Process;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

/// A system call, by names of which one is enough, and the how manyeth of it in one thread.
pub(super) type Point = (&'static str, u32);

const RENAME: &str = "?renameat,?renameat2,?rename";
const SEND: &str = "sendto,sendmsg,writev";
const RECEIVE: &str = "recvfrom,recvmsg";

/// From the first look at the file to the last byte to the API server.
const WRITING: &[Point] = &[
    ("openat2", 1),
    ("openat2", 2),
    ("write", 1),
    ("write", 2),
    ("fchmod", 1),
    ("fsync", 1),
    (RENAME, 1),
    ("fsync", 2),
    (SEND, 1),
    (SEND, 2),
    (RECEIVE, 1),
    (RECEIVE, 2),
    (RECEIVE, 3),
];

/// From the removal of the file to the last byte to the API server.
const REMOVING: &[Point] = &[
    ("?unlink,unlinkat", 1),
    ("fsync", 1),
    (SEND, 1),
    (SEND, 2),
    (RECEIVE, 2),
];

/// What a manager does is requests.
pub(super) const ASKING: &[Point] = &[
    (SEND, 1),
    (RECEIVE, 2),
    (SEND, 2),
    (RECEIVE, 4),
    (SEND, 3),
    (SEND, 4),
];

/// What a crash has left of the write of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Old,
    OldAndEmptyTemp,
    OldAndTemp,
    New,
}

/// Attaches strace to a process, to do something to its system calls.
pub(super) async fn attach(rig: &Rig, pid: u32, calls: &str, inject: &str) -> Process {
    let log = rig.directory().join("strace.log");
    // A former one.
    std::fs::remove_file(&log).ok();
    let trace = rig.directory().join("strace.trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-p", &pid.to_string(), "-o", trace.to_str().unwrap()])
        .args(["-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:{inject}")]);
    let mut strace = Process::start("strace", &mut command, &log);
    eventually(SOON, "strace is attached", async || {
        let text = strace.log();
        if text.contains("attached") {
            return Ok(());
        }
        match strace.ended() {
            Some(status) => panic!(
                "strace, which these tests kill components with, has ended with {status}: {text}"
            ),
            None => Err(text),
        }
    })
    .await;
    strace
}

/// Attaches strace to the daemon of `node-1`, to kill it at a point.
async fn kill_daemon_at(rig: &mut Rig, (calls, nth): Point) -> Process {
    let pid = rig.node("node-1").daemon().pid();
    attach(rig, pid, calls, &format!("signal=KILL:when={nth}")).await
}

/// Waits until a process was killed. `false` if it does not come to the point, though `done` says
/// that all is done.
async fn killed(
    rig: &mut Rig,
    process: fn(&mut Rig) -> &mut Process,
    mut done: impl AsyncFnMut(&Rig) -> bool,
) -> bool {
    let start = Instant::now();
    let mut since = None;
    loop {
        if let Some(status) = process(rig).ended() {
            assert_eq!(status.signal(), Some(9), "it has ended by itself");
            return true;
        }
        if since.is_none() && done(rig).await {
            since = Some(Instant::now());
        }
        // What comes after the last visible effect comes soon.
        if since.is_some_and(|since| since.elapsed() > Duration::from_millis(300)) {
            return false;
        }
        assert!(start.elapsed() < SOON, "neither killed nor done");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn daemon(rig: &mut Rig) -> &mut Process {
    rig.node("node-1").daemon()
}

fn manager(rig: &mut Rig) -> &mut Process {
    rig.manager("manager-0")
}

async fn is_ready(rig: &Rig) -> bool {
    profile::is_ready(&rig.get("web").await)
}

async fn is_deleted(rig: &Rig) -> bool {
    rig.profiles().get_opt("web").await.unwrap().is_none()
}

/// What is in the operator directory after a crash: every profile there is whole.
fn left(rig: &mut Rig, old: Option<&[u8]>, new: Option<&[u8]>) -> Left {
    let directory = rig.node("node-1").directory();
    let mut temps = Vec::new();
    for name in files::names(&directory) {
        let bytes = std::fs::read(directory.join(&name)).unwrap();
        if name == "web.json" {
            let whole = Some(bytes.as_slice());
            assert!(
                whole == old || whole == new,
                "torn: {}",
                String::from_utf8_lossy(&bytes)
            );
        } else {
            assert!(
                name.starts_with(".spo-") && name.ends_with(".tmp"),
                "{name}"
            );
            temps.push(bytes.len());
        }
    }
    let file = std::fs::read(rig.node("node-1").file("web")).ok();
    match (file.as_deref() == new, temps.as_slice()) {
        (true, []) => Left::New,
        (false, []) => Left::Old,
        (false, [0]) => Left::OldAndEmptyTemp,
        (false, [_]) => Left::OldAndTemp,
        found => panic!("{found:?}"),
    }
}

/// Starts the next daemon and expects everything to be as if there had been no crash.
async fn goes_on(rig: &mut Rig, new: Option<&[u8]>) {
    rig.start_daemon("node-1");
    match new {
        Some(bytes) => {
            let web = rig.ready("web").await;
            rig.on_every_node("web", bytes).await;
            let statuses = rig.statuses_of("web").await;
            let [status] = statuses.as_slice() else {
                panic!("{statuses:?}")
            };
            let said = status.status.clone().unwrap();
            assert_eq!(said.status, Some(ProfileState::Installed));
            assert_eq!(said.observed_generation, web.metadata.generation);
            assert_eq!(files::names(&rig.node("node-1").directory()), ["web.json"]);
        }
        None => {
            rig.gone("web").await;
            assert_eq!(files::names(&rig.node("node-1").directory()), [""; 0]);
        }
    }
    rig.daemon_is_ready("node-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_a_write_leaves_a_whole_file_and_is_made_good() {
    let mut rig = Rig::with_nodes(1).await;
    rig.create(&allowing("web", &["read"])).await;
    let web = rig.ready("web").await;
    let mut old = profile::file(&rig.client, &web).await;
    let (mut seen, mut not_reached) = (BTreeSet::new(), Vec::new());
    for (round, point) in WRITING.iter().enumerate() {
        let strace = kill_daemon_at(&mut rig, *point).await;
        let names = if round % 2 == 0 {
            ["read", "write"]
        } else {
            ["read", "close"]
        };
        let changed = rig.allow("web", &names).await;
        let new = profile::file(&rig.client, &changed).await;
        if killed(&mut rig, daemon, is_ready).await {
            let found = left(&mut rig, Some(&old), Some(&new));
            println!("killed at {point:?}: {found:?}");
            seen.insert(found);
        } else {
            not_reached.push(point);
            rig.kill_daemon("node-1");
        }
        drop(strace);
        goes_on(&mut rig, Some(&new)).await;
        old = new;
    }
    println!("not reached: {not_reached:?}");
    for kind in [Left::Old, Left::OldAndTemp, Left::New] {
        assert!(seen.contains(&kind), "no crash has left {kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_first_byte_is_made_good() {
    let mut rig = Rig::with_nodes(1).await;
    rig.create(&allowing("web", &["read"])).await;
    let web = rig.ready("web").await;
    let old = profile::file(&rig.client, &web).await;
    let pid = rig.node("node-1").daemon().pid();
    // Time to see the temporary file while it is empty.
    let strace = attach(&rig, pid, "openat2", "delay_exit=1000000").await;
    let changed = rig.allow("web", &["read", "write"]).await;
    let new = profile::file(&rig.client, &changed).await;
    let directory = rig.node("node-1").directory();
    eventually(SOON, "a temporary file", async || {
        if files::names(&directory).len() == 2 {
            Ok(())
        } else {
            Err("there is none".to_owned())
        }
    })
    .await;
    rig.kill_daemon("node-1");
    drop(strace);
    assert_eq!(
        left(&mut rig, Some(&old), Some(&new)),
        Left::OldAndEmptyTemp
    );
    goes_on(&mut rig, Some(&new)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_the_first_write_is_made_good() {
    let mut rig = Rig::with_nodes(1).await;
    for point in WRITING.iter().filter(|(calls, _)| *calls != RECEIVE) {
        let strace = kill_daemon_at(&mut rig, *point).await;
        let created = rig.create(&allowing("web", &["read"])).await;
        let new = profile::file(&rig.client, &created).await;
        if killed(&mut rig, daemon, is_ready).await {
            println!(
                "killed at {point:?}: {:?}",
                left(&mut rig, None, Some(&new))
            );
        } else {
            println!("not reached: {point:?}");
            rig.kill_daemon("node-1");
        }
        drop(strace);
        goes_on(&mut rig, Some(&new)).await;
        rig.delete("web").await;
        rig.gone("web").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_a_removal_is_made_good() {
    let mut rig = Rig::with_nodes(1).await;
    for point in REMOVING {
        rig.create(&allowing("web", &["read"])).await;
        let web = rig.ready("web").await;
        let bytes = profile::file(&rig.client, &web).await;
        let strace = kill_daemon_at(&mut rig, *point).await;
        rig.delete("web").await;
        if killed(&mut rig, daemon, is_deleted).await {
            println!(
                "killed at {point:?}: {:?}",
                left(&mut rig, Some(&bytes), None)
            );
        } else {
            println!("not reached: {point:?}");
            rig.kill_daemon("node-1");
        }
        drop(strace);
        goes_on(&mut rig, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_manager_at_any_request_is_made_good() {
    let mut rig = Rig::with_nodes(1).await;
    for (calls, nth) in ASKING {
        for removes in [false, true] {
            let pid = rig.manager("manager-0").pid();
            let strace = attach(&rig, pid, calls, &format!("signal=KILL:when={nth}")).await;
            let was_killed = if removes {
                rig.delete("web").await;
                killed(&mut rig, manager, is_deleted).await
            } else {
                rig.create(&allowing("web", &["read"])).await;
                killed(&mut rig, manager, is_ready).await
            };
            if !was_killed {
                println!(
                    "not reached: {calls} {nth}, {}",
                    if removes { "deleting" } else { "creating" }
                );
            }
            drop(strace);
            rig.take_manager("manager-0").kill();
            // Of the same name, so that it does not wait for the lease.
            rig.start_manager("manager-0").await;
            if removes {
                rig.gone("web").await;
            } else {
                let web = rig.ready("web").await;
                assert_eq!(web.finalizers(), [meta::FINALIZER]);
            }
        }
    }
}

//! Audit records of this kernel, as the multicast group hands them on: what a filter logs arrives.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "the profile is for a test, in a directory of its own"
)]

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use spo_host::audit::netlink::Socket;
use tokio::time::timeout;

/// AUDIT_SECCOMP (linux/audit.h).
const SECCOMP: u16 = 1326;
/// Bursts below what the kernel's rate limit and our queue take.
const RUNS: usize = 50;

/// Runs a program that makes one system call, under a profile that logs it; its process id.
fn log_getpriority(profile: &std::path::Path) -> u32 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_seccomp-exec"))
        .arg(profile)
        .arg("--")
        .args([env!("CARGO_BIN_EXE_getpriority"), "0", "0"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    child.wait().unwrap();
    pid
}

#[tokio::test]
async fn what_a_filter_logs_arrives_from_the_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path().join("profile.json");
    let logging = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_LOG"}],
    });
    std::fs::write(&profile, logging.to_string()).unwrap();

    let mut socket = Socket::open().unwrap();
    let pids: Vec<u32> = (0..RUNS).map(|_| log_getpriority(&profile)).collect();
    let mut missing: Vec<String> = pids.iter().map(|pid| format!(" pid={pid} ")).collect();
    while !missing.is_empty() {
        let read = socket.read(|kind, text| {
            let text = std::str::from_utf8(text).unwrap();
            assert!(text.starts_with("audit("), "{text}");
            if kind == SECCOMP {
                missing.retain(|pid| !text.contains(pid));
            }
        });
        let read = timeout(Duration::from_secs(20), read).await;
        let read = read
            .unwrap_or_else(|_| panic!("no record of{missing:?}"))
            .unwrap();
        assert_eq!(read.overruns, 0);
    }
}

#[tokio::test]
async fn a_queue_that_overflows_is_told_and_does_not_end_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path().join("profile.json");
    let logging = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_LOG"}],
    });
    std::fs::write(&profile, logging.to_string()).unwrap();
    let mut small = Socket::with_queue(4096).unwrap();
    for _ in 0..RUNS {
        log_getpriority(&profile);
    }
    let mut overruns = 0;
    while overruns == 0 {
        let read = timeout(Duration::from_secs(20), small.read(|_, _| ())).await;
        overruns += read.expect("a record or an overrun").unwrap().overruns;
    }
    let pid = log_getpriority(&profile);
    let wanted = format!(" pid={pid} ");
    let mut seen = false;
    while !seen {
        let read = small.read(|_, text| {
            seen |= String::from_utf8_lossy(text).contains(&wanted);
        });
        timeout(Duration::from_secs(20), read)
            .await
            .unwrap()
            .unwrap();
    }
}

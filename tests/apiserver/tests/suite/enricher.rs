//! The log enricher: what the kernel of this machine logs of a process in a container's control
//! group becomes a line with the pod that the API server knows.
//!
//! Needs root, for the control group and for the audit socket.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use spo_test_apiserver::cluster::{self, DEFAULT};
use spo_test_apiserver::process::Process;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, always, eventually};

/// A control group like those that kubelets make; gone with its processes.
struct Group {
    /// Innermost first.
    directories: Vec<PathBuf>,
    children: Vec<Child>,
}

impl Group {
    fn new(pod_uid: &str, container_id: &str) -> Self {
        let unified = Path::new("/sys/fs/cgroup");
        let root = if unified.join("cgroup.procs").exists() {
            unified.to_owned()
        } else {
            unified.join("pids")
        };
        let kubepods = root.join("kubepods-of-a-test");
        let pod = kubepods.join(format!("pod{pod_uid}"));
        let container = pod.join(container_id);
        std::fs::create_dir_all(&container).unwrap();
        Self {
            directories: vec![container, pod, kubepods],
            children: Vec::new(),
        }
    }

    /// Runs a program in it that makes the system call getpriority, which a filter logs, and stays.
    /// The number of the process.
    fn run(&mut self) -> u32 {
        let logging = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_LOG"}],
        });
        let procs = self.directories[0].join("cgroup.procs");
        // A filter is of a thread and of what it starts.
        let child = std::thread::spawn(move || {
            let filter = spo_host::seccomp::compile(logging.to_string().as_bytes()).unwrap();
            filter.load().unwrap();
            Command::new("sh")
                .args(["-c", r#"echo $$ >"$0" && exec nice sleep 60"#])
                .arg(procs)
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        });
        self.children.push(child.join().unwrap());
        self.children.last().unwrap().id()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
        for directory in &self.directories {
            std::fs::remove_dir(directory).ok();
        }
    }
}

/// Says that the container of a pod has started, as a kubelet does.
async fn started(rig: &Rig, pod: &str, container_id: &str) {
    let api: Api<Pod> = Api::namespaced(rig.client.clone(), DEFAULT);
    let status = json!({ "status": { "containerStatuses": [{
        "name": "app", "image": "nginx", "imageID": "", "ready": true, "restartCount": 0,
        "containerID": format!("containerd://{container_id}"),
    }]}});
    let patch = Patch::Merge(&status);
    api.patch_status(pod, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// The line about a process.
async fn line(enricher: &Process, pid: u32) -> String {
    eventually(SOON, &format!("a line about process {pid}"), async || {
        let log = enricher.log();
        let mut lines = log.lines().filter(|line| line.contains("\"audit\""));
        lines
            .find(|line| line.contains(&format!(" pid={pid} ")))
            .map(str::to_owned)
            .ok_or(log.clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_logs_of_a_container_becomes_a_line_with_its_pod() {
    let mut rig = Rig::empty().await;
    rig.make_node("node-1").await;
    let enricher = rig
        .start_log_enricher("node-1", &["--enricher-log-source=Netlink"])
        .await;
    eventually(SOON, "the enricher reads", async || {
        let log = enricher.log();
        let reads = log.contains("\"Starting log-enricher on node: node-1\"");
        if reads { Ok(()) } else { Err(log) }
    })
    .await;

    let pod = cluster::make_pod(&rig.client, "web", "node-1", "none.json").await;
    let container_id = format!("{:064x}", 0x5e7_u32);
    let mut group = Group::new(&pod.uid().unwrap(), &container_id);
    // The kernel is faster than a kubelet: what it says waits for the pod.
    let early = group.run();
    always(
        Duration::from_secs(1),
        "no line without a pod",
        async || {
            let log = enricher.log();
            if log.contains("\"audit\"") {
                Err(log)
            } else {
                Ok(())
            }
        },
    )
    .await;
    started(&rig, "web", &container_id).await;
    let line_of_early = line(&enricher, early).await;
    let expected = concat!(
        r#" type="seccomp" node="node-1" namespace="default" pod="web" container="app" "#,
        r#"executable=""#
    );
    assert!(line_of_early.contains(expected), "{line_of_early}");
    assert!(
        line_of_early.ends_with(r#" syscallName="getpriority""#),
        "{line_of_early}"
    );

    let late = group.run();
    assert!(line(&enricher, late).await.contains(r#" pod="web" "#));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_log_is_read_where_there_is_one() {
    let mut rig = Rig::empty().await;
    rig.make_node("node-1").await;
    let file = rig.directory().join("audit.log");
    std::fs::write(&file, "type=DAEMON_START msg=audit(1.1:1): op=start\n").unwrap();
    let filters = r#"[{"priority": 1, "level": "None", "matchKeys": ["syscallID"], "matchValues": ["1", "50"]}]"#;
    let enricher = rig
        .start_log_enricher(
            "node-1",
            &[
                "--audit-log",
                file.to_str().unwrap(),
                "--enricher-filters-json",
                filters,
            ],
        )
        .await;
    eventually(SOON, "the enricher reads", async || {
        let log = enricher.log();
        let reads = log.contains(&format!("\"Reading from file {}\"", file.display()));
        if reads { Ok(()) } else { Err(log) }
    })
    .await;
    let pod = cluster::make_pod(&rig.client, "web", "node-1", "none.json").await;
    let container_id = format!("{:064x}", 0xf11e_u32);
    started(&rig, "web", &container_id).await;
    let mut group = Group::new(&pod.uid().unwrap(), &container_id);
    let pid = group.run();
    eventually(SOON, "the process is in its control group", async || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        if text.contains(&container_id) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    let record = |serial: u32, syscall: u32| {
        format!(
            "type=SECCOMP msg=audit(1700000000.123:{serial}): auid=1 uid=0 gid=0 ses=1 pid={pid} \
             comm=\"nginx\" exe=\"/usr/sbin/nginx\" sig=0 arch=c000003e syscall={syscall} compat=0 \
             ip=0x7f code=0x7ffc0000\n"
        )
    };
    // Rotated in between, and one of them is filtered.
    let mut end = OpenOptions::new().append(true).open(&file).unwrap();
    end.write_all((record(1, 50) + &record(2, 49)).as_bytes())
        .unwrap();
    std::fs::rename(&file, file.with_extension("log.1")).unwrap();
    std::fs::write(&file, record(3, 51)).unwrap();
    let found = eventually(SOON, "lines of both files", async || {
        let log = enricher.log();
        if log.contains("timestamp=\"1700000000.123:3\"") {
            Ok(log)
        } else {
            Err(log)
        }
    })
    .await;
    assert!(found.contains(r#"executable="/usr/sbin/nginx""#), "{found}");
    assert!(
        found.contains(r#"syscallID=49 syscallName="bind""#),
        "{found}"
    );
    assert!(!found.contains("syscallID=50"), "{found}");
}

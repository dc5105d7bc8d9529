//! Containers, which runc runs as it does for a container runtime of Kubernetes.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::run::{Ended, run};

/// What a container without a program of its own is made from: busybox.
const ROOT_FILE_SYSTEM: &str = "/opt/rootfs";

/// A container to be run.
#[derive(Debug, Clone)]
pub struct Container {
    config: Value,
    files: Vec<(String, String)>,
}

impl Container {
    /// A container that runs a script in busybox, with the rights that a container runtime gives
    /// and confined by nothing else.
    pub fn script(script: &str) -> Self {
        let file_systems = [
            ("/proc", "proc", vec![]),
            ("/dev", "tmpfs", vec!["nosuid", "mode=755"]),
            ("/sys", "sysfs", vec!["nosuid", "noexec", "nodev", "ro"]),
        ];
        let mounts: Vec<Value> = file_systems
            .iter()
            .map(|(at, kind, options)| {
                json!({ "destination": at, "type": kind, "source": kind, "options": options })
            })
            .collect();
        let capabilities = json!([
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_MKNOD",
            "CAP_NET_BIND_SERVICE",
            "CAP_NET_RAW",
            "CAP_SETFCAP",
            "CAP_SETGID",
            "CAP_SETPCAP",
            "CAP_SETUID",
            "CAP_SYS_CHROOT"
        ]);
        let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
        let namespaces: Vec<Value> = namespaces
            .iter()
            .map(|kind| json!({ "type": kind }))
            .collect();
        Self {
            config: json!({
                "ociVersion": "1.0.2",
                "root": { "path": "rootfs" },
                "mounts": mounts,
                "process": {
                    "cwd": "/",
                    "args": ["/bin/sh", "-c", script],
                    "env": ["PATH=/bin"],
                    "user": { "uid": 0, "gid": 0 },
                    "capabilities": {
                        "bounding": capabilities,
                        "effective": capabilities,
                        "permitted": capabilities,
                    },
                },
                "linux": { "namespaces": namespaces },
            }),
            files: Vec::new(),
        }
    }

    /// Under a seccomp profile: the bytes of its file.
    #[must_use]
    pub fn seccomp(mut self, file: &Path) -> Self {
        let bytes = std::fs::read(file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        // The file's format is the runtime's.
        self.config["linux"]["seccomp"] = serde_json::from_slice(&bytes).unwrap();
        self
    }

    /// Under an AppArmor profile that is loaded.
    #[must_use]
    pub fn apparmor(mut self, profile: &str) -> Self {
        self.config["process"]["apparmorProfile"] = json!(profile);
        self
    }

    /// In an SELinux type.
    #[must_use]
    pub fn selinux(mut self, type_: &str) -> Self {
        let label = format!("system_u:system_r:{type_}:s0:c1,c2");
        self.config["process"]["selinuxLabel"] = json!(label);
        self
    }

    /// With a file at its root that is of an SELinux type. All others are of `container_file_t`.
    #[must_use]
    pub fn file(mut self, name: &str, type_: &str) -> Self {
        self.files.push((name.to_owned(), type_.to_owned()));
        self
    }

    /// Runs it to its end. Under SELinux it may not write to our pipes, so only the code counts.
    pub fn run(&self) -> Ended {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("container-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        // Not in /tmp, whose types are no container's.
        let bundle = tempfile::tempdir_in("/var/lib").unwrap();
        let root_path = bundle.path().join("rootfs");
        let root = root_path.to_str().unwrap();
        run("cp", &["-a", ROOT_FILE_SYSTEM, root]).expect_success();
        if self.config["process"].get("selinuxLabel").is_some() {
            run("chcon", &["-R", "-t", "container_file_t", "-l", "s0", root]).expect_success();
        }
        for (name, type_) in &self.files {
            let file = root_path.join(name);
            std::fs::write(&file, "content").unwrap();
            run("chcon", &["-t", type_, file.to_str().unwrap()]).expect_success();
        }
        let config = bundle.path().join("config.json");
        std::fs::write(config, self.config.to_string()).unwrap();
        let bundle = bundle.path().to_str().unwrap();
        run("runc", &["run", "--bundle", bundle, &name])
    }
}

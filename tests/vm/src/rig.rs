//! A rig: the daemon on this machine, and the objects which a user makes.
//!
//! One rig exists at a time, because a machine has one daemon: the tests run one after another.
//! Dropping it ends the daemon; what it leaves in the cluster and on the node, the next one wipes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use spo_api::meta;
use spo_test_apiserver::process::Process;
use spo_test_apiserver::wait::eventually;
use spo_test_apiserver::{cluster, metrics};
use tempfile::TempDir;

use crate::run::run_command;

/// For what takes a moment natively: emulated, on a machine that is busy too.
pub const SOON: Duration = Duration::from_secs(90);

/// For what takes a build of the policy of the node: 13 s idle, and what others do waits for it.
const POLICY: Duration = Duration::from_secs(300);

/// The socket of selinuxd where the daemon looks for it.
const SELINUXD_SOCKET: &str = "/var/run/selinuxd/selinuxd.sock";

/// The program with which selinuxd changes the policy.
const IMAGE_SEMODULE: &str = "/usr/bin/semodule-of-image";

/// Where the daemon leaves modules for selinuxd.
pub const SELINUX_DROP_DIR: &str = "/etc/selinux.d";

/// Where the daemon serves its health.
const HEALTH_PORT: u16 = 8085;

/// The kinds of profiles, with their plurals.
const KINDS: [(&str, &str); 4] = [
    ("SeccompProfile", "seccompprofiles"),
    ("AppArmorProfile", "apparmorprofiles"),
    ("SelinuxProfile", "selinuxprofiles"),
    ("RawSelinuxProfile", "rawselinuxprofiles"),
];

/// What a test works with.
pub struct Rig {
    /// The administrator.
    pub client: Client,
    arguments: Vec<String>,
    daemon: Option<Process>,
    selinuxd: Option<Process>,
    directory: TempDir,
}

impl Rig {
    /// A cluster without profiles, and a daemon with these arguments that is ready.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_after(arguments, |_| {}).await
    }

    /// The same for SELinux: with a selinuxd of ours.
    pub async fn start_with_selinuxd() -> Self {
        Self::start_after(&["--with-selinux=true"], Self::start_selinuxd).await
    }

    async fn start_after(arguments: &[&str], before: impl FnOnce(&mut Self)) -> Self {
        let mut rig = Self {
            client: cluster::client(&variable("KUBECONFIG")).await,
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            daemon: None,
            selinuxd: None,
            directory: tempfile::tempdir().unwrap(),
        };
        prepare_node();
        before(&mut rig);
        rig.start_daemon();
        // With a daemon: it has to take away what an earlier test has left on the node.
        rig.wipe().await;
        rig.ready().await;
        rig
    }

    // ---- The daemon ----------------------------------------------------------------------------

    /// Starts the daemon.
    pub fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "there is a daemon");
        let mut command = Command::new(variable("SPO_BINARY"));
        command
            .env_clear()
            .env("KUBECONFIG", variable("SPO_DAEMON_KUBECONFIG"))
            .env("NODE_NAME", node_name())
            .env("OPERATOR_NAMESPACE", cluster::NAMESPACE)
            .env("NODE_ROOT", "/")
            .env("SPO_VERBOSITY", "1")
            .args(["daemon", "--with-insecure-metrics-access=true"])
            .args(["--metrics-address", "127.0.0.1:0"])
            .args(["--health-address", &format!("127.0.0.1:{HEALTH_PORT}")])
            .args(&self.arguments);
        let log = self.directory.path().join("daemon.log");
        self.daemon = Some(Process::start("the daemon", &mut command, &log));
    }

    /// Starts selinuxd.
    pub fn start_selinuxd(&mut self) {
        assert!(self.selinuxd.is_none(), "there is a selinuxd");
        std::fs::create_dir_all("/var/run/selinuxd").unwrap();
        std::fs::create_dir_all(SELINUX_DROP_DIR).unwrap();
        // The one of an image, as the container of selinuxd has it. The label of the node's own would
        // move it into a domain which may not read the modules.
        std::fs::copy("/usr/sbin/semodule", IMAGE_SEMODULE).unwrap();
        let mut command = Command::new(variable("SPO_BINARY"));
        command
            .env_clear()
            .env("SPO_VERBOSITY", "1")
            .args(["selinuxd", "daemon", "--socket-path", SELINUXD_SOCKET])
            .args(["--datastore-path", "/var/run/selinuxd/state.db"])
            .args(["--drop-dir", SELINUX_DROP_DIR])
            .args(["--semodule", IMAGE_SEMODULE]);
        let log = self.directory.path().join("selinuxd.log");
        self.selinuxd = Some(Process::start("selinuxd", &mut command, &log));
    }

    /// Ends selinuxd at once.
    pub fn kill_selinuxd(&mut self) {
        self.selinuxd.take().unwrap().kill();
    }

    /// Waits until the daemon says that it has caught up.
    pub async fn ready(&mut self) {
        let daemon = self.daemon.as_mut().unwrap();
        eventually(SOON, "the daemon is ready", async || {
            if let Some(status) = daemon.ended() {
                panic!("the daemon has ended: {status}: {}", daemon.log());
            }
            match metrics::get(HEALTH_PORT, "/readyz").await? {
                (200, _) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Ends the daemon at once.
    pub fn kill_daemon(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    // ---- Objects -------------------------------------------------------------------------------

    /// Applies a manifest of one object, as YAML: the kind and the name.
    pub async fn apply(&self, manifest: &str) -> Profile {
        let object: Value = serde_saphyr::from_str(manifest).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let profile = Profile {
            kind: text(&object["kind"]),
            name: text(&object["metadata"]["name"]),
        };
        let params = PatchParams::apply("test").force();
        self.api(&profile.kind)
            .patch(&profile.name, &params, &Patch::Apply(object))
            .await
            .unwrap();
        profile
    }

    /// Asks for the deletion of a profile, and waits until it is gone.
    pub async fn delete(&self, profile: &Profile) {
        self.request_deletion(profile).await;
        self.gone(profile).await;
    }

    /// Asks for the deletion of a profile.
    pub async fn request_deletion(&self, profile: &Profile) {
        let api = self.api(&profile.kind);
        api.delete(&profile.name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until a profile is gone.
    pub async fn gone(&self, profile: &Profile) {
        let api = self.api(&profile.kind);
        eventually(
            profile.limit(),
            &format!("{profile:?} is gone"),
            async || match api.get_opt(&profile.name).await.unwrap() {
                None => Ok(()),
                Some(left) => Err(left.data["status"].to_string()),
            },
        )
        .await;
    }

    /// Waits until this node and the profile's status say `Installed`, of the generation that is
    /// there.
    pub async fn installed(&self, profile: &Profile) {
        let what = format!("{profile:?} is installed");
        eventually(profile.limit(), &what, async || {
            let object = self.get(profile).await;
            let status = &object.data["status"];
            let ready = condition(&object, "Ready");
            let current = ready["observedGeneration"].as_i64() == object.metadata.generation;
            if status["status"] == "Installed" && ready["status"] == "True" && current {
                Ok(())
            } else {
                Err(format!(
                    "{status}; this node: {}",
                    self.report(profile).await
                ))
            }
        })
        .await;
    }

    /// Waits until the condition `Ready` of a profile has a message with this part: the message.
    pub async fn complains(&self, profile: &Profile, part: &str) -> String {
        let what = format!("{profile:?} complains of {part:?}");
        eventually(profile.limit(), &what, async || {
            let object = self.get(profile).await;
            let ready = condition(&object, "Ready");
            let message = ready["message"].as_str().unwrap_or_default();
            if ready["status"] == "False" && message.contains(part) {
                Ok(message.to_owned())
            } else {
                Err(object.data["status"].to_string())
            }
        })
        .await
    }

    /// Changes a profile by a merge patch.
    pub async fn patch(&self, profile: &Profile, patch: Value) {
        self.api(&profile.kind)
            .patch(&profile.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// A profile as it is in the cluster.
    pub async fn get(&self, profile: &Profile) -> DynamicObject {
        self.api(&profile.kind).get(&profile.name).await.unwrap()
    }

    /// What this node has reported about a profile.
    async fn report(&self, profile: &Profile) -> Value {
        let id = meta::profile_id(&profile.kind, &profile.name);
        let params = ListParams::default().labels(&format!("{}={id}", meta::LABEL_PROFILE_ID));
        let mut found = self.reports(&params).await;
        found.pop().unwrap_or_default()
    }

    /// Waits until this node says whether it offers a mechanism: what it says of it.
    pub async fn mechanism(&self, name: &str) -> Value {
        let what = format!("this node tells of {name}");
        eventually(SOON, &what, async || {
            let reports = self.reports(&ListParams::default()).await;
            let told = reports
                .iter()
                .filter_map(|report| report["mechanisms"].as_array())
                .flatten()
                .find(|mechanism| mechanism["name"] == name);
            told.cloned().ok_or_else(|| format!("{reports:?}"))
        })
        .await
    }

    async fn reports(&self, params: &ListParams) -> Vec<Value> {
        let found = self.statuses().list(params).await.unwrap().items;
        let here = |status: &DynamicObject| status.data["spec"]["nodeName"] == node_name().as_str();
        found
            .into_iter()
            .filter(here)
            .map(|mut status| status.data["status"].take())
            .collect()
    }

    fn statuses(&self) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(spo_api::GROUP, "v1", "SecurityProfileNodeStatus");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "securityprofilenodestatuses");
        Api::all_with(self.client.clone(), &resource)
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let (kind, plural) = KINDS
            .into_iter()
            .find(|(known, _)| *known == kind)
            .unwrap_or_else(|| panic!("{kind} is no kind of profile"));
        let gvk = GroupVersionKind::gvk(spo_api::GROUP, "v1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        Api::all_with(self.client.clone(), &resource)
    }

    /// Takes away all profiles, as a user would.
    async fn wipe(&self) {
        for (kind, _) in KINDS {
            let api = self.api(kind);
            let all = ListParams::default();
            if api.list_metadata(&all).await.unwrap().items.is_empty() {
                continue;
            }
            api.delete_collection(&DeleteParams::default(), &all)
                .await
                .unwrap();
            eventually(POLICY, &format!("no {kind} is left"), async || {
                let left = api.list(&all).await.unwrap().items;
                let names: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
                if names.is_empty() {
                    Ok(())
                } else {
                    Err(names.join(" "))
                }
            })
            .await;
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in self.daemon.iter().chain(&self.selinuxd) {
                process.show_log();
            }
        }
    }
}

/// A profile that a test has applied.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Profile {
    /// How long something may take that is done about it.
    fn limit(&self) -> Duration {
        if self.kind.contains("Selinux") {
            POLICY
        } else {
            SOON
        }
    }
}

fn condition<'a>(object: &'a DynamicObject, type_: &str) -> &'a Value {
    static NONE: Value = Value::Null;
    let conditions = object.data["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions
        .find(|condition| condition["type"] == type_)
        .unwrap_or(&NONE)
}

/// The file of a seccomp profile on this machine.
pub fn seccomp_file(profile: &str) -> PathBuf {
    spo_test_apiserver::files::of_profile(Path::new("/"), profile)
}

/// The files of our examples, or of a folder of golden cases, that end in this: name and text.
pub fn examples(folder: &str, end: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(variable("SPO_EXAMPLES").join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(end) {
            found.push((name.to_owned(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there is no {folder}/*{end}");
    found
}

/// Prepares this node as the init container of the daemon's pod does.
fn prepare_node() {
    let mut command = Command::new(variable("SPO_BINARY"));
    let command = command
        .env_clear()
        .env("NODE_ROOT", "/")
        .arg("non-root-enabler");
    run_command(command).expect_success();
}

fn node_name() -> String {
    variable("NODE_NAME").to_str().unwrap().to_owned()
}

/// What `hack/test-vm` tells the tests.
fn variable(name: &str) -> PathBuf {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => PathBuf::from(value),
        _ => panic!("{name} is not set: these tests need the test VM; run them with hack/test-vm"),
    }
}

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
    directory: TempDir,
}

impl Rig {
    /// A cluster without profiles, and a daemon with these arguments that is ready.
    pub async fn start(arguments: &[&str]) -> Self {
        let mut rig = Self {
            client: cluster::client(&variable("KUBECONFIG")).await,
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            daemon: None,
            directory: tempfile::tempdir().unwrap(),
        };
        prepare_node();
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
        let api = self.api(&profile.kind);
        api.delete(&profile.name, &DeleteParams::default())
            .await
            .unwrap();
        eventually(SOON, &format!("{profile:?} is gone"), async || {
            match api.get_opt(&profile.name).await.unwrap() {
                None => Ok(()),
                Some(left) => Err(left.data["status"].to_string()),
            }
        })
        .await;
    }

    /// Waits until this node and the profile's status say `Installed`, of the generation that is
    /// there.
    pub async fn installed(&self, profile: &Profile) {
        let what = format!("{profile:?} is installed");
        eventually(SOON, &what, async || {
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
        eventually(SOON, &what, async || {
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

    /// A profile as it is in the cluster.
    pub async fn get(&self, profile: &Profile) -> DynamicObject {
        self.api(&profile.kind).get(&profile.name).await.unwrap()
    }

    /// What this node has reported about a profile.
    async fn report(&self, profile: &Profile) -> Value {
        let id = meta::profile_id(&profile.kind, &profile.name);
        let params = ListParams::default().labels(&format!("{}={id}", meta::LABEL_PROFILE_ID));
        let found = self
            .statuses()
            .list(&params)
            .await
            .unwrap()
            .items
            .into_iter()
            .find(|status| status.data["nodeName"] == node_name().as_str());
        found.map_or(Value::Null, |status| status.data)
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
            eventually(SOON, &format!("no {kind} is left"), async || {
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
        if let (true, Some(daemon)) = (std::thread::panicking(), &self.daemon) {
            daemon.show_log();
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

/// The manifests of our examples, of one kind: name of the file and text.
pub fn examples(kind: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(variable("SPO_EXAMPLES")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.lines().any(|line| line == format!("kind: {kind}")) {
            let name = path.file_name().unwrap().to_str().unwrap();
            found.push((name.to_owned(), text));
        }
    }
    found.sort();
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

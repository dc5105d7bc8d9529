//! A rig: a wiped cluster, a manager, and daemons on nodes which are objects and folders.
//!
//! One rig exists at a time, because a cluster has one operator. Dropping it ends its processes,
//! also when a test fails; what it leaves in the cluster, the next one wipes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node as NodeObject, Pod, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use spo_api::meta;
use spo_api::node_status::{ProfileState, SecurityProfileNodeStatus};
use spo_api::seccomp_profile::SeccompProfile;
use spo_api::spod::SecurityProfilesOperatorDaemon;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::cluster::{self, DEFAULT, LEASE, NAMESPACE};
use crate::process::Process;
use crate::wait::{SOON, eventually};
use crate::{audit, env, files, metrics, profile, service};

/// One rig at a time.
static ONE: Mutex<()> = Mutex::const_new(());

/// What a test works with.
pub struct Rig {
    /// The administrator.
    pub client: Client,
    /// What managers find in their environment, besides what every component is given.
    pub manager_env: BTreeMap<&'static str, String>,
    /// How much the managers that are started from now on log.
    pub verbosity: u8,
    managers: BTreeMap<String, Process>,
    nodes: BTreeMap<String, Node>,
    /// Where the managers and the webhook that were started last serve metrics, on
    /// [`service::host`].
    pub manager_metrics: u16,
    /// The same, of the webhook.
    pub webhook_metrics: u16,
    directory: TempDir,
    _one: MutexGuard<'static, ()>,
}

/// A node.
pub struct Node {
    /// The name of its object.
    pub name: String,
    /// The folder that is its file system.
    pub root: PathBuf,
    /// The kubeconfig of its daemon.
    pub kubeconfig: PathBuf,
    /// What its daemon is told besides what every daemon is told.
    pub arguments: Vec<String>,
    /// Where the daemon serves metrics: of 127.0.0.1, and of [`service::host`] in secure mode.
    pub metrics_port: u16,
    /// Where the daemon finds the certificate of its metrics.
    pub certificates: PathBuf,
    health_port: u16,
    log: PathBuf,
    daemon: Option<Process>,
}

impl Node {
    /// The daemon.
    pub fn daemon(&mut self) -> &mut Process {
        self.daemon
            .as_mut()
            .unwrap_or_else(|| panic!("{} has no daemon", self.name))
    }

    /// The file of a profile.
    pub fn file(&self, profile: &str) -> PathBuf {
        files::of_profile(&self.root, profile)
    }

    /// The operator directory.
    pub fn directory(&self) -> PathBuf {
        files::directory(&self.root)
    }

    /// The metrics of the daemon, served to everybody.
    pub async fn metrics(&self) -> String {
        let (code, text) = metrics::get(self.metrics_port, "/metrics-spod")
            .await
            .unwrap();
        assert_eq!(code, 200, "{text}");
        text
    }
}

impl Rig {
    /// A wiped cluster, and nothing in it.
    pub async fn empty() -> Self {
        let one = ONE.lock().await;
        let client = cluster::client(&env::kubeconfig()).await;
        cluster::wipe(&client).await;
        Self {
            client,
            manager_env: BTreeMap::new(),
            verbosity: 1,
            managers: BTreeMap::new(),
            nodes: BTreeMap::new(),
            manager_metrics: 0,
            webhook_metrics: 0,
            directory: tempfile::tempdir().unwrap(),
            _one: one,
        }
    }

    /// A manager, and so many nodes with a daemon each, called `node-1` and so on, all of them ready.
    pub async fn with_nodes(count: usize) -> Self {
        let mut rig = Self::empty().await;
        rig.start_manager("manager-0").await;
        let names: Vec<String> = (1..=count).map(|number| format!("node-{number}")).collect();
        for name in &names {
            rig.make_node(name).await;
            rig.start_daemon(name);
        }
        for name in &names {
            rig.daemon_is_ready(name).await;
        }
        rig.leader().await;
        rig
    }

    /// The folder of this rig.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    // ---- Processes -----------------------------------------------------------------------------

    /// Writes the kubeconfig of a manager.
    pub async fn manager_kubeconfig(&self, name: &str) -> PathBuf {
        let file = self.directory().join(format!("{name}.kubeconfig"));
        cluster::kubeconfig_in(&self.client, self.namespace(), file, NAMESPACE, None).await
    }

    /// The namespace of the managers.
    fn namespace(&self) -> &str {
        let other = self.manager_env.get("OPERATOR_NAMESPACE");
        other.map_or(NAMESPACE, String::as_str)
    }

    /// Starts a manager.
    pub async fn start_manager(&mut self, name: &str) {
        let kubeconfig = self.manager_kubeconfig(name).await;
        self.start_manager_with(name, &kubeconfig).await;
    }

    /// Starts a manager with more arguments.
    pub async fn start_manager_with_args(&mut self, name: &str, more: &[&str]) {
        let kubeconfig = self.manager_kubeconfig(name).await;
        self.launch_manager(name, &kubeconfig, more).await;
    }

    /// Starts a manager with a kubeconfig. The last one to be started serves conversion.
    pub async fn start_manager_with(&mut self, name: &str, kubeconfig: &Path) {
        self.launch_manager(name, kubeconfig, &[]).await;
    }

    async fn launch_manager(&mut self, name: &str, kubeconfig: &Path, more: &[&str]) {
        let conversion = (service::host(), service::free_port());
        service::lead_in(
            &self.client,
            self.namespace(),
            "conversion-service",
            Some("conversion"),
            conversion.1,
        )
        .await;
        let metrics = SocketAddr::from((service::host(), service::free_port()));
        self.manager_metrics = metrics.port();
        service::lead_in(
            &self.client,
            self.namespace(),
            "conversion-service",
            Some("manager-metrics"),
            metrics.port(),
        )
        .await;
        let mut command = operator(kubeconfig);
        command
            .env("POD_NAME", name)
            .envs(&self.manager_env)
            .env("SPO_VERBOSITY", self.verbosity.to_string())
            .args(["manager", "--health-address", "127.0.0.1:0"])
            .args(["--metrics-address", &metrics.to_string()])
            .args([
                "--conversion-address",
                &SocketAddr::from(conversion).to_string(),
            ])
            .args(more);
        let log = self.directory().join(format!("{name}.log"));
        self.managers
            .insert(name.to_owned(), Process::start(name, &mut command, &log));
    }

    /// Starts the webhook server, with the certificate that is in the cluster.
    pub async fn start_webhook(&mut self) {
        let file = self.directory().join("webhook.kubeconfig");
        let kubeconfig = cluster::kubeconfig_for(&self.client, file, "spo-webhook", None).await;
        let certificates = self.directory().join("serving-certs");
        self.mount("webhook-server-cert", &certificates).await;
        let metrics = SocketAddr::from((service::host(), service::free_port()));
        self.webhook_metrics = metrics.port();
        service::lead(
            &self.client,
            "webhook-service",
            Some("webhook-metrics"),
            metrics.port(),
        )
        .await;
        let address = SocketAddr::from((service::host(), service::free_port()));
        service::lead(
            &self.client,
            "webhook-service",
            Some("webhook"),
            address.port(),
        )
        .await;
        let health = service::free_port();
        let mut command = operator(&kubeconfig);
        command
            .arg("webhook")
            .args(["--listen-address", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .args(["--health-address", &format!("127.0.0.1:{health}")])
            .args(["--metrics-address", &metrics.to_string()])
            .args(["--cert-dir", certificates.to_str().unwrap()]);
        let log = self.directory().join("webhook.log");
        let process = Process::start("webhook", &mut command, &log);
        self.managers.insert("webhook".to_owned(), process);
        eventually(
            SOON,
            "the webhook server is ready",
            async || match metrics::get(health, "/readyz").await? {
                (200, _) => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .await;
    }

    /// Puts a Secret into a folder once there is one, as a kubelet would: what is in it, by name.
    pub async fn mount(&self, secret: &str, folder: &Path) -> BTreeMap<String, Vec<u8>> {
        std::fs::create_dir_all(folder).unwrap();
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let found = eventually(SOON, &format!("a Secret {secret} with data"), async || {
            let found = secrets.get(secret).await;
            let found = found.map_err(|error| error.to_string())?;
            found.data.ok_or("it has no data".to_owned())
        })
        .await;
        let files = found.into_iter().map(|(name, bytes)| (name, bytes.0));
        let files: BTreeMap<String, Vec<u8>> = files.collect();
        for (name, bytes) in &files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        files
    }

    /// A manager.
    pub fn manager(&mut self, name: &str) -> &mut Process {
        self.managers
            .get_mut(name)
            .unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Takes a manager out, to be killed or ended.
    pub fn take_manager(&mut self, name: &str) -> Process {
        self.managers.remove(name).unwrap()
    }

    /// Waits until one of the managers leads: its name.
    pub async fn leader(&self) -> String {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        eventually(SOON, "a manager leads", async || {
            let lease = leases.get(LEASE).await.map_err(|error| error.to_string())?;
            let holder = lease
                .spec
                .unwrap_or_default()
                .holder_identity
                .unwrap_or_default();
            if self.managers.contains_key(&holder) {
                Ok(holder)
            } else {
                Err(holder)
            }
        })
        .await
    }

    /// Waits until nobody writes: a manager that has just started makes a SPOD and certificates.
    pub async fn quiet(&self) {
        self.spod("says how it is", false, |spod| spod.status.is_some())
            .await;
        audit::mark().settled(Duration::from_secs(1)).await;
    }

    /// Makes a node without a daemon.
    pub async fn make_node(&mut self, name: &str) {
        let object = cluster::make_node(&self.client, name).await;
        self.add_node(name, &object).await;
    }

    async fn add_node(&mut self, name: &str, object: &NodeObject) {
        let root = self.directory().join(name);
        std::fs::create_dir(&root).unwrap();
        let file = self.directory().join(format!("{name}.kubeconfig"));
        let kubeconfig = cluster::kubeconfig_for(&self.client, file, "spod", Some(object)).await;
        let certificates = self.directory().join(format!("{name}-certificates"));
        let node = Node {
            name: name.to_owned(),
            root,
            kubeconfig,
            arguments: Vec::new(),
            metrics_port: service::free_port(),
            certificates,
            health_port: service::free_port(),
            log: self.directory().join(format!("{name}.log")),
            daemon: None,
        };
        self.nodes.insert(name.to_owned(), node);
    }

    /// Starts the daemon of a node. It serves metrics to everybody.
    pub fn start_daemon(&mut self, name: &str) {
        let port = self.node(name).metrics_port;
        self.launch_daemon(
            name,
            &[
                "--with-insecure-metrics-access=true",
                "--metrics-address",
                &format!("127.0.0.1:{port}"),
            ],
        );
    }

    /// Starts the daemon of a node, with metrics as they are served by default.
    pub fn start_secure_daemon(&mut self, name: &str) {
        let node = self.node(name);
        let address = SocketAddr::from((service::host(), node.metrics_port));
        let certificates = node.certificates.clone();
        self.launch_daemon(
            name,
            &[
                "--metrics-cert-dir",
                certificates.to_str().unwrap(),
                "--metrics-address",
                &address.to_string(),
            ],
        );
    }

    /// Starts a log enricher for a node, under its own account.
    pub async fn start_log_enricher(&mut self, name: &str, more: &[&str]) -> Process {
        let log = self.directory().join(format!("{name}-log-enricher.log"));
        let file = self
            .directory()
            .join(format!("{name}-log-enricher.kubeconfig"));
        let account = "spo-log-enricher";
        let kubeconfig = cluster::kubeconfig_for(&self.client, file, account, None).await;
        let mut command = operator(&kubeconfig);
        command
            .env("NODE_NAME", name)
            .arg("log-enricher")
            .args(more);
        Process::start(&format!("log-enricher of {name}"), &mut command, &log)
    }

    fn launch_daemon(&mut self, name: &str, more: &[&str]) {
        let node = self.node(name);
        let mut command = operator(&node.kubeconfig);
        command
            .env("NODE_NAME", name)
            .env("NODE_ROOT", &node.root)
            .arg("daemon")
            .args([
                "--health-address",
                &format!("127.0.0.1:{}", node.health_port),
            ])
            .args(&node.arguments)
            .args(more);
        node.daemon = Some(Process::start(name, &mut command, &node.log));
    }

    /// Waits until a daemon says that it has caught up.
    pub async fn daemon_is_ready(&mut self, name: &str) {
        let node = self.node(name);
        eventually(
            SOON,
            &format!("the daemon of {name} is ready"),
            async || {
                if let Some(status) = node.daemon().ended() {
                    panic!("the daemon of {name} has ended: {status}");
                }
                match metrics::get(node.health_port, "/readyz").await? {
                    (200, _) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await;
    }

    /// Ends the daemon of a node at once.
    pub fn kill_daemon(&mut self, name: &str) {
        self.node(name).daemon.take().unwrap().kill();
    }

    /// Ends the daemon of a node by asking it to.
    pub async fn terminate_daemon(&mut self, name: &str) -> ExitStatus {
        self.node(name).daemon.take().unwrap().terminate().await
    }

    /// A node.
    pub fn node(&mut self, name: &str) -> &mut Node {
        self.nodes
            .get_mut(name)
            .unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    // ---- The operator as a whole ---------------------------------------------------------------

    /// Makes the Deployment of the manager, which says which image to run. Its pods are played by
    /// [`Rig::start_manager`].
    pub fn deploy(&self) {
        let manifest = env::repository().join("deploy/manager");
        env::kubectl(&["apply", "-f", manifest.to_str().unwrap()]).unwrap();
    }

    /// Says of every pod of the operator that it is ready, as kubelets would: how many there are.
    pub async fn play_kubelet(&self) -> usize {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let mut ready = 0;
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            let scheduled = pod
                .spec
                .as_ref()
                .is_some_and(|spec| spec.node_name.is_some());
            if !scheduled {
                continue;
            }
            let condition = json!({ "type": "Ready", "status": "True" });
            let patch = json!({ "status": { "phase": "Running", "conditions": [condition] } });
            let written = pods
                .patch_status(
                    &pod.name_any(),
                    &PatchParams::default(),
                    &Patch::Strategic(patch),
                )
                .await;
            // It may be gone: a roll-out replaces it.
            ready += usize::from(written.is_ok());
        }
        ready
    }

    /// Waits until the SPOD is as `look` wants it, while the kubelets play along if asked to.
    pub async fn spod(
        &self,
        what: &str,
        kubelets: bool,
        look: impl Fn(&SecurityProfilesOperatorDaemon) -> bool,
    ) -> SecurityProfilesOperatorDaemon {
        let spods: Api<SecurityProfilesOperatorDaemon> =
            Api::namespaced(self.client.clone(), NAMESPACE);
        eventually(SOON, &format!("the SPOD {what}"), async || {
            if kubelets {
                self.play_kubelet().await;
            }
            let spod = spods.get("spod").await.map_err(|error| error.to_string())?;
            if look(&spod) {
                Ok(spod)
            } else {
                Err(serde_json::to_string(&spod.status).unwrap())
            }
        })
        .await
    }

    // ---- Objects -------------------------------------------------------------------------------

    /// The profiles.
    pub fn profiles(&self) -> Api<SeccompProfile> {
        Api::all(self.client.clone())
    }

    /// The node statuses.
    pub fn statuses(&self) -> Api<SecurityProfileNodeStatus> {
        Api::all(self.client.clone())
    }

    /// The pods of tests.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), DEFAULT)
    }

    /// Creates a profile.
    pub async fn create(&self, profile: &SeccompProfile) -> SeccompProfile {
        self.profiles()
            .create(&PostParams::default(), profile)
            .await
            .unwrap()
    }

    /// Changes a profile by a merge patch.
    pub async fn patch(&self, name: &str, patch: Value) -> SeccompProfile {
        let params = PatchParams::default();
        self.profiles()
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap()
    }

    /// Makes a profile allow exactly these system calls.
    pub async fn allow(&self, name: &str, syscalls: &[&str]) -> SeccompProfile {
        let rules = json!([{ "names": syscalls, "action": "SCMP_ACT_ALLOW" }]);
        self.patch(name, json!({ "spec": { "syscalls": rules } }))
            .await
    }

    /// Asks for the deletion of a profile.
    pub async fn delete(&self, name: &str) {
        self.profiles()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// A profile.
    pub async fn get(&self, name: &str) -> SeccompProfile {
        self.profiles().get(name).await.unwrap()
    }

    /// Writes `spec.security` of the operator's configuration.
    pub async fn configure(&self, security: Value) {
        let spods: Api<SecurityProfilesOperatorDaemon> =
            Api::namespaced(self.client.clone(), NAMESPACE);
        let spod = json!({
            "apiVersion": format!("{}/v1", spo_api::GROUP),
            "kind": "SecurityProfilesOperatorDaemon",
            "metadata": { "name": "spod" },
            "spec": { "security": security },
        });
        let params = PatchParams::apply("test").force();
        spods
            .patch("spod", &params, &Patch::Apply(spod))
            .await
            .unwrap();
    }

    /// The node statuses about a profile.
    pub async fn statuses_of(&self, name: &str) -> Vec<SecurityProfileNodeStatus> {
        let id = meta::profile_id("SeccompProfile", name);
        let params = ListParams::default().labels(&format!("{}={id}", meta::LABEL_PROFILE_ID));
        self.statuses().list(&params).await.unwrap().items
    }

    /// Events with a reason about an object of this name.
    pub async fn events(&self, reason: &str, about: &str) -> Vec<Event> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), DEFAULT);
        let fields = format!("reason={reason},involvedObject.name={about}");
        events
            .list(&ListParams::default().fields(&fields))
            .await
            .unwrap()
            .items
    }

    // ---- Waiting -------------------------------------------------------------------------------

    /// Waits until the profile is as `look` wants it.
    pub async fn until(
        &self,
        within: Duration,
        name: &str,
        what: &str,
        mut look: impl FnMut(&SeccompProfile) -> bool,
    ) -> SeccompProfile {
        eventually(
            within,
            &format!("SeccompProfile {name} {what}"),
            async || {
                let profile = self
                    .profiles()
                    .get(name)
                    .await
                    .map_err(|error| error.to_string())?;
                if look(&profile) {
                    Ok(profile)
                } else {
                    Err(profile::summary(&profile))
                }
            },
        )
        .await
    }

    /// Waits until the profile is ready, in the generation that it has.
    pub async fn ready(&self, name: &str) -> SeccompProfile {
        self.until(SOON, name, "is ready", profile::is_ready).await
    }

    /// Waits until the profile is in a state, in the generation that it has, with all these texts in
    /// its message.
    pub async fn state(&self, name: &str, state: ProfileState, texts: &[&str]) -> SeccompProfile {
        self.until(SOON, name, &format!("is {state} with {texts:?}"), |found| {
            let about = profile::condition(found, "Ready").and_then(|c| c.observed_generation);
            profile::state(found) == Some(state)
                && about == found.metadata.generation
                && texts
                    .iter()
                    .all(|text| profile::message(found).contains(text))
        })
        .await
    }

    /// Waits until the API server knows where conversion is served: [`Rig::with_nodes`] does not.
    pub async fn converts(&self) {
        self.create(&profile::allowing("probe", &["read"])).await;
        let gvk = GroupVersionKind::gvk(spo_api::GROUP, "v1beta1", "SeccompProfile");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "seccompprofiles");
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        eventually(SOON, "conversion works", async || {
            let found = api.get("probe").await;
            found.map(drop).map_err(|error| error.to_string())
        })
        .await;
        self.delete("probe").await;
        self.gone("probe").await;
    }

    /// Waits until there is an event. Its message.
    pub async fn event(&self, reason: &str, about: &str) -> String {
        eventually(
            SOON,
            &format!("an event {reason} about {about}"),
            async || {
                let mut events = self.events(reason, about).await;
                events
                    .pop()
                    .and_then(|event| event.message)
                    .ok_or("there is none".to_owned())
            },
        )
        .await
    }

    /// Waits until the file of a profile is as it should be, on every node.
    pub async fn on_every_node(&self, name: &str, bytes: &[u8]) {
        eventually(
            SOON,
            &format!("the file of {name} on every node"),
            async || {
                self.nodes()
                    .try_for_each(|node| files::check(&node.file(name), bytes))
            },
        )
        .await;
    }

    /// Waits until no node has a file of the profile.
    pub async fn on_no_node(&self, name: &str) {
        eventually(
            SOON,
            &format!("no file of {name} on any node"),
            async || {
                let found = self
                    .nodes()
                    .find(|node| node.file(name).symlink_metadata().is_ok());
                found.map_or(Ok(()), |node| Err(format!("it is on {}", node.name)))
            },
        )
        .await;
    }

    /// Waits until there is nothing left of a profile: object, node statuses, files.
    pub async fn gone(&self, name: &str) {
        eventually(
            SOON,
            &format!("SeccompProfile {name} is gone"),
            async || match self.profiles().get_opt(name).await.unwrap() {
                Some(left) => Err(format!(
                    "{:?} {}",
                    left.finalizers(),
                    profile::summary(&left)
                )),
                None => Ok(()),
            },
        )
        .await;
        eventually(SOON, &format!("no node status of {name}"), async || {
            let left = self.statuses_of(name).await;
            let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?} are left"))
            }
        })
        .await;
        self.on_no_node(name).await;
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let daemons = self
            .nodes
            .values_mut()
            .filter_map(|node| node.daemon.as_ref());
        for process in self.managers.values().chain(daemons) {
            process.show_log();
        }
    }
}

/// The operator with an empty environment, but for what every component is given.
fn operator(kubeconfig: &Path) -> Command {
    let mut command = Command::new(env::binary());
    command
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .env("OPERATOR_NAMESPACE", NAMESPACE)
        .env("SPO_VERBOSITY", "1");
    command
}

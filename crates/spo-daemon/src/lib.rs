//! The node side: installs profiles on this node and reports.
//!
//! Needs of the node: write access to the operator directory (a mount of
//! `/var/lib/security-profiles-operator`), as any user who may write there. No capability, unless it
//! is told to install AppArmorProfiles ([`apparmor`]). For SELinux, [`selinux`] says it.
//! Needs of the API server: read profiles and the configuration, write node statuses and events.
//!
//! Tasks: a controller for each mechanism ([`seccomp`]), `files` (the only writer of the operator
//! directory), `node` (says what this node offers), `health` and `metrics`.

pub mod apparmor;
mod context;
pub mod enabler;
mod execute;
mod files;
mod installer;
mod metrics;
mod node;
mod node_status;
mod profile;
mod reports;
mod seccomp;
pub mod selinux;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use prometheus::Registry;
use spo_process::admin::{self, Readiness};
use spo_process::tasks::{Ended, Tasks};
use tokio::sync::{Semaphore, watch};
use tracing::info;

use context::Context;
use files::Files;
use metrics::Counters;

/// What a daemon is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Node object of this node.
    pub node_name: String,
    /// The operator's namespace.
    pub namespace: String,
    /// The name of the object with the operator's configuration.
    pub spod_name: String,
    /// Where the node's files appear.
    pub node_root: PathBuf,
    /// The kubelet's directory, as the node sees it, if the environment names one.
    pub kubelet_dir: Option<String>,
    /// What to do about AppArmorProfiles.
    pub apparmor: apparmor::Told,
    /// What to do about SelinuxProfiles and RawSelinuxProfiles.
    pub selinux: selinux::Told,
    /// Where health is served.
    pub health_address: SocketAddr,
    /// Where metrics are served, as plain HTTP without authentication; nowhere if `None`.
    pub metrics_address: Option<SocketAddr>,
}

/// Writes to the API server at once. One takes some milliseconds there.
const REPORTS_AT_ONCE: usize = 4;

/// A daemon that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no API server to speak to.
    #[error(transparent)]
    Client(#[from] spo_kube::client::Error),
    /// The node is not one of the cluster's.
    #[error(transparent)]
    Node(#[from] node::Error),
    /// An address is taken.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// Two families have one name.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the daemon until it is told to end, or until something that it needs is gone.
pub async fn run_daemon(config: Config) -> Result<Ended, Error> {
    info!("starting component: spod");
    let client = spo_kube::client::connect().await?;
    let node = node::identify(&client, &config.node_name).await?;
    let registry = Registry::new();
    // Inside a container the file that setup leaves on the host is not visible; there the
    // environment decides (contract 02, 1.8).
    let kubelet = spo_host::kubelet::directory(None, config.kubelet_dir.as_deref());
    let operator_dir = format!("{kubelet}/seccomp/{}", spo_profile::layout::OPERATOR_DIR);
    let (files, writer) = Files::new(
        config.node_root.clone(),
        operator_dir,
        spo_host::file::FILE_MODE,
    );

    let (ready, readiness) = watch::channel(Readiness::Err("not in sync with the cluster yet"));
    let context = Context {
        client,
        node,
        reports: Arc::new(Semaphore::new(REPORTS_AT_ONCE)),
        namespace: config.namespace,
        spod: config.spod_name,
    };
    let selinux_counters = Counters::register(&registry, "selinux")?;
    let apparmor_counters = Counters::register(&registry, "apparmor")?;
    let seccomp = seccomp::OnNode {
        files: files.clone(),
        counters: Counters::register(&registry, "seccomp")?,
    };

    let mut tasks = Tasks::new();
    let health = admin::listen(config.health_address).await?;
    tasks.spawn(
        "health",
        admin::serve(health, admin::health(readiness), tasks.shutdown()),
    );
    if let Some(address) = config.metrics_address {
        let listener = admin::listen(address).await?;
        tasks.spawn(
            "metrics",
            admin::serve(listener, admin::metrics(registry), tasks.shutdown()),
        );
    }
    tasks.spawn("files", writer);
    let (offers, offered) = watch::channel(None);
    let shutdown = tasks.shutdown();
    tasks.spawn(
        "seccomp",
        seccomp::run(
            context.clone(),
            seccomp,
            spo_host::probe::seccomp(),
            offers,
            shutdown,
        ),
    );
    let selinux = selinux::start(
        &mut tasks,
        context.clone(),
        config.selinux,
        config.node_root.clone(),
        selinux_counters,
    );
    let apparmor = apparmor::start(
        &mut tasks,
        context.clone(),
        config.apparmor,
        files,
        config.node_root,
        apparmor_counters,
    );
    let offers = vec![offered, selinux, apparmor.await];
    let shutdown = tasks.shutdown();
    tasks.spawn("node", node::run(context, offers, ready, shutdown));
    Ok(tasks.run().await)
}

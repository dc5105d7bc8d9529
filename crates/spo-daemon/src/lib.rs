//! The node side: installs profiles on this node and reports.
//!
//! Needs of the node: write access to the operator directory (a mount of
//! `/var/lib/security-profiles-operator`), as any user who may write there. No capability, unless it
//! is told to install AppArmorProfiles ([`apparmor`]). For SELinux the same for `/etc/selinux.d`, and
//! the permission to connect to the socket of selinuxd.
//! Needs of the API server: read profiles and the configuration, write node statuses and events, ask
//! who reads metrics.
//!
//! Tasks: a controller for each mechanism ([`seccomp`], [`selinux`], [`apparmor`]), `files` and
//! `modules` (the only writers of their directories), `node` (says what this node offers), `health`,
//! `metrics` and `certificate` (what metrics are served with).

pub mod apparmor;
mod context;
pub mod doctor;
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

use kube::Client;
use spo_kube::review::Reviewer;
use spo_process::admin::{self, Readiness};
use spo_process::metrics::{NODE_PATH, PATH, Page};
use spo_process::tasks::{Ended, Tasks};
use spo_process::tls::{self, Bounds, Identity, IdentityError, MinVersion};
use tokio::net::TcpListener;
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
    /// Where metrics are served.
    pub metrics_address: SocketAddr,
    /// And how.
    pub metrics_access: MetricsAccess,
}

/// How metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Over TLS, to who has a right to them.
    Secure {
        /// Where `tls.crt` and `tls.key` are, or will be.
        cert_dir: PathBuf,
    },
    /// As plain HTTP, to everybody.
    Insecure,
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
    /// There is nothing to serve metrics with until there is a certificate.
    #[error("cannot make a certificate for the metrics")]
    Identity(#[from] IdentityError),
}

/// Runs the daemon until it is told to end, or until something that it needs is gone.
pub async fn run_daemon(config: Config) -> Result<Ended, Error> {
    info!("starting component: spod");
    let client = spo_kube::client::connect().await?;
    let node = node::identify(&client, &config.node_name).await?;
    let (process, families) = (Page::new(PATH)?, Page::new(NODE_PATH)?);
    spo_kube::controller::register_counters(process.registry())?;
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
        client: client.clone(),
        node,
        reports: Arc::new(Semaphore::new(REPORTS_AT_ONCE)),
        namespace: config.namespace,
        spod: config.spod_name,
    };
    let counters = |mechanism| Counters::register(families.registry(), mechanism);
    let (apparmor_counters, selinux_counters) = (counters("apparmor")?, counters("selinux")?);
    let seccomp = seccomp::OnNode {
        files: files.clone(),
        counters: counters("seccomp")?,
    };

    let mut tasks = Tasks::new();
    let health = admin::listen(config.health_address).await?;
    tasks.spawn(
        "health",
        admin::serve(health, admin::health(readiness), tasks.shutdown()),
    );
    let listener = admin::listen(config.metrics_address).await?;
    let pages = vec![process, families];
    match config.metrics_access {
        MetricsAccess::Insecure => {
            let router = spo_process::metrics::router(pages, None)?;
            tasks.spawn("metrics", admin::serve(listener, router, tasks.shutdown()));
        }
        MetricsAccess::Secure { cert_dir } => {
            serve_metrics(&mut tasks, listener, pages, client, cert_dir)?;
        }
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
    let apparmor = apparmor::start(
        &mut tasks,
        context.clone(),
        config.apparmor,
        files,
        config.node_root.clone(),
        apparmor_counters,
    )
    .await;
    let selinux = selinux::start(
        &mut tasks,
        context.clone(),
        config.selinux,
        config.node_root,
        selinux_counters,
    );
    let offers = vec![offered, apparmor, selinux];
    let shutdown = tasks.shutdown();
    tasks.spawn("node", node::run(context, offers, ready, shutdown));
    Ok(tasks.run().await)
}

/// Serves with a certificate of our own until there is one that clients can verify.
fn serve_metrics(
    tasks: &mut Tasks,
    listener: TcpListener,
    pages: Vec<Page>,
    client: Client,
    cert_dir: PathBuf,
) -> Result<(), Error> {
    let router = spo_process::metrics::router(pages, Some(Arc::new(Reviewer::new(client))))?;
    let own = Identity::self_signed("metrics")?;
    let (identity, shown) = watch::channel(Some(Arc::new(own)));
    let followed = tls::follow(cert_dir, identity, tasks.shutdown());
    tasks.spawn("certificate", followed);
    let shutdown = tasks.shutdown();
    let served = tls::serve(
        listener,
        router,
        shown,
        MinVersion::Tls12,
        Bounds::METRICS,
        shutdown,
    );
    tasks.spawn("metrics", served);
    Ok(())
}

//! The cluster side: sums up what the nodes report, protects profiles in use, and renders what the
//! operator itself consists of.
//!
//! Every manager serves conversion; only the leader works. It holds every profile and every report
//! in memory, small; of pods only those which use a profile. Nothing is listed but at the start, and
//! the pods of a namespace when its first ProfileBinding comes.
//!
//! Tasks: `health`, `conversion`, `metrics`, `certificate` (what both are served with) and `lead`, which
//! runs [`trust`], [`profile`], [`binding`], [`spod`] and [`leftover`].

mod binding;
mod conversion;
mod crds;
mod kind;
mod leftover;
mod namespaces;
mod object;
mod platform;
mod profile;
mod spod;
mod trust;
pub mod uninstall;

use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;
use spo_kube::lease::Candidate;
use spo_kube::review::Reviewer;
use spo_process::admin::{self, Readiness};
use spo_process::metrics::{PATH, Page};
use spo_process::tasks::{Ended, Shutdown, Tasks};
use spo_process::tls::{self, Bounds, MinVersion};
use tokio::sync::watch;
use tracing::{info, warn};

use namespaces::Namespaces;
pub use platform::Provider;
pub use spo_render::facts::EnabledByEnv;
pub use spod::Settings;

/// The lease by which one of several managers leads (contract 03, 2.2).
const LEASE: &str = "security-profiles-operator-lock";
/// The Deployment that runs the managers, and says which image everything else runs
/// (contract 06, 3).
const DEPLOYMENT: &str = "security-profiles-operator";

/// What a manager is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The operator's namespace.
    pub namespace: String,
    /// The name of the object with the operator's configuration.
    pub spod_name: String,
    /// Who this process is in the leader election.
    pub identity: String,
    /// Where health is served.
    pub health_address: SocketAddr,
    /// Where conversion is served.
    pub conversion_address: SocketAddr,
    /// Where metrics are served, over TLS, to who has a right to them.
    pub metrics_address: SocketAddr,
    /// Which of its jobs it does.
    pub jobs: Jobs,
    /// What the objects that it renders depend on besides the SPOD.
    pub settings: Settings,
}

/// The jobs of a manager.
#[derive(Debug, Clone, Copy)]
pub struct Jobs {
    /// Sums up node statuses, protects profiles and bindings in use.
    pub node_status: bool,
    /// Renders what the operator consists of.
    pub spod: bool,
}

/// A manager that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no API server to speak to.
    #[error(transparent)]
    Client(#[from] spo_kube::client::Error),
    /// An address is taken.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// Two families have one name.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the manager until it is told to end. One that loses the lease waits for it again: it still
/// serves conversion.
pub async fn run_manager(config: Config) -> Result<Ended, Error> {
    info!("starting component: security-profiles-operator");
    let client = spo_kube::client::connect().await?;
    let mut tasks = Tasks::new();
    // A manager that waits for the lease is ready: it would take over, and it serves conversion.
    let (_ready, readiness) = watch::channel(Readiness::Ok(()));
    let health = admin::listen(config.health_address).await?;
    tasks.spawn(
        "health",
        admin::serve(health, admin::health(readiness), tasks.shutdown()),
    );
    let identity = conversion::start(
        &mut tasks,
        client.clone(),
        &config.namespace,
        config.conversion_address,
    )
    .await?;
    let page = Page::new(PATH)?;
    spo_kube::controller::register_counters(page.registry())?;
    let reviewer = Arc::new(Reviewer::new(client.clone()));
    let metrics = spo_process::metrics::router(vec![page], Some(reviewer))?;
    tasks.spawn(
        "metrics",
        tls::serve(
            admin::listen(config.metrics_address).await?,
            metrics,
            identity,
            MinVersion::Tls12,
            Bounds::METRICS,
            tasks.shutdown(),
        ),
    );
    let candidate = Candidate::new(
        client.clone(),
        &config.namespace,
        LEASE,
        config.identity.clone(),
    );
    let mut shutdown = tasks.shutdown();
    tasks.spawn("lead", async move {
        while candidate.acquire(&mut shutdown).await {
            tokio::select! {
                // Nothing goes on: what works is dropped, with every request that it waits for.
                () = candidate.keep() => {
                    warn!("not the leader any more: nothing is written until this one leads again");
                }
                // Shutdown: the work has ended, so that another manager may start.
                () = work(&client, &config, &shutdown) => return candidate.release().await,
            }
        }
    });
    Ok(tasks.run().await)
}

/// What the leader does, until shutdown.
async fn work(client: &Client, config: &Config, shutdown: &Shutdown) {
    let (trusted, trust) = watch::channel(trust::Trust::default());
    let trusting = trust::Context {
        client: client.clone(),
        namespace: config.namespace.clone(),
        provider: config.settings.provider,
        trust: trusted,
    };
    let restriction = config.settings.restrict_to_namespace.as_deref();
    let namespaces = Namespaces::parse(restriction, &config.namespace);
    info!("{namespaces}");
    let bound = namespaces.clone();
    let profiles = profile::Context {
        client: client.clone(),
        namespace: config.namespace.clone(),
        namespaces,
        spod: config.spod_name.clone(),
    };
    let spod = spod::Context {
        client: client.clone(),
        namespace: config.namespace.clone(),
        spod: config.spod_name.clone(),
        settings: config.settings.clone(),
        trust,
    };
    tokio::join!(
        trust::run(trusting, shutdown.clone()),
        leftover::run(client.clone(), shutdown.clone()),
        async {
            if config.jobs.node_status {
                tokio::join!(
                    profile::run(profiles, shutdown.clone()),
                    binding::run(client.clone(), bound, shutdown.clone()),
                );
            }
        },
        async {
            if config.jobs.spod {
                spod::run(spod, shutdown.clone()).await;
            }
        },
    );
}

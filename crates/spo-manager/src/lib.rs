//! The cluster side: sums up what the nodes report, and protects profiles in use.
//!
//! Only the leader works. It holds every profile and every report in memory, small; of pods only
//! those which use a profile. Nothing is listed but at the start.
//!
//! Tasks: `lease`, `seccomp` (the controller) and `health`.

mod object;
mod seccomp;

use std::net::SocketAddr;

use spo_kube::lease::Candidate;
use spo_process::admin::{self, Readiness};
use spo_process::tasks::{Ended, Tasks};
use tokio::sync::watch;
use tracing::info;

/// The lease by which one of several managers leads (contract 03, 2.2).
const LEASE: &str = "security-profiles-operator-lock";

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
}

/// Runs the manager until it is told to end, or until it is not the leader any more.
pub async fn run_manager(config: Config) -> Result<Ended, Error> {
    info!("starting component: security-profiles-operator");
    let client = spo_kube::client::connect().await?;
    let mut tasks = Tasks::new();
    // A manager that waits for the lease is ready: it would take over.
    let (_ready, readiness) = watch::channel(Readiness::Ok(()));
    let health = admin::listen(config.health_address).await?;
    tasks.spawn(
        "health",
        admin::serve(health, admin::health(readiness), tasks.shutdown()),
    );
    let candidate = Candidate::new(
        client.clone(),
        &config.namespace,
        LEASE,
        config.identity.clone(),
    );
    let mut shutdown = tasks.shutdown();
    tasks.spawn("lead", async move {
        if !candidate.acquire(&mut shutdown).await {
            return;
        }
        let context = seccomp::Context {
            client,
            namespace: config.namespace,
            spod: config.spod_name,
        };
        let work = seccomp::run(context, shutdown);
        tokio::select! {
            // The lease is lost: nothing goes on.
            () = candidate.keep() => {}
            // Shutdown: the work has ended, so that another manager may start.
            () = work => candidate.release().await,
        }
    });
    Ok(tasks.run().await)
}

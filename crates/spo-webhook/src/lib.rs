//! What the API server asks before it stores an object or hands it out: convert it, admit it.
//!
//! Nothing is written, so that any number of webhooks may run, without a leader. No request waits
//! for the API server: what a decision needs of the cluster is in memory.
//!
//! Needs of the API server: read the profiles of every kind, ProfileBindings and the configuration;
//! ask who reads metrics.
//!
//! Tasks: `certificate` (follows the files of a Secret), `cluster` (fills the cache), `ready`,
//! `webhook` (the server), `metrics` and `health`. Start reading at [`admission`] and
//! [`conversion`].

pub mod admission;
pub mod cache;
mod cluster;
pub mod conversion;
mod http;
mod metrics;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use spo_kube::review::Reviewer;
use spo_process::admin::{self, Readiness};
use spo_process::metrics::{PATH, Page};
use spo_process::tasks::{Ended, Shutdown, Tasks};
use spo_process::tls::{self, Bounds, Identity, MinVersion};
use tokio::sync::watch;
use tracing::info;

use cache::Cache;
use metrics::Metrics;

/// What a webhook is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The operator's namespace.
    pub namespace: String,
    /// The name of the object with the operator's configuration.
    pub spod_name: String,
    /// Where reviews are answered.
    pub listen_address: SocketAddr,
    /// The oldest version of TLS that is spoken.
    pub min_version: MinVersion,
    /// Where `tls.crt` and `tls.key` are, or will be.
    pub cert_dir: PathBuf,
    /// Where health is served, as plain HTTP.
    pub health_address: SocketAddr,
    /// Where metrics are served, over TLS, to who has a right to them.
    pub metrics_address: SocketAddr,
}

/// A webhook that could not be started.
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

/// Runs the webhook until it is told to end, or until something that it needs is gone.
pub async fn run_webhook(config: Config) -> Result<Ended, Error> {
    info!("starting component: security-profiles-operator-webhook");
    let client = spo_kube::client::connect().await?;
    let page = Page::new(PATH)?;
    let metrics = Metrics::register(page.registry())?;
    let cache = Arc::new(RwLock::new(Cache::new(&config.spod_name)));
    let (identity, identity_seen) = watch::channel(None);
    let (synced, synced_seen) = watch::channel(false);
    let (ready, readiness) = watch::channel(Readiness::Err(NO_CERTIFICATE));

    let mut tasks = Tasks::new();
    let listener = admin::listen(config.health_address).await?;
    let routes = admin::health(readiness);
    tasks.spawn("health", admin::serve(listener, routes, tasks.shutdown()));
    let reviewer = Arc::new(Reviewer::new(client.clone()));
    let served = tls::serve(
        admin::listen(config.metrics_address).await?,
        spo_process::metrics::router(vec![page], Some(reviewer))?,
        identity_seen.clone(),
        config.min_version,
        Bounds::METRICS,
        tasks.shutdown(),
    );
    tasks.spawn("metrics", served);
    let listener = admin::listen(config.listen_address).await?;
    let served = tls::serve(
        listener,
        server::router(&cache, &metrics),
        identity_seen.clone(),
        config.min_version,
        Bounds::REVIEWS,
        tasks.shutdown(),
    );
    tasks.spawn("webhook", served);
    let judged = judge(identity_seen, synced_seen, ready, tasks.shutdown());
    tasks.spawn("ready", judged);
    let followed = tls::follow(config.cert_dir, identity, tasks.shutdown());
    tasks.spawn("certificate", followed);
    let followed = cluster::follow(client, config.namespace, cache, synced, tasks.shutdown());
    tasks.spawn("cluster", followed);
    Ok(tasks.run().await)
}

const NO_CERTIFICATE: &str = "there is no certificate to serve with yet";
const NOT_SYNCED: &str = "not in sync with the cluster yet";

/// Says whether reviews can be answered, each time that this changes.
async fn judge(
    mut identity: watch::Receiver<Option<Arc<Identity>>>,
    mut synced: watch::Receiver<bool>,
    ready: watch::Sender<Readiness>,
    mut shutdown: Shutdown,
) {
    loop {
        let has_identity = identity.borrow_and_update().is_some();
        let verdict = match (has_identity, *synced.borrow_and_update()) {
            (false, _) => Err(NO_CERTIFICATE),
            (true, false) => Err(NOT_SYNCED),
            (true, true) => Ok(()),
        };
        let _before = ready.send_replace(verdict);
        let changed = tokio::select! {
            () = shutdown.asked() => return,
            changed = identity.changed() => changed,
            changed = synced.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

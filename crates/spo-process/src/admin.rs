//! The health endpoint of a process, and serving as plain HTTP.
//!
//! Health is judged in the background by whoever knows; a request only reads the verdict, so that
//! a probe can not be slow.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::tasks::Shutdown;

/// What a readiness probe is told: nothing is wrong, or what is.
pub type Readiness = Result<(), &'static str>;

/// A server that can not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Listens.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })
}

/// The health routes: `/healthz` (the process runs) and `/readyz` (it has seen the cluster once).
/// `/healthz` is green as long as the process can answer at all: a feature that
/// the node lacks is reported in the objects, not by a restart loop (contract 02, 12.5).
pub fn health(readiness: watch::Receiver<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

async fn ready(State(readiness): State<watch::Receiver<Readiness>>) -> (StatusCode, &'static str) {
    match *readiness.borrow() {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// Serves until shutdown.
pub async fn serve(listener: TcpListener, router: Router, mut shutdown: Shutdown) {
    let stopped = async move { shutdown.asked().await };
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "cannot serve");
    }
}

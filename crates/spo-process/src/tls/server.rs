//! Serving HTTP/1.1 over TLS, with a certificate that may change at any time.
//!
//! Whoever can reach the port can open connections, so everything has a bound: how many there are,
//! and how long each part of one may take. What a request may take is up to its route.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

use super::Identity;
use crate::tasks::Shutdown;

/// Client and server need two round trips and some arithmetic.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and with it how long a connection may be idle. API
/// servers keep idle connections for 90 s, and send a request again if one was closed meanwhile.
const HEAD: Duration = Duration::from_secs(60);
/// How long a connection may last. Whoever sends requests and never reads an answer holds memory of
/// ours; an API server simply opens another connection.
const AGE: Duration = Duration::from_secs(300);
/// How long requests under way may take after shutdown was asked for: an API server waits 30 s at
/// most, and the tasks of a process have 20 s to end.
const GRACE: Duration = Duration::from_secs(15);
/// Pause when no connection can be accepted, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the clients of a server may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Bytes that are read ahead on each; the head of a request must fit in.
    pub read_ahead: usize,
}

impl Bounds {
    /// For API servers: each keeps a few dozen connections, and sends large objects.
    pub const REVIEWS: Self = Self {
        connections: 1024,
        read_ahead: 400 << 10,
    };
    /// For Prometheus servers: each keeps one connection a path. The head of a request holds a
    /// token.
    pub const METRICS: Self = Self {
        connections: 128,
        read_ahead: 32 << 10,
    };
}

/// The oldest version of TLS that a server speaks. The newest is always 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Serves until shutdown, HTTP/1.1 only. `identity` is read at every handshake; without one,
/// handshakes fail.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    identity: watch::Receiver<Option<Arc<Identity>>>,
    min_version: MinVersion,
    bounds: Bounds,
    mut shutdown: Shutdown,
) {
    let acceptor = match config(identity, min_version) {
        Ok(config) => TlsAcceptor::from(Arc::new(config)),
        Err(error) => {
            error!(%error, "cannot serve TLS");
            return;
        }
    };
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        // The permit comes first: what is not accepted costs us nothing.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, stream) = tokio::select! {
            () = shutdown.asked() => break,
            (slot, accepted) = accepted => match accepted {
                Ok((stream, _peer)) => (slot, stream),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        let (acceptor, router, shutdown) = (acceptor.clone(), router.clone(), shutdown.clone());
        connections.spawn(async move {
            connection(stream, acceptor, router, bounds, shutdown).await;
            drop(slot);
        });
    }
    drop(listener);
    // Each of them ends within GRACE.
    while connections.join_next().await.is_some() {}
}

fn config(
    identity: watch::Receiver<Option<Arc<Identity>>>,
    min_version: MinVersion,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[_] = match min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12],
        MinVersion::Tls13 => &[&TLS13],
    };
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Current(identity)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Shows the identity of the moment.
#[derive(Debug)]
struct Current(watch::Receiver<Option<Arc<Identity>>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identity = self.0.borrow();
        identity.as_ref().map(|identity| identity.certified_key())
    }
}

/// One connection, from handshake to end. What goes wrong is the peer's doing: a port scan must not
/// fill the log.
async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    bounds: Bounds,
    mut shutdown: Shutdown,
) {
    // Answers are small and complete: none waits for more to send.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot switch off delays");
    }
    let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "TLS handshake failed"),
        Err(_elapsed) => return debug!("TLS handshake took too long"),
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(bounds.read_ahead);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(served);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = shutdown.asked() => None,
        () = sleep(AGE) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match timeout(GRACE, connection).await {
                Ok(ended) => ended,
                Err(_elapsed) => return debug!("a request or its answer took too long"),
            }
        }
    };
    if let Err(error) = ended {
        debug!(error = %crate::chain::chain(&error), "connection failed");
    }
}

#[cfg(test)]
mod tests;

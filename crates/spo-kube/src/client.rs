//! The client: where the API server is, and as whom we speak to it.

use std::time::Duration;

use kube::{Client, Config};

/// A connection on which nothing arrives for this long is dead, also if nobody has said so (a load
/// balancer that failed over). A watch is fed by bookmarks about once a minute; one that starts over
/// too early costs little.
const READ_TIMEOUT: Duration = Duration::from_secs(90);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// No API server to speak to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither in a cluster nor a kubeconfig.
    #[error(
        "cannot find the API server: not in a cluster, and no kubeconfig in KUBECONFIG or \
         ~/.kube/config"
    )]
    Config(#[source] kube::config::InferConfigError),
    /// The configuration is not usable.
    #[error("cannot build a client from the configuration")]
    Client(#[source] kube::Error),
}

/// A client from `KUBECONFIG`, `~/.kube/config` or the service account of the pod.
///
/// The rustls provider must have been installed.
pub async fn connect() -> Result<Client, Error> {
    let mut config = Config::infer().await.map_err(Error::Config)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    Client::try_from(config).map_err(Error::Client)
}

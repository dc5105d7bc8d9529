//! What the reconciles of a daemon share: capabilities, never state that a restart would lose.

use std::sync::Arc;

use kube::Client;
use tokio::sync::Semaphore;

use crate::node_status::Node;

/// The capabilities.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) node: Node,
    /// Permits for writes to the API server. When many profiles come at once, they are installed at
    /// once, and the reports follow at a pace that leaves the API server to others: a hundred nodes
    /// report at the same time.
    pub(crate) reports: Arc<Semaphore>,
    /// The operator's namespace.
    pub(crate) namespace: String,
    /// The name of the object with the operator's configuration.
    pub(crate) spod: String,
}

//! What the reconciles of a daemon share: capabilities, never state that a restart would lose.

use kube::Client;

use crate::files::Files;
use crate::metrics::Metrics;
use crate::node_status::Node;

/// The capabilities.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) files: Files,
    pub(crate) metrics: Metrics,
    pub(crate) node: Node,
    /// The name of the object with the operator's configuration.
    pub(crate) spod: String,
    /// Why the kernel takes no seccomp filters, if it does not.
    pub(crate) seccomp_unsupported: Option<String>,
}

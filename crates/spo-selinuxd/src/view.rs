//! What is answered to whoever asks: readiness and the status of every policy.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::status::PolicyStatus;

/// A snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Whether everything was tried once that was there at the start.
    pub ready: bool,
    /// Policies by name.
    pub policies: BTreeMap<String, PolicyStatus>,
}

/// Where the snapshot of the moment is to be had.
pub(crate) type Current = watch::Receiver<View>;

//! The SPOD as watchers of its restrictions hold it: the one group that they read.

use kube::Resource;
use kube::core::ObjectMeta;
use serde::Deserialize;

use super::{SecurityProfilesOperatorDaemon, SecuritySpec};

/// A SecurityProfilesOperatorDaemon without what steers the DaemonSet.
///
/// Restrictions that can not be read fail the watch, on purpose: to go on without them would let
/// in what an administrator has forbidden.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "SecurityProfilesOperatorDaemon")]
pub struct HeldSpod {
    /// The metadata.
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: HeldSpodSpec,
}

#[derive(Deserialize, Clone, Debug, Default)]
struct HeldSpodSpec {
    security: Option<SecuritySpec>,
}

impl HeldSpod {
    /// What profiles may contain.
    pub fn security(&self) -> SecuritySpec {
        self.spec.security.clone().unwrap_or_default()
    }
}

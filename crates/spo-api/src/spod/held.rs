//! The SPOD as watchers of its restrictions hold it: the one group that they read.

use kube::Resource;
use kube::core::ObjectMeta;
use serde::Deserialize;

use super::effective::effective;
use super::flat::Flat;
use super::{SecurityProfilesOperatorDaemon, SecurityProfilesOperatorDaemonSpec, SecuritySpec};
use crate::seccomp_profile::Action;

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
#[serde(default, rename_all = "camelCase")]
struct HeldSpodSpec {
    security: Option<SecuritySpec>,
    // The flat names of what is in that group.
    allowed_syscalls: Option<Vec<String>>,
    allowed_seccomp_actions: Option<Vec<Action>>,
    disable_oci_artifact_signature_verification: Option<bool>,
}

impl HeldSpod {
    /// What profiles may contain, no matter under which name it stands.
    pub fn security(&self) -> SecuritySpec {
        let held = self.spec.clone();
        let flat = Flat {
            allowed_syscalls: held.allowed_syscalls,
            allowed_seccomp_actions: held.allowed_seccomp_actions,
            disable_oci_artifact_signature_verification: held
                .disable_oci_artifact_signature_verification,
            ..Flat::default()
        };
        let spec = SecurityProfilesOperatorDaemonSpec {
            security: held.security,
            flat,
            ..SecurityProfilesOperatorDaemonSpec::default()
        };
        effective(&spec).spec.security.unwrap_or_default()
    }
}

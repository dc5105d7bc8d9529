//! The SPOD as watchers of its restrictions hold it: the groups that they read.

use kube::Resource;
use kube::core::ObjectMeta;
use serde::Deserialize;

use super::effective::effective;
use super::flat::{Flat, FlatSelinuxOptions};
use super::{
    SecurityProfilesOperatorDaemon, SecurityProfilesOperatorDaemonSpec, SecuritySpec, SelinuxSpec,
};
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
    selinux: Option<SelinuxSpec>,
    // The flat names of what is in those groups.
    enable_selinux: Option<bool>,
    selinux_type_tag: Option<String>,
    selinux_options: Option<FlatSelinuxOptions>,
    allowed_syscalls: Option<Vec<String>>,
    allowed_seccomp_actions: Option<Vec<Action>>,
    disable_oci_artifact_signature_verification: Option<bool>,
}

impl HeldSpod {
    /// What profiles may contain, no matter under which name it stands.
    pub fn security(&self) -> SecuritySpec {
        self.effective().security.unwrap_or_default()
    }

    /// What SelinuxProfiles may name, no matter under which name it stands.
    pub fn selinux(&self) -> SelinuxSpec {
        self.effective().selinux.unwrap_or_default()
    }

    fn effective(&self) -> SecurityProfilesOperatorDaemonSpec {
        let held = self.spec.clone();
        let flat = Flat {
            enable_selinux: held.enable_selinux,
            selinux_type_tag: held.selinux_type_tag,
            selinux_options: held.selinux_options,
            allowed_syscalls: held.allowed_syscalls,
            allowed_seccomp_actions: held.allowed_seccomp_actions,
            disable_oci_artifact_signature_verification: held
                .disable_oci_artifact_signature_verification,
            ..Flat::default()
        };
        let spec = SecurityProfilesOperatorDaemonSpec {
            security: held.security,
            selinux: held.selinux,
            flat,
            ..SecurityProfilesOperatorDaemonSpec::default()
        };
        effective(&spec).spec
    }
}

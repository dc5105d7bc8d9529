//! The SPOD as watchers of its restrictions hold it: the few fields that they read.

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
    // Boxed, because it is large beside everything else that a watch shows.
    #[serde(default)]
    spec: Box<HeldSpodSpec>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct HeldSpodSpec {
    security: Option<SecuritySpec>,
    selinux: Option<SelinuxSpec>,
    enable_app_armor: Option<bool>,
    // The flat names of what is in these groups.
    enable_selinux: Option<bool>,
    selinux_type_tag: Option<String>,
    selinux_options: Option<FlatSelinuxOptions>,
    allowed_syscalls: Option<Vec<String>>,
    allowed_seccomp_actions: Option<Vec<Action>>,
    disable_oci_artifact_signature_verification: Option<bool>,
}

impl HeldSpod {
    /// Whether SELinux is asked for, no matter under which name; `None` if nothing is said, which
    /// is on in OpenShift and off elsewhere.
    pub fn selinux(&self) -> Option<bool> {
        self.effective().selinux.and_then(|spec| spec.enable)
    }

    /// Whether AppArmor is asked for.
    pub fn app_armor(&self) -> bool {
        self.spec.enable_app_armor.unwrap_or_default()
    }

    /// What profiles may contain, no matter under which name it stands.
    pub fn security(&self) -> SecuritySpec {
        self.effective().security.unwrap_or_default()
    }

    /// What SelinuxProfiles may say, no matter under which name it stands.
    pub fn selinux_rules(&self) -> SelinuxSpec {
        self.effective().selinux.unwrap_or_default()
    }

    fn effective(&self) -> SecurityProfilesOperatorDaemonSpec {
        let held = HeldSpodSpec::clone(&self.spec);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_asked_for_under_old_and_new_names() {
        for (spec, selinux, app_armor) in [
            ("{}", None, false),
            ("{selinux: {}, enableAppArmor: true}", None, true),
            (
                "{selinux: {enable: true, typeTag: spc_t}}",
                Some(true),
                false,
            ),
            (
                "{selinux: {enable: false}, enableAppArmor: false}",
                Some(false),
                false,
            ),
            ("{enableSelinux: true}", Some(true), false),
        ] {
            let text = format!("{{metadata: {{name: spod}}, spec: {spec}}}");
            let spod: HeldSpod = serde_saphyr::from_str(&text).unwrap();
            assert_eq!((spod.selinux(), spod.app_armor()), (selinux, app_armor));
        }
    }
}

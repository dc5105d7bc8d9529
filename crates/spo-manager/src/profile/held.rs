//! Pure. Profiles of every kind as the manager holds them: metadata, status, and of the spec what it
//! acts on.
//!
//! An object that can not be read must not fail the list that it is part of: what can not be read of
//! it is as good as not there.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::core::{DynamicObject, ObjectMeta};
use kube::runtime::watcher;
use serde::{Deserialize, Serialize};
use spo_api::apparmor_profile::AppArmorProfile;
use spo_api::node_status::ProfileState;
use spo_api::raw_selinux_profile::RawSelinuxProfile;
use spo_api::seccomp_profile::held::{HeldSeccompProfile, PackedSpec};
use spo_api::seccomp_profile::{DesiredState, SeccompProfileStatus};
use spo_api::selinux_profile::{Inherit, InheritKind, SelinuxProfile};
use spo_profile::selinux::raw;

use crate::kind::{Kind, ProfileId};
use crate::object::lenient;

/// A profile of any kind.
#[derive(Debug, Clone)]
pub(super) struct HeldProfile {
    pub(super) metadata: ObjectMeta,
    /// Whether it is to be on the nodes at all.
    pub(super) state: DesiredState,
    /// The profiles that it builds on.
    pub(super) bases: BTreeSet<ProfileId>,
    /// Of a SeccompProfile, whose effective system calls the manager tells.
    pub(super) spec: Option<PackedSpec>,
    pub(super) status: Status,
}

/// The status of a profile of any kind; a field that the kind does not have is absent.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<ProfileState>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) conditions: Vec<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) localhost_profile: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) active_workloads: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) active_workloads_count: Option<i32>,
}

impl From<SeccompProfileStatus> for Status {
    fn from(status: SeccompProfileStatus) -> Self {
        let SeccompProfileStatus {
            status,
            conditions,
            localhost_profile,
            path,
            active_workloads,
            active_workloads_count,
        } = status;
        Self {
            status,
            conditions,
            localhost_profile,
            path,
            usage: None,
            active_workloads,
            active_workloads_count,
        }
    }
}

impl From<HeldSeccompProfile> for HeldProfile {
    fn from(profile: HeldSeccompProfile) -> Self {
        let unpacked = profile.spec.unpack().ok();
        let state = unpacked.as_ref().map(|spec| spec.state);
        let base = unpacked.and_then(|spec| spec.base_profile_name);
        let base = base.filter(|base| !base.is_empty());
        Self {
            metadata: profile.metadata,
            state: state.unwrap_or_default(),
            bases: base
                .map(|base| ProfileId::new(Kind::Seccomp, &base))
                .into_iter()
                .collect(),
            spec: Some(profile.spec),
            status: profile.status.unwrap_or_default().into(),
        }
    }
}

/// A SelinuxProfile.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "SelinuxProfile")]
pub(super) struct HeldSelinux {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "lenient")]
    spec: Option<SelinuxSpec>,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<Status>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct SelinuxSpec {
    #[serde(deserialize_with = "lenient")]
    state: Option<DesiredState>,
    #[serde(deserialize_with = "lenient")]
    inherit: Option<Vec<Inherit>>,
}

impl From<HeldSelinux> for HeldProfile {
    fn from(profile: HeldSelinux) -> Self {
        let SelinuxSpec { state, inherit } = profile.spec.unwrap_or_default();
        let inherit = inherit.unwrap_or_default();
        let ours = inherit
            .iter()
            .filter(|inherit| inherit.kind == InheritKind::SelinuxProfile);
        Self {
            metadata: profile.metadata,
            state: state.unwrap_or_default(),
            bases: ours
                .map(|inherit| ProfileId::new(Kind::Selinux, &inherit.name))
                .collect(),
            spec: None,
            status: profile.status.unwrap_or_default(),
        }
    }
}

/// A RawSelinuxProfile.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "RawSelinuxProfile")]
pub(super) struct HeldRawSelinux {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "lenient")]
    spec: Option<RawSelinuxSpec>,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<Status>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct RawSelinuxSpec {
    #[serde(deserialize_with = "lenient")]
    state: Option<DesiredState>,
    #[serde(deserialize_with = "lenient")]
    policy: Option<String>,
}

impl From<HeldRawSelinux> for HeldProfile {
    fn from(profile: HeldRawSelinux) -> Self {
        let RawSelinuxSpec { state, policy } = profile.spec.unwrap_or_default();
        let blocks = raw::inherits(&policy.unwrap_or_default());
        // A block may be that of either kind (decision 1).
        let kinds = [Kind::Selinux, Kind::RawSelinux];
        Self {
            metadata: profile.metadata,
            state: state.unwrap_or_default(),
            bases: blocks
                .iter()
                .flat_map(|block| kinds.map(|kind| ProfileId::new(kind, block)))
                .collect(),
            spec: None,
            status: profile.status.unwrap_or_default(),
        }
    }
}

/// An AppArmorProfile.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "AppArmorProfile")]
pub(super) struct HeldAppArmor {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "lenient")]
    spec: Option<AppArmorSpec>,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<Status>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct AppArmorSpec {
    #[serde(deserialize_with = "lenient")]
    state: Option<DesiredState>,
}

impl From<HeldAppArmor> for HeldProfile {
    fn from(profile: HeldAppArmor) -> Self {
        Self {
            metadata: profile.metadata,
            state: profile.spec.unwrap_or_default().state.unwrap_or_default(),
            bases: BTreeSet::new(),
            spec: None,
            status: profile.status.unwrap_or_default(),
        }
    }
}

/// An event about a kind as one about profiles.
pub(super) fn event<K: Into<HeldProfile>>(event: watcher::Event<K>) -> watcher::Event<HeldProfile> {
    match event {
        watcher::Event::Apply(profile) => watcher::Event::Apply(profile.into()),
        watcher::Event::Delete(profile) => watcher::Event::Delete(profile.into()),
        watcher::Event::InitApply(profile) => watcher::Event::InitApply(profile.into()),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

/// A profile as a write has returned it.
pub(super) fn read(kind: Kind, object: DynamicObject) -> Option<HeldProfile> {
    fn held<K: serde::de::DeserializeOwned + Into<HeldProfile>>(
        value: serde_json::Value,
    ) -> Option<HeldProfile> {
        serde_json::from_value::<K>(value).ok().map(Into::into)
    }
    let value = serde_json::to_value(object).ok()?;
    match kind {
        Kind::Seccomp => held::<HeldSeccompProfile>(value),
        Kind::Selinux => held::<HeldSelinux>(value),
        Kind::RawSelinux => held::<HeldRawSelinux>(value),
        Kind::AppArmor => held::<HeldAppArmor>(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use spo_api::apparmor_profile::AppArmorProfileStatus;
    use spo_api::selinux_profile::SelinuxProfileStatus;

    fn profile(kind: Kind, spec: &Value) -> HeldProfile {
        let object = json!({
            "metadata": {"name": "p"}, "spec": spec, "status": {"status": "Installed"},
        });
        read(kind, serde_json::from_value(object).unwrap()).unwrap()
    }

    fn bases(kind: Kind, spec: &Value) -> Vec<String> {
        let bases = profile(kind, spec).bases;
        bases.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_profile_builds_on_is_known_for_every_kind() {
        let spec = json!({"defaultAction": "SCMP_ACT_LOG", "baseProfileName": "b"});
        assert_eq!(bases(Kind::Seccomp, &spec), ["SeccompProfile/b"]);
        let spec = json!({"inherit": [
            {"name": "container"}, {"kind": "System", "name": "net_container"},
            {"kind": "SelinuxProfile", "name": "b"},
        ]});
        assert_eq!(bases(Kind::Selinux, &spec), ["SelinuxProfile/b"]);
        let spec =
            json!({"policy": "(blockinherit b) ; (blockinherit c)\n(blockinherit d) (block x"});
        let both = |name: &str| {
            ["SelinuxProfile", "RawSelinuxProfile"].map(|kind| format!("{kind}/{name}"))
        };
        let mut expected: Vec<String> = ["b", "d"].iter().flat_map(|name| both(name)).collect();
        let mut found = bases(Kind::RawSelinux, &spec);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        assert!(bases(Kind::AppArmor, &json!({})).is_empty());
    }

    #[test]
    fn what_can_not_be_read_hides_nothing_else() {
        for kind in Kind::ALL {
            for spec in [json!("odd"), json!({"state": "Odd"}), Value::Null] {
                let found = profile(kind, &spec);
                assert_eq!(found.state, DesiredState::Enabled, "{kind}");
                assert_eq!(found.status.status, Some(ProfileState::Installed), "{kind}");
            }
        }
        let odd = json!({"state": "Disabled", "inherit": [{"kind": "Odd"}]});
        assert_eq!(profile(Kind::Selinux, &odd).state, DesiredState::Disabled);
        let object = json!({"metadata": {"name": "p"}, "status": {"conditions": 1}});
        let found = read(Kind::AppArmor, serde_json::from_value(object).unwrap()).unwrap();
        assert_eq!(found.status, Status::default());
    }

    /// What is read and written of a status is all of it, and nothing that the kind does not have.
    #[test]
    fn a_status_is_that_of_the_kinds() {
        fn check<T: Serialize + serde::de::DeserializeOwned>(more: &Value) -> Status {
            let mut status = json!({
                "status": "Installed",
                "conditions": [{"type": "Ready", "status": "True", "reason": "Available",
                                "message": "", "lastTransitionTime": "2026-11-21T00:00:00Z"}],
                "activeWorkloads": ["ns/p"], "activeWorkloadsCount": 1,
            });
            let fields = status.as_object_mut().unwrap();
            fields.extend(more.as_object().unwrap().clone());
            let typed: T = serde_json::from_value(status.clone()).unwrap();
            assert_eq!(serde_json::to_value(&typed).unwrap(), status);
            let ours: Status = serde_json::from_value(status.clone()).unwrap();
            assert_eq!(serde_json::to_value(&ours).unwrap(), status);
            ours
        }
        let more = json!({"localhostProfile": "operator/p.json", "path": "/p"});
        let ours = check::<SeccompProfileStatus>(&more);
        let typed: SeccompProfileStatus =
            serde_json::from_value(serde_json::to_value(&ours).unwrap()).unwrap();
        assert_eq!(Status::from(typed), ours);
        check::<SelinuxProfileStatus>(&json!({"usage": "p.process"}));
        check::<AppArmorProfileStatus>(&json!({}));
    }
}

//! Pure. What is kept of an object that a watch shows.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kube::ResourceExt as _;
use spo_api::meta;
use spo_api::node_status::{Mechanism, ProfileState};
use spo_api::seccomp_profile::DesiredState;
use spo_api::seccomp_profile::held::PackedSpec;
use spo_api::spod::NotAllowedProfiles;
use spo_api::spod::held::HeldSpod;

use super::super::held::{HeldProfile, Status};
use super::super::sum::{Report, SwitchedOff};
use crate::kind::{Kind, ProfileId, Use};
use crate::object::{NodeReport, Pod};

/// What asks for SELinux, and for AppArmor.
const SELINUX: &str = "spec.selinux.enable";
const APPARMOR: &str = "spec.enableAppArmor";

/// Of a profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProfileRow {
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) generation: Option<i64>,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
    pub(super) labeled: bool,
    /// A hash of the annotation: upstream has written the whole list on every profile.
    pub(super) annotation: Option<u64>,
    /// The state before any node has looked at it.
    pub(super) initial: ProfileState,
    pub(super) bases: BTreeSet<ProfileId>,
    pub(super) spec: Option<Arc<PackedSpec>>,
    pub(super) status: Status,
}

/// Of what a node has reported about a profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReportRow {
    pub(super) node: String,
    pub(super) owner_uid: String,
    pub(super) report: Option<Report>,
}

/// Of a pod that matters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PodRow {
    pub(super) uses: Vec<Use>,
    pub(super) daemon_on: Option<String>,
}

/// Of a SPOD.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SpodRow {
    /// Whether profiles that are not allowed are deleted.
    pub(super) delete_not_allowed: bool,
    pub(super) selinux: Option<bool>,
    pub(super) app_armor: bool,
}

impl SpodRow {
    /// Why no node may offer the mechanism of a kind, as far as the SPOD called `name` goes.
    pub(super) fn switched_off(&self, kind: Kind, name: &str) -> Option<SwitchedOff> {
        let (field, what) = match kind {
            Kind::Seccomp => return None,
            Kind::Selinux | Kind::RawSelinux => match self.selinux {
                Some(true) => return None,
                Some(false) => (SELINUX, "is false"),
                None => (SELINUX, "is not set, which means true in OpenShift only"),
            },
            Kind::AppArmor if self.app_armor => return None,
            Kind::AppArmor => (APPARMOR, "is not true"),
        };
        let why = format!("of the SecurityProfilesOperatorDaemon {name} {what}: set it to true");
        Some(SwitchedOff { field, why })
    }
}

pub(super) fn profile(profile: HeldProfile) -> (String, Option<ProfileRow>) {
    let HeldProfile {
        metadata,
        state,
        bases,
        spec,
        status,
    } = profile;
    let annotations = metadata.annotations.unwrap_or_default();
    let labels = metadata.labels.unwrap_or_default();
    let row = ProfileRow {
        uid: metadata.uid.unwrap_or_default(),
        resource_version: metadata.resource_version.unwrap_or_default(),
        generation: metadata.generation,
        deleting: metadata.deletion_timestamp.is_some(),
        finalizers: metadata.finalizers.unwrap_or_default(),
        labeled: labels.contains_key(meta::LABEL_PROFILE_ID),
        annotation: annotations
            .get(meta::ANNOTATION_SYSCALLS)
            .map(|text| hash_of(text)),
        initial: match state {
            DesiredState::Disabled => ProfileState::Disabled,
            DesiredState::Enabled if labels.contains_key(meta::LABEL_PARTIAL) => {
                ProfileState::Partial
            }
            DesiredState::Enabled => ProfileState::Pending,
        },
        bases,
        spec: spec.map(Arc::new),
        status,
    };
    (metadata.name.unwrap_or_default(), Some(row))
}

pub(super) fn is_about_node(report: &NodeReport) -> bool {
    report
        .subject()
        .is_some_and(|(kind, _, _)| kind == meta::KIND_NODE)
}

pub(super) fn registration(report: NodeReport) -> (String, Option<Vec<Mechanism>>) {
    let node = report.spec.map(|spec| spec.node_name).unwrap_or_default();
    (node, report.status.map(|status| status.mechanisms))
}

/// By profile and name of the node status.
pub(super) fn report(report: NodeReport) -> ((ProfileId, String), Option<ReportRow>) {
    let name = report.name_any();
    let subject = report.subject();
    let subject = subject.and_then(|(kind, profile, uid)| Some((Kind::of(kind)?, profile, uid)));
    let Some((kind, profile, uid)) = subject else {
        return ((ProfileId::new(Kind::Seccomp, ""), name), None);
    };
    let row = ReportRow {
        node: report
            .spec
            .as_ref()
            .map(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        owner_uid: uid.to_owned(),
        report: report.state().and_then(|state| {
            let status = report.status.as_ref()?;
            Some(Report {
                state,
                reason: status.reason.clone(),
                message: status.message.clone(),
                observed_generation: status.observed_generation,
            })
        }),
    };
    ((ProfileId::new(kind, profile), name), Some(row))
}

pub(super) fn pod(pod: &Pod, namespace: &str) -> ((String, String), Option<PodRow>) {
    let key = (pod.namespace().unwrap_or_default(), pod.name_any());
    let row = PodRow {
        uses: pod.uses(),
        daemon_on: pod.daemon_on(namespace).map(str::to_owned),
    };
    let relevant = !row.uses.is_empty() || row.daemon_on.is_some();
    (key, relevant.then_some(row))
}

pub(super) fn spod(spod: &HeldSpod) -> (String, Option<SpodRow>) {
    let policy = spod.security().not_allowed_profiles;
    let row = SpodRow {
        delete_not_allowed: policy == Some(NotAllowedProfiles::Delete),
        selinux: spod.selinux(),
        app_armor: spod.app_armor(),
    };
    (spod.name_any(), Some(row))
}

pub(super) fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

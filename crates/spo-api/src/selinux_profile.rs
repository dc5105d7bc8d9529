//! SelinuxProfile v1: permissions as lists, from which a policy is generated.

pub mod held;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{node_status::ProfileState, seccomp_profile::DesiredState};

/// The key of [`SelinuxProfileSpec::allow`] which stands for the type of the process itself.
pub const SELF: &str = "@self";

/// What a profile may do: target type, object class, permissions.
pub type Allow = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// SelinuxProfileSpec defines what a workload may do to which SELinux types.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "security-profiles-operator.x-k8s.io",
    version = "v1",
    kind = "SelinuxProfile",
    plural = "selinuxprofiles",
    shortname = "selp",
    status = "SelinuxProfileStatus",
    derive = "PartialEq",
    derive = "Default",
    // An absent spec is an empty one, and one object without a spec must not fail a whole list.
    attr = "cfg_attr(all(), serde(default))",
    doc = "SelinuxProfile is a cluster level specification of what a workload may do on a node \
           with SELinux. The operator generates a policy from it and installs that on the nodes.",
    printcolumn(name = "Usage", type_ = "string", json_path = ".status.usage"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(default, rename_all = "camelCase")]
pub struct SelinuxProfileSpec {
    /// state says whether nodes act on the profile. A `Disabled` profile is taken off the nodes and
    /// kept as an object. The default is `Enabled`.
    pub state: DesiredState,

    /// mode says what happens to an access which the profile does not allow: `Enforcing`, the
    /// default, denies and logs it; `Permissive` only logs it.
    pub mode: Mode,

    /// inherit names the policies which this one builds on. The default is the policy `container`
    /// of the node. An explicit empty list builds on nothing.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub inherit: Vec<Inherit>,

    /// allow lists the permissions, by type of the target and by class of the object, for example
    /// `{"http_port_t": {"tcp_socket": ["name_bind"]}}`. The type `@self` stands for the type of
    /// the process itself. What is neither listed nor inherited is not allowed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub allow: Allow,
}

impl Default for SelinuxProfileSpec {
    fn default() -> Self {
        Self {
            state: DesiredState::default(),
            mode: Mode::default(),
            inherit: vec![Inherit {
                kind: InheritKind::System,
                name: "container".to_owned(),
            }],
            allow: BTreeMap::new(),
        }
    }
}

/// Inherit names a policy which a profile builds on.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Inherit {
    /// kind is `System` for a policy of the node, which must be listed in the
    /// `allowedSystemProfiles` of the SecurityProfilesOperatorDaemon, or `SelinuxProfile` for
    /// another SelinuxProfile of the cluster. The default is `System`.
    #[serde(default)]
    pub kind: InheritKind,

    /// name of that policy or profile.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// What kind of policy a profile inherits.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum InheritKind {
    #[default]
    System,
    SelinuxProfile,
}

/// Whether SELinux denies or only logs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum Mode {
    #[default]
    Enforcing,
    Permissive,
}

/// SelinuxProfileStatus says where the profile is installed and who uses it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SelinuxProfileStatus {
    /// status sums up the nodes: the lowest state which any of them reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ProfileState>,

    /// conditions hold the condition `Ready`, whose message says on how many nodes the profile is
    /// installed and what is wrong on the others; and, while the profile is being deleted, the
    /// condition `InUse`, whose message names the pods which hold it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::list_schema")]
    pub conditions: Vec<Condition>,

    /// usage is what a pod writes in `securityContext.seLinuxOptions.type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,

    /// activeWorkloads names pods which use the profile, as `namespace/name`. The list holds the
    /// first 100 by name; activeWorkloadsCount counts all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub active_workloads: Vec<String>,

    /// activeWorkloadsCount is the number of pods which use the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub active_workloads_count: Option<i32>,
}

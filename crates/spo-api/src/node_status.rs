//! SecurityProfileNodeStatus v1: what one node says about one profile, or about itself.
//!
//! A node writes these objects and nothing else (docs/decisions/0001-node-reports.md).

use kube::{CustomResource, core::ApiResource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version through which nodes write. It is v1 without the status subresource, so that one
/// request writes labels, spec and status.
pub const REPORT_VERSION: &str = "v1report";

/// Where nodes write node statuses, see [`REPORT_VERSION`].
pub fn report_resource() -> ApiResource {
    let v1 = ApiResource::erase::<SecurityProfileNodeStatus>(&());
    ApiResource {
        api_version: format!("{}/{REPORT_VERSION}", v1.group),
        version: REPORT_VERSION.to_owned(),
        ..v1
    }
}

/// SecurityProfileNodeStatusSpec names the node.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "security-profiles-operator.x-k8s.io",
    version = "v1",
    kind = "SecurityProfileNodeStatus",
    plural = "securityprofilenodestatuses",
    shortname = "spns",
    status = "SecurityProfileNodeStatusStatus",
    derive = "PartialEq",
    doc = "SecurityProfileNodeStatus is the state of one profile on one node. An object whose \
           label spo.x-k8s.io/profile-kind is `Node` describes the node itself: which of the \
           mechanisms (seccomp, SELinux, AppArmor) it offers. Written by the node daemons only.",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Node",
        type_ = "string",
        json_path = ".spec.nodeName",
        priority = "10"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = "10"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SecurityProfileNodeStatusSpec {
    /// nodeName is the node which the status belongs to.
    #[schemars(length(min = 1))]
    pub node_name: String,
}

/// SecurityProfileNodeStatusStatus is what the node reports.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecurityProfileNodeStatusStatus {
    /// status is the state of the profile on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ProfileState>,

    /// reason is the machine-readable cause of an `Error` or of a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// message says what is wrong, where, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// observedGeneration is the generation of the profile which the report is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// mechanisms which the node offers. Only on the object which describes the node itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"]
    ))]
    pub mechanisms: Vec<Mechanism>,
}

/// Mechanism says whether the node offers one of the means to confine a workload.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Mechanism {
    /// name of the mechanism: `Seccomp`, `SELinux` or `AppArmor`.
    pub name: String,
    /// available says whether profiles of that mechanism can be installed here.
    pub available: bool,
    /// message says why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// ProfileState is the state of a profile, on a node or summed up. Declared from the lowest to the
/// highest: the sum over nodes is the minimum (contract 01, 5.3).
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[expect(
    missing_docs,
    reason = "contract 01, 2.2; a doc comment would become oneOf"
)]
pub enum ProfileState {
    Error,
    Terminating,
    Partial,
    Disabled,
    Pending,
    InProgress,
    Installed,
}

impl ProfileState {
    /// The name as it stands in labels, columns and the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ProfileState::Error => "Error",
            ProfileState::Terminating => "Terminating",
            ProfileState::Partial => "Partial",
            ProfileState::Disabled => "Disabled",
            ProfileState::Pending => "Pending",
            ProfileState::InProgress => "InProgress",
            ProfileState::Installed => "Installed",
        }
    }
}

impl std::fmt::Display for ProfileState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

//! AppArmorProfile v1: what a workload may do, as lists from which a profile is generated.

pub mod held;
pub mod rules;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::rules::{FileRule, Mount, Ptrace, Signal, Transition, Unix};
use crate::{node_status::ProfileState, seccomp_profile::DesiredState};

/// AppArmorProfileSpec defines what a workload may execute, open, connect to and hold as
/// capabilities.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "security-profiles-operator.x-k8s.io",
    version = "v1",
    kind = "AppArmorProfile",
    plural = "apparmorprofiles",
    shortname = "aa",
    status = "AppArmorProfileStatus",
    derive = "PartialEq",
    derive = "Default",
    // An absent spec is an empty one, and one object without a spec must not fail a whole list.
    attr = "cfg_attr(all(), serde(default))",
    doc = "AppArmorProfile is a cluster level specification of what a workload may do on a node \
           with AppArmor. The operator generates a profile from it and loads that on the nodes.",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.abstract) && has(self.policy))",
    "message": "abstract and policy exclude each other",
}]))]
pub struct AppArmorProfileSpec {
    /// state says whether nodes act on the profile. A `Disabled` profile is taken off the nodes and
    /// kept as an object. The default is `Enabled`.
    pub state: DesiredState,

    /// mode says what happens to an access which the profile does not allow: `Enforce`, the
    /// default, denies and logs it; `Complain` only logs it.
    pub mode: Mode,

    /// abstract lists what the workload may do. What is not listed is not allowed, except for what
    /// every container needs to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#abstract: Option<Abstract>,

    /// policy is the text of a profile in the language of AppArmor, for what abstract cannot
    /// express. It defines one profile, which has the name of this object; its mode is the field
    /// mode. Nodes only load it if enableRawAppArmorProfiles is set in the configuration of the
    /// operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500_000))]
    pub policy: Option<String>,
}

/// Whether AppArmor denies or only logs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum Mode {
    #[default]
    Enforce,
    Complain,
}

/// Abstract lists what a workload may do.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Abstract {
    /// executable lists the files which may be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<Executable>,

    /// filesystem lists the files and directories which may be opened. A path ends in `/` to mean
    /// the directory itself, and in `/*` or `/**` to mean what is in it, or anywhere below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,

    /// network lists the kinds of sockets which may be opened. Absent means that the profile has
    /// no rule about sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,

    /// capability lists the Linux capabilities which may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,

    /// mount lists the file systems which may be mounted and unmounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<Mount>,

    /// signal lists the signals which may be sent and received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,

    /// ptrace lists which processes may be looked into and traced, and by which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ptrace: Option<Ptrace>,

    /// unix lists the Unix sockets which may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unix: Option<Unix>,
}

/// Executable lists the files which may be executed. Paths are absolute; AppArmor globs are
/// allowed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Executable {
    /// allowedExecutables are the programs which may be executed. What they start stays confined by
    /// the profile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_executables: Vec<String>,

    /// allowedLibraries are the files which may be mapped as code, such as shared libraries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_libraries: Vec<String>,

    /// deniedExecutables are the programs which may not be executed, even if another rule allows
    /// it. Globs are those of filesystem.allowedPaths. Without effect in the mode `Complain`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1024),
        inner(length(min = 1, max = 4096), regex(pattern = r#"^[/@][^"\x00-\x1f\x7f]*$"#)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub denied_executables: Vec<String>,

    /// transitions are the programs which run under another profile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub transitions: Vec<Transition>,
}

/// Filesystem lists the files and directories which may be opened. Paths are absolute; AppArmor
/// globs are allowed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Filesystem {
    /// readOnlyPaths may be read. Writing to them is denied even if another rule allows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub read_only_paths: Vec<String>,

    /// writeOnlyPaths may be written. Reading them is denied even if another rule allows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub write_only_paths: Vec<String>,

    /// readWritePaths may be read and written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub read_write_paths: Vec<String>,

    /// allowedPaths lists paths one by one with what may be done with them. No rule of this list
    /// denies anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub allowed_paths: Vec<FileRule>,

    /// deniedPaths lists what may not be done, even if another rule allows it. Without effect in
    /// the mode `Complain`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub denied_paths: Vec<FileRule>,
}

/// Network lists the kinds of sockets which may be opened.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Network {
    /// allowRaw allows raw sockets. Absent means `false`, which denies them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_raw: Option<bool>,

    /// allowedProtocols lists the transport protocols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_protocols: Option<AllowedProtocols>,
}

/// AllowedProtocols lists the transport protocols whose sockets may be opened.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct AllowedProtocols {
    /// allowTcp allows TCP sockets. Absent means `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_tcp: Option<bool>,

    /// allowUdp allows UDP sockets. Absent means `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_udp: Option<bool>,
}

/// Capability lists the Linux capabilities which may be used.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Capability {
    /// allowedCapabilities are names of capabilities in lower case without `CAP_`, for example
    /// `net_bind_service`. The container must have been given them, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_capabilities: Vec<String>,
}

/// AppArmorProfileStatus says where the profile is installed and who uses it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppArmorProfileStatus {
    /// status sums up the nodes: the lowest state which any of them reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ProfileState>,

    /// conditions hold the condition `Ready`, whose message says on how many nodes the profile is
    /// installed and what is wrong on the others; and, while the profile is being deleted, the
    /// condition `InUse`, whose message names the pods which hold it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::list_schema")]
    pub conditions: Vec<Condition>,

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

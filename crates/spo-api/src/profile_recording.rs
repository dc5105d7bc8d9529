//! ProfileRecording v1: which pods are recorded, and which recorder fits which kind of profile.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::ProfileKind;

/// ProfileRecordingSpec says what is recorded from which pods.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "security-profiles-operator.x-k8s.io",
    version = "v1",
    kind = "ProfileRecording",
    plural = "profilerecordings",
    namespaced,
    shortname = "pr",
    status = "ProfileRecordingStatus",
    derive = "PartialEq",
    doc = "ProfileRecording observes pods of its namespace and writes profiles which allow what \
           they were seen to do. It acts on pods which are created while it exists, in namespaces \
           with the label `spo.x-k8s.io/enable-recording`. The profiles are written when the pods \
           are gone.",
    printcolumn(
        name = "PodSelector",
        type_ = "string",
        json_path = ".spec.podSelector",
        priority = "10"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
// In old versions, the names are in lower case. Texts: contract 01, 8.1.
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.kind != 'SelinuxProfile' || self.recorder.lowerAscii() == 'logs'",
        "message": "recorder \"Bpf\" is not supported for SelinuxProfile, only \"Logs\" is supported",
    },
    {
        "rule": "self.kind.lowerAscii() != 'apparmorprofile' || self.recorder.lowerAscii() == 'bpf'",
        "message": "recorder \"Logs\" is not supported for AppArmorProfile, only \"Bpf\" is supported",
    },
]))]
pub struct ProfileRecordingSpec {
    /// kind of the profiles which are written.
    pub kind: ProfileKind,

    /// recorder is the source of the observations. `Logs` reads audit records and needs the log
    /// enricher; it records SeccompProfiles and SelinuxProfiles. `Bpf` needs the BPF recorder; it
    /// records SeccompProfiles and AppArmorProfiles.
    pub recorder: Recorder,

    /// mergeStrategy says what happens to recordings of the same container in several pods:
    /// `None`, the default, writes a profile for each pod; `Containers` writes one profile for each
    /// name of a container, which allows what any of the pods did. Merging happens when the
    /// ProfileRecording is deleted.
    #[serde(default)]
    pub merge_strategy: MergeStrategy,

    /// podSelector selects the pods by their labels. `{}` selects every pod of the namespace.
    pub pod_selector: LabelSelector,

    /// containers are the names of the containers to record. Absent or empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub containers: Vec<String>,

    /// disableProfileAfterRecording writes profiles with the state `Disabled`, so that they can be
    /// reviewed before they are installed. Off by default.
    #[serde(default)]
    pub disable_profile_after_recording: bool,
}

/// A source of observations. Old versions write the values in lower case.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum Recorder {
    #[serde(alias = "bpf")]
    Bpf,
    #[serde(alias = "logs")]
    Logs,
}

impl Recorder {
    /// Whether this recorder observes what a profile of that kind is made of. Source: contract 01,
    /// 3.6.
    pub fn records(self, kind: ProfileKind) -> bool {
        match kind {
            ProfileKind::SeccompProfile => true,
            ProfileKind::SelinuxProfile => self == Recorder::Logs,
            ProfileKind::AppArmorProfile => self == Recorder::Bpf,
        }
    }
}

/// What happens to recordings of the same container in several pods. Old versions write the values
/// in lower case.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the field says it; a doc comment would become oneOf"
)]
pub enum MergeStrategy {
    #[default]
    #[serde(alias = "none")]
    None,
    #[serde(alias = "containers")]
    Containers,
}

/// ProfileRecordingStatus says who is being recorded.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRecordingStatus {
    /// activeWorkloads names the pods which are being recorded. A pod whose name is not known yet
    /// stands there with the prefix from which its name is generated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub active_workloads: Vec<String>,
}

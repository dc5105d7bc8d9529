//! RawSelinuxProfile v1: a policy as text. Its status is that of a SelinuxProfile.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{seccomp_profile::DesiredState, selinux_profile::SelinuxProfileStatus};

/// RawSelinuxProfileSpec holds a policy in the Common Intermediate Language of SELinux, CIL.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "security-profiles-operator.x-k8s.io",
    version = "v1",
    kind = "RawSelinuxProfile",
    plural = "rawselinuxprofiles",
    shortname = "rsp",
    status = "SelinuxProfileStatus",
    derive = "PartialEq",
    derive = "Default",
    // An absent spec is an empty one, and one object without a spec must not fail a whole list.
    attr = "cfg_attr(all(), serde(default))",
    doc = "RawSelinuxProfile is a cluster level SELinux policy which is written by hand, for what \
           a SelinuxProfile cannot express. The operator wraps it in a block of its own and \
           installs it on the nodes.",
    printcolumn(name = "Usage", type_ = "string", json_path = ".status.usage"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.policy)",
    "message": "policy is required",
}]))]
pub struct RawSelinuxProfileSpec {
    /// state says whether nodes act on the profile. A `Disabled` profile is taken off the nodes and
    /// kept as an object. The default is `Enabled`.
    pub state: DesiredState,

    /// policy is the text which becomes the body of the block, in the Common Intermediate Language
    /// of SELinux, CIL. Statements which reach beyond the block are refused. A profile without a
    /// policy is refused, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500_000))]
    pub policy: Option<String>,
}

//! ProfileBinding v1: which profile the pods with an image get.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::ProfileKind;

/// The value of [`ProfileBindingSpec::image`] which stands for every image.
pub const ANY_IMAGE: &str = "*";

/// ProfileBindingSpec says which profile which containers get.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "security-profiles-operator.x-k8s.io",
    version = "v1",
    kind = "ProfileBinding",
    plural = "profilebindings",
    namespaced,
    shortname = "pb",
    status = "ProfileBindingStatus",
    derive = "PartialEq",
    doc = "ProfileBinding gives the pods of its namespace a profile without a change to their \
           manifests, by the image of their containers. It acts on pods which are created while \
           it exists, in namespaces with the label `spo.x-k8s.io/enable-binding`."
)]
#[serde(rename_all = "camelCase")]
pub struct ProfileBindingSpec {
    /// profileRef points at the profile.
    pub profile_ref: ProfileRef,

    /// image of the containers which get the profile, exactly as it is written in the pod. `*`
    /// stands for every image: the profile is given to the pod as a whole, unless another binding
    /// applies or the pod names a profile of that kind itself.
    #[schemars(length(min = 1))]
    pub image: String,

    /// podSelector restricts the binding to pods with these labels. Absent or empty means every pod
    /// of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
}

/// ProfileRef points at a profile of the cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRef {
    /// kind of the profile.
    pub kind: ProfileKind,

    /// name of the profile. Profiles belong to the cluster, not to a namespace.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// ProfileBindingStatus says who uses the binding.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileBindingStatus {
    /// activeWorkloads names the pods which got a profile by this binding, as `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub active_workloads: Vec<String>,
}

//! Objects as the manager holds them: the few fields that it reads.
//!
//! A cluster has far more pods than pods with a profile of ours; of the others nothing stays.

use k8s_openapi::api::core::v1;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use spo_api::node_status::{
    ProfileState, SecurityProfileNodeStatus, SecurityProfileNodeStatusSpec,
    SecurityProfileNodeStatusStatus,
};

/// A pod.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "v1::Pod")]
pub(crate) struct Pod {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Option<String>,
    security_context: Option<SecurityContext>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct PodStatus {
    phase: String,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    security_context: Option<SecurityContext>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct SecurityContext {
    seccomp_profile: Option<SeccompProfile>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct SeccompProfile {
    r#type: String,
    localhost_profile: Option<String>,
}

/// The annotation by which pods of old clusters name their profile.
const OLD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";

impl Pod {
    /// The files in the operator directory that the pod uses. None once it has ended.
    pub(crate) fn seccomp_files(&self) -> Vec<String> {
        if matches!(self.status.phase.as_str(), "Succeeded" | "Failed") {
            return Vec::new();
        }
        let PodSpec {
            security_context,
            containers,
            init_containers,
            ephemeral_containers,
            ..
        } = &self.spec;
        let contexts = containers
            .iter()
            .chain(init_containers)
            .chain(ephemeral_containers)
            .filter_map(|container| container.security_context.as_ref())
            .chain(security_context);
        let profiles = contexts.filter_map(|context| context.seccomp_profile.as_ref());
        let named = profiles
            .filter(|profile| profile.r#type == "Localhost")
            .filter_map(|profile| profile.localhost_profile.as_deref());
        let annotated = self
            .annotations()
            .get(OLD_ANNOTATION)
            .and_then(|value| value.strip_prefix("localhost/"));
        let mut files: Vec<String> = named
            .chain(annotated)
            .filter_map(|path| path.strip_prefix("operator/"))
            .filter(|file| !file.contains('/'))
            .map(str::to_owned)
            .collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// The node on which the pod runs a daemon of ours, if it is one.
    pub(crate) fn daemon_on(&self, namespace: &str) -> Option<&str> {
        let label = |key: &str| self.labels().get(key).map(String::as_str);
        let ours = self.metadata.namespace.as_deref() == Some(namespace)
            && label("app") == Some("security-profiles-operator")
            && label("name") == Some("spod");
        self.spec.node_name.as_deref().filter(|_| ours)
    }
}

/// A node.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "v1::Node")]
pub(crate) struct Node {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<NodeCondition>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct NodeCondition {
    r#type: String,
    status: String,
}

impl Node {
    /// Whether the node answers. One whose condition `Ready` is `False` or `Unknown` does not.
    pub(crate) fn is_up(&self) -> bool {
        let ready = self
            .status
            .conditions
            .iter()
            .find(|condition| condition.r#type == "Ready");
        ready.is_none_or(|condition| condition.status == "True")
    }
}

/// A node status.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "SecurityProfileNodeStatus")]
pub(crate) struct NodeReport {
    pub(crate) metadata: ObjectMeta,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) spec: Option<SecurityProfileNodeStatusSpec>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) status: Option<SecurityProfileNodeStatusStatus>,
}

/// Objects in the shape of an old release must not fail the list.
fn lenient<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

impl NodeReport {
    /// The kind, name and uid of what the report is about.
    pub(crate) fn subject(&self) -> Option<(&str, &str, &str)> {
        let owner = self
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true))?;
        Some((&owner.kind, &owner.name, &owner.uid))
    }

    /// What it says, if it says anything.
    pub(crate) fn state(&self) -> Option<ProfileState> {
        self.status.as_ref()?.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(text: &str) -> Pod {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn files_of_every_container_count_until_the_pod_has_ended() {
        let running = "
metadata:
  name: web
  annotations: {seccomp.security.alpha.kubernetes.io/pod: localhost/operator/old.json}
spec:
  securityContext: {seccompProfile: {type: Localhost, localhostProfile: operator/pod.json}}
  containers:
  - securityContext: {seccompProfile: {type: Localhost, localhostProfile: operator/a.json}}
  - securityContext: {seccompProfile: {type: RuntimeDefault}}
  - {}
  initContainers:
  - securityContext: {seccompProfile: {type: Localhost, localhostProfile: operator/ns/b.json}}
  ephemeralContainers:
  - securityContext: {seccompProfile: {type: Localhost, localhostProfile: operator/c.json}}
  - securityContext: {seccompProfile: {type: Localhost, localhostProfile: other/d.json}}
";
        assert_eq!(
            pod(running).seccomp_files(),
            ["a.json", "c.json", "old.json", "pod.json"]
        );
        let ended = format!("{running}status: {{phase: Succeeded}}\n");
        assert!(pod(&ended).seccomp_files().is_empty());
    }
}

//! Objects as the manager holds them: the few fields that it reads.
//!
//! A cluster has far more pods than pods with a profile of ours; of the others nothing stays.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use spo_api::node_status::{
    ProfileState, SecurityProfileNodeStatus, SecurityProfileNodeStatusSpec,
    SecurityProfileNodeStatusStatus,
};
use spo_profile::layout;
use spo_profile::selinux::name::BlockName;

use crate::kind::Use;

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
    seccomp_profile: Option<LocalProfile>,
    app_armor_profile: Option<LocalProfile>,
    se_linux_options: Option<SelinuxOptions>,
}

impl SecurityContext {
    fn uses(&self) -> impl Iterator<Item = Use> + use<> {
        let seccomp = self.seccomp_profile.as_ref().and_then(LocalProfile::named);
        let apparmor = self.app_armor_profile.as_ref();
        let apparmor = apparmor.and_then(LocalProfile::named);
        let selinux = self.se_linux_options.as_ref();
        let selinux = selinux.and_then(|options| options.r#type.as_deref());
        let all = [
            seccomp.and_then(seccomp_file),
            apparmor.map(|name| Use::AppArmor(name.to_owned())),
            selinux.and_then(BlockName::of_usage).map(Use::SelinuxType),
        ];
        all.into_iter().flatten()
    }
}

/// The file in the operator directory that a path below the directory of the kubelet means.
fn seccomp_file(path: &str) -> Option<Use> {
    let file = path.strip_prefix(layout::OPERATOR_DIR)?.strip_prefix('/')?;
    (!file.contains('/')).then(|| Use::SeccompFile(file.to_owned()))
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct LocalProfile {
    r#type: String,
    localhost_profile: Option<String>,
}

impl LocalProfile {
    fn named(&self) -> Option<&str> {
        let localhost = self.r#type == "Localhost";
        self.localhost_profile.as_deref().filter(|_| localhost)
    }
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct SelinuxOptions {
    r#type: Option<String>,
}

/// The annotation by which pods of old clusters name their seccomp profile.
const OLD_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// How the annotations begin by which pods of old clusters name the AppArmor profile of a container.
const OLD_APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

impl Pod {
    /// What the pod uses that may be a profile of ours, sorted. None once it has ended.
    pub(crate) fn uses(&self) -> Vec<Use> {
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
        let annotated = self.annotations().iter().filter_map(|(key, value)| {
            let name = value.strip_prefix("localhost/")?;
            if key == OLD_SECCOMP {
                seccomp_file(name)
            } else {
                let container = key.strip_prefix(OLD_APPARMOR);
                container.map(|_| Use::AppArmor(name.to_owned()))
            }
        });
        let uses: BTreeSet<Use> = contexts
            .flat_map(SecurityContext::uses)
            .chain(annotated)
            .collect();
        uses.into_iter().collect()
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
pub(crate) fn lenient<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
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
        let file = |name: &str| Use::SeccompFile(name.to_owned());
        assert_eq!(
            pod(running).uses(),
            ["a.json", "c.json", "old.json", "pod.json"].map(file)
        );
        let ended = format!("{running}status: {{phase: Succeeded}}\n");
        assert!(pod(&ended).uses().is_empty());
    }

    #[test]
    fn selinux_types_and_apparmor_profiles_of_every_container_count() {
        let text = "
metadata:
  name: web
  annotations:
    container.apparmor.security.beta.kubernetes.io/a: localhost/old
    container.apparmor.security.beta.kubernetes.io/b: runtime/default
    example.com/c: localhost/other
spec:
  securityContext:
    seLinuxOptions: {type: pod.process}
    appArmorProfile: {type: Localhost, localhostProfile: pod}
  containers:
  - securityContext:
      seLinuxOptions: {type: a.process, level: s0}
      appArmorProfile: {type: Localhost, localhostProfile: a}
  - securityContext:
      seLinuxOptions: {type: spc_t}
      appArmorProfile: {type: Unconfined}
  - securityContext: {seLinuxOptions: {level: s0}}
  initContainers:
  - securityContext: {seLinuxOptions: {type: b.process}}
  ephemeralContainers:
  - securityContext: {appArmorProfile: {type: Localhost, localhostProfile: c}}
";
        let types = ["a", "b", "pod"];
        let types = types.map(|name| Use::SelinuxType(BlockName::parse(name).unwrap()));
        let names = ["a", "c", "old", "pod"].map(|name| Use::AppArmor(name.to_owned()));
        let expected: Vec<Use> = types.into_iter().chain(names).collect();
        assert_eq!(pod(text).uses(), expected);
        let ended = format!("{text}status: {{phase: Failed}}\n");
        assert!(pod(&ended).uses().is_empty());
    }
}

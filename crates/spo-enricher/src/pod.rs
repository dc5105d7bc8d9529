//! Pure. A pod as the enrichers hold it: its containers, and which recordings they belong to.

use std::sync::Arc;

use k8s_openapi::api::core::v1;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use serde::Deserialize;

/// A pod.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "v1::Pod")]
pub(crate) struct Pod {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: String,
}

/// A container of a pod, as lines name it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    /// The recording it belongs to, or empty.
    pub(crate) recording: String,
    /// The UID of the pod; and for a static pod, whose object is a mirror with a UID of its own,
    /// the one that the kubelet knows it by.
    uids: [Option<String>; 2],
}

/// What the kubelet writes on the mirror of a static pod.
const STATIC_UID: &str = "kubernetes.io/config.hash";
/// Which recording a container belongs to, as the recording webhook says.
const RECORDINGS: [&str; 2] = ["io.containers.trace-logs/", "io.containers.trace-avcs/"];

impl Home {
    /// Whether a control group of that pod can be this container's.
    pub(crate) fn is_of(&self, pod_uid: &str) -> bool {
        self.uids.iter().flatten().any(|uid| uid == pod_uid)
    }
}

impl Pod {
    /// The containers that have started, by their IDs.
    pub(crate) fn homes(&self) -> Vec<(Box<str>, Arc<Home>)> {
        let status = &self.status;
        let statuses = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .chain(&status.ephemeral_container_statuses);
        let started = statuses.filter_map(|status| Some((id(&status.container_id)?, status)));
        started
            .map(|(id, status)| (id.into(), Arc::new(self.home(&status.name))))
            .collect()
    }

    fn home(&self, container: &str) -> Home {
        let annotations = self.annotations();
        let recording = RECORDINGS
            .iter()
            .find_map(|prefix| annotations.get(&format!("{prefix}{container}")));
        Home {
            namespace: self.namespace().unwrap_or_default(),
            pod: self.name_any(),
            container: container.to_owned(),
            recording: recording.cloned().unwrap_or_default(),
            uids: [self.uid(), annotations.get(STATIC_UID).cloned()],
        }
    }
}

/// The 64 hexadecimal digits of `containerd://…`, `cri-o://…` and the like.
fn id(container_id: &str) -> Option<&str> {
    let digits = container_id.rsplit('/').next()?;
    let is_id = digits.len() == 64
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then_some(digits)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A pod with one container of this ID.
    pub(crate) fn pod(name: &str, uid: &str, container_id: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "namespace": "default", "uid": uid,
                "annotations": { "io.containers.trace-logs/app": "recording-1" },
            },
            "status": { "containerStatuses": [
                { "name": "app", "containerID": format!("containerd://{container_id}") },
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn containers_of_every_kind_that_have_started() {
        let id = |digit: &str| digit.repeat(64);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u",
                "annotations": {
                    "kubernetes.io/config.hash": "h",
                    "io.containers.trace-avcs/c": "avcs",
                    "io.containers.trace-logs/c": "logs",
                    "io.containers.trace-avcs/i": "avcs",
                },
            },
            "status": {
                "initContainerStatuses": [
                    { "name": "i", "containerID": format!("cri-o://{}", id("a")) },
                ],
                "containerStatuses": [
                    { "name": "c", "containerID": format!("containerd://{}", id("b")) },
                    { "name": "waits", "containerID": "" },
                    { "name": "waits-too" },
                    { "name": "strange", "containerID": "other://1234" },
                ],
                "ephemeralContainerStatuses": [
                    { "name": "e", "containerID": format!("docker://{}", id("c")) },
                ],
            },
        }))
        .unwrap();
        let homes = pod.homes();
        let found: Vec<(&str, &str, &str)> = homes
            .iter()
            .map(|(id, home)| (&id[..1], &*home.container, &*home.recording))
            .collect();
        assert_eq!(
            found,
            [("a", "i", "avcs"), ("b", "c", "logs"), ("c", "e", "")]
        );
        let home = &homes[0].1;
        assert_eq!((&*home.namespace, &*home.pod), ("n", "p"));
        assert!(home.is_of("u") && home.is_of("h") && !home.is_of("x"));
    }

    #[test]
    fn a_pod_without_status_has_no_containers() {
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "p" } })).unwrap();
        assert!(pod.homes().is_empty());
    }
}

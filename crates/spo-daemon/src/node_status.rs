//! Pure. Node statuses as objects: what a node writes to the API server about a profile, or itself.
//!
//! They are written through the version `v1report`, in which the status is part of the object: one
//! request instead of two (docs/decisions/0001-node-reports.md).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use spo_api::node_status::{
    Mechanism, REPORT_VERSION, SecurityProfileNodeStatus, SecurityProfileNodeStatusStatus,
    report_resource,
};
use spo_api::{GROUP, meta};
use spo_kube::step::{Part, Step, Target};

use crate::profile::{Report, Subject};

/// A node status as it is held in memory.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "SecurityProfileNodeStatus")]
pub(crate) struct HeldNodeStatus {
    pub(crate) metadata: ObjectMeta,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<SecurityProfileNodeStatusStatus>,
}

/// A status in the shape of an old release must not fail the list; it is replaced anyway.
fn lenient<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecurityProfileNodeStatusStatus>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

impl HeldNodeStatus {
    /// The profile that owns the node status.
    pub(crate) fn subject(&self) -> Option<(Subject, &str)> {
        let owner = self
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true))?;
        let subject = Subject {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
        };
        Some((subject, &owner.uid))
    }

    /// What it says, if it says anything.
    pub(crate) fn report(&self) -> Option<Report> {
        let status = self.status.as_ref()?;
        Some(Report {
            state: status.status?,
            reason: status.reason.clone(),
            message: status.message.clone(),
            observed_generation: status.observed_generation,
        })
    }

    /// The mechanisms that it lists: those of a node.
    pub(crate) fn mechanisms(&self) -> &[Mechanism] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.mechanisms)
    }
}

/// The profile that a node status is written for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// The object's name.
pub(crate) fn name(owner: &Owner, node: &str) -> String {
    meta::node_status_name(&owner.kind, &owner.name, node)
}

/// The write that makes the node status say `report`: a creation, or a change if it `exists`.
pub(crate) fn write(owner: &Owner, node: &str, report: &Report, exists: bool) -> Step {
    let target = target(name(owner, node));
    let mut object = json!({
        "metadata": {
            "labels": {
                meta::LABEL_PROFILE_ID: meta::profile_id(&owner.kind, &owner.name),
                meta::LABEL_NODE_NAME: meta::label_value(node),
                meta::LABEL_PROFILE_STATE: report.state.as_str(),
                meta::LABEL_PROFILE_KIND: owner.kind,
            },
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": { "nodeName": node },
        "status": status(report),
    });
    finish(&mut object, target, exists)
}

/// The write that makes the object of the node itself list `mechanisms`.
pub(crate) fn write_node(node: &Node, mechanisms: &[Mechanism], exists: bool) -> Step {
    let target = target(node_object_name(&node.name));
    let owner = Owner {
        api_version: "v1".to_owned(),
        kind: meta::KIND_NODE.to_owned(),
        name: node.name.clone(),
        uid: node.uid.clone(),
    };
    let mut object = json!({
        "metadata": {
            "labels": {
                meta::LABEL_NODE_NAME: meta::label_value(&node.name),
                meta::LABEL_PROFILE_KIND: meta::KIND_NODE,
            },
            // The object goes with its node. It holds nothing back.
            "ownerReferences": [OwnerReference {
                block_owner_deletion: None,
                ..owner_reference(&owner)
            }],
        },
        "spec": { "nodeName": node.name },
        "status": { "mechanisms": mechanisms },
    });
    finish(&mut object, target, exists)
}

/// A node and its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Selects the node statuses of a node, by their labels.
pub(crate) fn selector(node: &Node) -> String {
    format!(
        "{}={}",
        meta::LABEL_NODE_NAME,
        meta::label_value(&node.name)
    )
}

/// The name of the object that describes a node.
pub(crate) fn node_object_name(node: &str) -> String {
    meta::node_status_name(meta::KIND_NODE, "node", node)
}

/// The deletion of a node status.
pub(crate) fn withdraw(name: &str) -> Step {
    Step::Delete {
        target: target(name.to_owned()),
        uid: None,
    }
}

fn target(name: String) -> Target {
    Target {
        resource: report_resource(),
        namespace: None,
        name,
    }
}

fn owner_reference(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The status; in a merge patch, `null` takes away what a former report said.
fn status(report: &Report) -> Value {
    let Report {
        state,
        reason,
        message,
        observed_generation,
    } = report;
    json!({
        "status": state.as_str(),
        "reason": reason,
        "message": message,
        "observedGeneration": observed_generation,
    })
}

fn finish(object: &mut Value, target: Target, exists: bool) -> Step {
    if exists {
        return Step::Patch {
            target,
            part: Part::Object,
            patch: object.take(),
        };
    }
    let mut object = object.take();
    object["apiVersion"] = json!(format!("{GROUP}/{REPORT_VERSION}"));
    object["kind"] = json!("SecurityProfileNodeStatus");
    object["metadata"]["name"] = json!(target.name);
    if let Some(status) = object["status"].as_object_mut() {
        status.retain(|_, value| !value.is_null());
    }
    Step::Create { target, object }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spo_api::node_status::ProfileState;

    fn owner() -> Owner {
        Owner {
            api_version: format!("{GROUP}/v1"),
            kind: "SeccompProfile".to_owned(),
            name: "web".to_owned(),
            uid: "u".to_owned(),
        }
    }

    fn installed() -> Report {
        Report {
            state: ProfileState::Installed,
            reason: None,
            message: None,
            observed_generation: Some(3),
        }
    }

    #[test]
    fn a_report_is_one_write_with_labels_and_status() {
        let Step::Create { target, object } = write(&owner(), "node-1", &installed(), false) else {
            panic!("not a creation");
        };
        assert_eq!(target.resource.version, "v1report");
        assert_eq!(
            object["status"],
            json!({"status": "Installed", "observedGeneration": 3})
        );
        assert_eq!(
            object["metadata"]["labels"][meta::LABEL_PROFILE_STATE],
            "Installed"
        );
        assert_eq!(
            object["metadata"]["labels"][meta::LABEL_PROFILE_ID],
            "SeccompProfile-web"
        );
        assert_eq!(object["metadata"]["ownerReferences"][0]["controller"], true);
    }

    #[test]
    fn a_changed_report_takes_an_old_error_away() {
        let Step::Patch { patch, .. } = write(&owner(), "node-1", &installed(), true) else {
            panic!("not a patch");
        };
        assert_eq!(patch["status"]["message"], Value::Null);
        assert!(patch["status"].as_object().unwrap().contains_key("message"));
    }
}

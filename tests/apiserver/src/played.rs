//! Nodes without a daemon: what a daemon would write about them is written by the test.
//!
//! Also profiles of any kind as JSON, because a node of this machine does not offer them all.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use spo_api::node_status::{REPORT_VERSION, report_resource};
use spo_api::{GROUP, meta};

use crate::wait::{SOON, eventually};

/// The profiles of a kind.
#[derive(Clone)]
pub struct Profiles {
    kind: &'static str,
    /// All of them.
    pub api: Api<DynamicObject>,
}

impl Profiles {
    /// The profiles of a kind, with its plural.
    pub fn new(client: &Client, kind: &'static str, plural: &str) -> Self {
        let gvk = GroupVersionKind::gvk(GROUP, "v1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        Self {
            kind,
            api: Api::all_with(client.clone(), &resource),
        }
    }

    /// The kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Creates one.
    pub async fn create(&self, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": self.kind,
            "metadata": { "name": name },
            "spec": spec,
        });
        let object = serde_json::from_value(object).unwrap();
        self.api
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Changes one by a merge patch.
    pub async fn patch(&self, name: &str, patch: Value) {
        self.api
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Asks for a deletion.
    pub async fn delete(&self, name: &str) {
        self.api
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until one is as `look` wants it.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        look: impl Fn(&DynamicObject) -> bool,
    ) -> DynamicObject {
        let what = format!("{} {name} {what}", self.kind);
        eventually(SOON, &what, async || {
            let found = self.api.get(name).await.map_err(|e| e.to_string())?;
            if look(&found) {
                Ok(found)
            } else {
                Err(format!("{:?} {}", found.finalizers(), found.data["status"]))
            }
        })
        .await
    }

    /// Waits until a condition of one says this, of the generation that it has: status and reason,
    /// and all these texts in the message.
    pub async fn says(
        &self,
        name: &str,
        type_: &str,
        says: (&str, &str),
        texts: &[&str],
    ) -> DynamicObject {
        let what = format!("says {type_} {says:?} {texts:?}");
        self.until(name, &what, |found| {
            let Some(condition) = condition(found, type_) else {
                return false;
            };
            let message = condition["message"].as_str().unwrap_or_default();
            (condition["status"].as_str(), condition["reason"].as_str())
                == (Some(says.0), Some(says.1))
                && condition["observedGeneration"].as_i64() == found.metadata.generation
                && texts.iter().all(|text| message.contains(text))
        })
        .await
    }

    /// Waits until one is gone.
    pub async fn gone(&self, name: &str) {
        eventually(
            SOON,
            &format!("{} {name} is gone", self.kind),
            async || match self.api.get_opt(name).await.unwrap() {
                None => Ok(()),
                Some(left) => Err(format!("{:?} {}", left.finalizers(), left.data["status"])),
            },
        )
        .await;
    }
}

/// A condition of an object.
pub fn condition<'a>(object: &'a DynamicObject, type_: &str) -> Option<&'a Value> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == type_)
}

/// What a daemon would write about the node that it runs on.
#[derive(Clone)]
pub struct PlayedNode<'a> {
    /// The administrator.
    pub client: &'a Client,
    /// The name of the node.
    pub name: &'a str,
}

impl PlayedNode<'_> {
    fn reports(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &report_resource())
    }

    async fn write(&self, name: &str, mut object: Value) {
        object["apiVersion"] = json!(format!("{GROUP}/{REPORT_VERSION}"));
        object["kind"] = json!("SecurityProfileNodeStatus");
        object["metadata"]["name"] = json!(name);
        let params = PatchParams::apply(self.name).force();
        self.reports()
            .patch(name, &params, &Patch::Apply(object))
            .await
            .unwrap();
    }

    /// Says which mechanisms the node offers: with each of the others, why not.
    pub async fn offers(&self, mechanisms: &[(&str, Option<&str>)]) {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
        let node = nodes.get_metadata(self.name).await.unwrap();
        let mechanisms: Vec<Value> = mechanisms
            .iter()
            .map(|(name, lacks)| match lacks {
                None => json!({ "name": name, "available": true }),
                Some(why) => json!({ "name": name, "available": false, "message": why }),
            })
            .collect();
        let object = json!({
            "metadata": {
                "labels": {
                    meta::LABEL_NODE_NAME: meta::label_value(self.name),
                    meta::LABEL_PROFILE_KIND: meta::KIND_NODE,
                },
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Node", "name": self.name, "uid": node.uid(),
                    "controller": true,
                }],
            },
            "spec": { "nodeName": self.name },
            "status": { "mechanisms": mechanisms },
        });
        let name = meta::node_status_name(meta::KIND_NODE, "node", self.name);
        self.write(&name, object).await;
    }

    /// Reports about a profile, in the generation that it has.
    pub async fn reports_state(&self, profiles: &Profiles, profile: &str, status: Value) {
        let found = profiles.api.get(profile).await.unwrap();
        let kind = profiles.kind();
        let mut status = status;
        status["observedGeneration"] = json!(found.metadata.generation);
        let object = json!({
            "metadata": {
                "labels": {
                    meta::LABEL_PROFILE_ID: meta::profile_id(kind, profile),
                    meta::LABEL_NODE_NAME: meta::label_value(self.name),
                    meta::LABEL_PROFILE_STATE: status["status"],
                    meta::LABEL_PROFILE_KIND: kind,
                },
                "ownerReferences": [{
                    "apiVersion": format!("{GROUP}/v1"), "kind": kind, "name": profile,
                    "uid": found.uid(), "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": { "nodeName": self.name },
            "status": status,
        });
        let name = meta::node_status_name(kind, profile, self.name);
        self.write(&name, object).await;
    }

    /// Reports that a profile is installed.
    pub async fn installs(&self, profiles: &Profiles, profile: &str) {
        let status = json!({ "status": "Installed" });
        self.reports_state(profiles, profile, status).await;
    }

    /// Takes a report back, as when the profile is off the node.
    pub async fn removes(&self, profiles: &Profiles, profile: &str) {
        let name = meta::node_status_name(profiles.kind(), profile, self.name);
        self.reports()
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
    }
}

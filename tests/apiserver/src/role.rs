//! Permissions that are taken away from the manager for a while.

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::cluster::NAMESPACE;
use crate::wait::{SOON, eventually};

/// The manager's account, ClusterRole and Role.
const NAME: &str = "security-profiles-operator";
/// On a role that was changed: the rules that it had.
const KEPT: &str = "spo.test/rules";

/// A permission of the manager.
#[derive(Debug, Clone, Copy)]
pub struct Permission {
    /// `patch`, for instance.
    pub verb: &'static str,
    /// The API group.
    pub group: &'static str,
    /// The plural.
    pub resource: &'static str,
    /// The subresource, empty for the object itself.
    pub subresource: &'static str,
    /// An object that it is for.
    pub name: &'static str,
}

impl Permission {
    fn in_role(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }
}

fn roles(client: &Client) -> [Api<DynamicObject>; 2] {
    let resource = |kind: &str, plural: &str| {
        let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
        ApiResource::from_gvk_with_plural(&gvk, plural)
    };
    [
        Api::all_with(client.clone(), &resource("ClusterRole", "clusterroles")),
        Api::namespaced_with(client.clone(), NAMESPACE, &resource("Role", "roles")),
    ]
}

/// Takes one permission away, and nothing else. Returns when the API server acts on it.
pub async fn deny(client: &Client, permission: &Permission) {
    for api in roles(client) {
        let role = api.get(NAME).await.unwrap();
        let before = &role.data["rules"];
        let after = without(before, permission);
        if *before == after {
            continue;
        }
        let kept = json!({ KEPT: before.to_string() });
        write(
            &api,
            json!({ "metadata": { "annotations": kept }, "rules": after }),
        )
        .await;
    }
    until(client, permission, false).await;
}

/// Gives a permission back.
pub async fn give_back(client: &Client, permission: &Permission) {
    restore(client).await;
    until(client, permission, true).await;
}

/// Gives everything back that [`deny`] has taken away, also in a test that has failed.
pub async fn restore(client: &Client) {
    for api in roles(client) {
        let role = api.get(NAME).await.unwrap();
        let annotations = role.metadata.annotations.unwrap_or_default();
        if let Some(rules) = annotations.get(KEPT) {
            let rules: Value = serde_json::from_str(rules).unwrap();
            let kept = json!({ KEPT: null });
            write(
                &api,
                json!({ "metadata": { "annotations": kept }, "rules": rules }),
            )
            .await;
        }
    }
}

async fn write(api: &Api<DynamicObject>, patch: Value) {
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

/// Rules without a permission: a rule that gives it gives the rest of what it gave.
fn without(rules: &Value, permission: &Permission) -> Value {
    let list = |rule: &Value, field: &str| -> Vec<Value> {
        rule[field].as_array().cloned().unwrap_or_default()
    };
    let (resource, verb) = (json!(permission.in_role()), json!(permission.verb));
    let mut left = Vec::new();
    for rule in rules.as_array().unwrap() {
        let (resources, verbs) = (list(rule, "resources"), list(rule, "verbs"));
        let concerns = list(rule, "apiGroups").contains(&json!(permission.group))
            && resources.contains(&resource)
            && verbs.contains(&verb);
        if !concerns {
            left.push(rule.clone());
            continue;
        }
        let others: Vec<&Value> = resources
            .iter()
            .filter(|other| **other != resource)
            .collect();
        if !others.is_empty() {
            let mut rest = rule.clone();
            rest["resources"] = json!(others);
            left.push(rest);
        }
        let verbs: Vec<&Value> = verbs.iter().filter(|other| **other != verb).collect();
        if !verbs.is_empty() {
            let mut rest = rule.clone();
            rest["resources"] = json!([resource]);
            rest["verbs"] = json!(verbs);
            left.push(rest);
        }
    }
    json!(left)
}

async fn until(client: &Client, permission: &Permission, allowed: bool) {
    let Permission {
        verb,
        group,
        resource,
        subresource,
        name,
    } = permission;
    let review: SubjectAccessReview = serde_json::from_value(json!({ "spec": {
        "user": format!("system:serviceaccount:{NAMESPACE}:{NAME}"),
        "resourceAttributes": {
            "verb": verb, "group": group, "resource": resource, "subresource": subresource,
            "name": name, "namespace": NAMESPACE,
        },
    } }))
    .unwrap();
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    eventually(SOON, &format!("{permission:?}: {allowed}"), async || {
        let answer = api.create(&PostParams::default(), &review).await.unwrap();
        match answer.status {
            Some(status) if status.allowed == allowed => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

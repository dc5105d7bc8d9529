//! Runs after the suite: every permission that our accounts have was used by a test of it, or is
//! listed here with the reason why it could not be.
//!
//! That no permission is missing shows in the suite itself, which runs the components under their
//! real accounts. Cargo runs targets in the order of their names, and a filter leaves this one out.

#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]

use std::collections::BTreeSet;

use serde_json::Value;
use spo_test_apiserver::audit::{self, Request};
use spo_test_apiserver::env::repository;

/// What the suite can not use: account, group, resource, verb, and why.
const UNUSED: &[(&str, &str, &str, &str, &str)] = &[
    (
        "security-profiles-operator",
        "config.openshift.io",
        "clusteroperators",
        "get",
        "only OpenShift has it",
    ),
    (
        "spod",
        "security-profiles-operator.x-k8s.io",
        "apparmorprofiles",
        "list",
        "only on a kernel with AppArmor: tests/vm",
    ),
    (
        "spod",
        "security-profiles-operator.x-k8s.io",
        "apparmorprofiles",
        "watch",
        "only on a kernel with AppArmor: tests/vm",
    ),
];

/// Permissions that are never asked for by a request of their own.
const IMPLIED: &[(&str, &str)] = &[
    // OwnerReferencesPermissionEnforcement looks at it when an owner reference is written.
    ("/finalizers", "update"),
    // OpenShift looks at it when a pod is created.
    ("securitycontextconstraints", "use"),
];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    account: String,
    group: String,
    resource: String,
    verb: String,
    names: Vec<String>,
    namespaced: bool,
}

fn permissions() -> Vec<Permission> {
    let mut found = Vec::new();
    for file in [
        "rbac-enricher.yaml",
        "rbac-manager.yaml",
        "rbac-spod.yaml",
        "rbac-webhook.yaml",
    ] {
        let text = std::fs::read_to_string(repository().join("deploy/base").join(file)).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for role in documents
            .iter()
            .filter(|document| document["kind"] == "Role" || document["kind"] == "ClusterRole")
        {
            let texts = |value: &Value| -> Vec<String> {
                let items = value.as_array().into_iter().flatten();
                items
                    .map(|item| item.as_str().unwrap().to_owned())
                    .collect()
            };
            for rule in role["rules"].as_array().unwrap() {
                for group in texts(&rule["apiGroups"]) {
                    for resource in texts(&rule["resources"]) {
                        for verb in texts(&rule["verbs"]) {
                            found.push(Permission {
                                account: role["metadata"]["name"].as_str().unwrap().to_owned(),
                                group: group.clone(),
                                resource: resource.clone(),
                                verb,
                                names: texts(&rule["resourceNames"]),
                                namespaced: role["kind"] == "Role",
                            });
                        }
                    }
                }
            }
        }
    }
    found
}

impl Permission {
    /// Whether a request needed it.
    fn covers(&self, request: &Request) -> bool {
        // An apply of something that is not there asks for its creation, too.
        let verb = request.verb == self.verb
            || (self.verb == "create" && request.verb == "patch" && request.created);
        verb && self.account == request.account
            && self.group == request.group
            && self.resource == request.resource
            && (self.names.is_empty()
                || self.names.contains(&request.name)
                || request.name.is_empty())
            && (!self.namespaced || !request.namespace.is_empty())
    }

    fn is_implied(&self) -> bool {
        IMPLIED
            .iter()
            .any(|(end, verb)| self.resource.ends_with(end) && self.verb == *verb)
    }

    fn exception(
        &self,
    ) -> Option<&'static (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    )> {
        UNUSED.iter().find(|(account, group, resource, verb, _)| {
            self.account == *account
                && self.group == *group
                && self.resource == *resource
                && self.verb == *verb
        })
    }
}

#[test]
fn every_permission_is_used() {
    let requests = audit::requests();
    assert!(!requests.is_empty(), "the suite has not run before");
    let mut problems = BTreeSet::new();
    for permission in permissions() {
        let used = requests.iter().any(|request| permission.covers(request));
        let Permission {
            account,
            group,
            resource,
            verb,
            ..
        } = &permission;
        let text = format!("{account}: {verb} {resource} ({group})");
        match (used, permission.exception()) {
            (false, None) if !permission.is_implied() => {
                problems.insert(format!(
                    "{text}: no test uses it; take it away, or say why it stays"
                ));
            }
            (true, Some(_)) => {
                problems.insert(format!("{text}: it is used, so it is no exception"));
            }
            _ => {}
        }
    }
    let problems: Vec<String> = problems.into_iter().collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

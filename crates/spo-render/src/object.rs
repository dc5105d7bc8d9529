//! Metadata of objects, and taking out what is absent.

use serde_json::{Map, Value, json};

use crate::facts::Facts;
use crate::names;

/// Metadata of an object in the namespace of the operator, which the SPOD owns.
///
/// `more` are labels and annotations besides the ones that everything has.
pub(crate) fn namespaced(facts: &Facts, name: &str, more: More<'_>) -> Value {
    let owner = facts.owner.as_ref().map(|owner| {
        json!([{
            "apiVersion": group_version(),
            "kind": "SecurityProfilesOperatorDaemon",
            "name": owner.name,
            "uid": owner.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }])
    });
    json!({
        "name": name,
        "namespace": facts.namespace,
        "labels": labels(more.labels),
        "annotations": annotations(more.annotations),
        "ownerReferences": owner,
    })
}

/// Metadata of a webhook configuration, which the cluster-scoped owner owns.
pub(crate) fn cluster_scoped(facts: &Facts, name: &str, more: More<'_>) -> Value {
    let owner = facts.cluster_owner.as_ref().map(|owner| {
        json!([{
            "apiVersion": owner.api_version,
            "kind": owner.kind,
            "name": owner.name,
            "uid": owner.uid,
        }])
    });
    json!({
        "name": name,
        "labels": labels(more.labels),
        "annotations": annotations(more.annotations),
        "ownerReferences": owner,
    })
}

/// Labels and annotations besides the ones that everything has.
#[derive(Clone, Copy, Default)]
pub(crate) struct More<'a> {
    pub(crate) labels: &'a [(&'a str, &'a str)],
    pub(crate) annotations: &'a [(&'a str, &'a str)],
}

/// The labels of everything, and these.
pub(crate) fn labels(more: &[(&str, &str)]) -> Value {
    let mut labels = pairs(more);
    labels.insert("app".to_owned(), names::OPERATOR.into());
    Value::Object(labels)
}

/// Takes out the members of objects which are null: in a renderer that is what is absent.
pub(crate) fn prune(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, prune(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(prune).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// A value of the Kubernetes API as JSON.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("a type of the Kubernetes API has text as keys")
}

/// A list as JSON, if there is anything in it.
pub(crate) fn unless_empty<T: serde::Serialize>(list: &[T]) -> Option<Value> {
    (!list.is_empty()).then(|| to_json(&list))
}

fn annotations(annotations: &[(&str, &str)]) -> Option<Value> {
    (!annotations.is_empty()).then(|| Value::Object(pairs(annotations)))
}

fn pairs(pairs: &[(&str, &str)]) -> Map<String, Value> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect()
}

fn group_version() -> String {
    format!("{}/v1", spo_api::GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_null_is_absent() {
        let value = json!({"a": null, "b": [{"c": null, "d": {}}], "e": "", "f": false});
        assert_eq!(prune(value), json!({"b": [{"d": {}}], "e": "", "f": false}));
    }
}

//! Pure. What is in the cluster against what was rendered: does it say the same, and whose is it?

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use spo_kube::execute::FIELD_MANAGER;

/// On every object that the operator applies: a digest of what was rendered. An object with it was
/// made by us, and one with another digest is due.
pub(super) const RENDERED: &str = "spo.x-k8s.io/rendered";

/// Gives a rendered object its digest.
pub(super) fn stamp(mut object: Value) -> Value {
    let digest = Sha256::digest(object.to_string().as_bytes());
    let digest: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    object["metadata"]["annotations"][RENDERED] = json!(digest);
    object
}

/// Whether an object in the cluster was applied by us.
pub(super) fn is_ours(live: &Value) -> bool {
    live["metadata"]["annotations"][RENDERED].is_string()
}

/// Whether what a write has returned is news to a table. The watch may have shown more by then, or
/// that the object is gone, and would not show it a second time.
pub(super) fn is_newer(returned: &Value, known: &Value) -> bool {
    let version = |object: &Value| -> Option<u64> {
        object["metadata"]["resourceVersion"].as_str()?.parse().ok()
    };
    returned["metadata"]["uid"] == known["metadata"]["uid"] && version(returned) > version(known)
}

/// Whether `live` says everything that `rendered` says. What the API server or others have added to
/// it does not matter; what we have said earlier and do not say any more shows in the digest.
pub(super) fn covers(live: &Value, rendered: &Value) -> bool {
    match (live, rendered) {
        (Value::Object(live), Value::Object(rendered)) => rendered.iter().all(|(key, wanted)| {
            let found = live.get(key).unwrap_or(&Value::Null);
            if key == "matchExpressions" {
                return includes(found, wanted);
            }
            covers(found, wanted)
        }),
        (Value::Array(live), Value::Array(rendered)) => {
            live.len() == rendered.len() && live.iter().zip(rendered).all(|(l, r)| covers(l, r))
        }
        // An empty group is as good as none.
        (Value::Null, Value::Object(rendered)) => rendered.is_empty(),
        _ => live == rendered,
    }
}

/// Platforms add expressions of their own to the selectors of webhooks (AKS: `control-plane`); to
/// take them away again would be a fight without end.
fn includes(live: &Value, rendered: &Value) -> bool {
    let (Some(live), Some(rendered)) = (live.as_array(), rendered.as_array()) else {
        return live == rendered;
    };
    rendered
        .iter()
        .all(|wanted| live.iter().any(|found| covers(found, wanted)))
}

/// How to become the owner of the fields that upstream's operator has set, as a merge patch; `None`
/// if there are none.
///
/// Upstream writes by Update and Patch. Server-side apply takes only those fields away that an
/// earlier apply has set, so without this an object that upstream has made would keep what only
/// upstream wants, its privileges for instance. Source: client-go, `util/csaupgrade`.
pub(super) fn adoption(live: &Value) -> Option<Value> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let is_main = |entry: &Value| entry["subresource"].as_str().is_none_or(str::is_empty);
    let is_upstream = |entry: &&Value| {
        is_main(entry) && entry["manager"] == FIELD_MANAGER && entry["operation"] == "Update"
    };
    if !entries.iter().any(|entry| is_upstream(&entry)) {
        return None;
    }
    let is_applied = |entry: &&Value| {
        is_main(entry) && entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply"
    };
    let mut fields = Map::new();
    for entry in entries.iter().filter(|e| is_upstream(e) || is_applied(e)) {
        if let Some(more) = entry["fieldsV1"].as_object() {
            unite(&mut fields, more);
        }
    }
    let mut kept: Vec<Value> = entries
        .iter()
        .filter(|entry| !is_upstream(entry) && !is_applied(entry))
        .cloned()
        .collect();
    let version = entries.iter().find(is_upstream)?["apiVersion"].clone();
    kept.push(json!({
        "manager": FIELD_MANAGER,
        "operation": "Apply",
        "apiVersion": version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }));
    Some(json!({ "metadata": {
        "managedFields": kept,
        "resourceVersion": live["metadata"]["resourceVersion"],
    } }))
}

/// Unites two sets of fields: in FieldsV1 a set is a tree of objects whose leaves are empty.
fn unite(to: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (key, value) in more {
        match (to.get_mut(key).and_then(Value::as_object_mut), value) {
            (Some(to), Value::Object(more)) => unite(to, more),
            _ => {
                to.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn what_others_add_is_left_alone_and_what_they_change_is_not() {
        let rendered = yaml(
            "{metadata: {name: a}, spec: {args: [x], containers: [{name: c, image: i}], \
             selector: {matchExpressions: [{key: a, operator: Exists}]}, none: {}}}",
        );
        for (live, expected) in [
            (
                "{metadata: {name: a, uid: u}, spec: {args: [x], containers: [{name: c, image: i, \
                 terminationMessagePath: /dev}], selector: {matchExpressions: [{key: a, operator: \
                 Exists}, {key: control-plane, operator: DoesNotExist}]}, replicas: 1}}",
                true,
            ),
            (
                "{metadata: {name: a}, spec: {args: [x, y], containers: [{name: c, image: i}], \
                 selector: {matchExpressions: [{key: a, operator: Exists}]}}}",
                false,
            ),
            (
                "{metadata: {name: a}, spec: {args: [x], containers: [{name: c, image: evil}], \
                 selector: {matchExpressions: [{key: a, operator: Exists}]}}}",
                false,
            ),
            (
                "{metadata: {name: a}, spec: {args: [x], containers: [{name: c, image: i}, {name: \
                 d}], selector: {matchExpressions: [{key: a, operator: Exists}]}}}",
                false,
            ),
            (
                "{metadata: {name: a}, spec: {args: [x], containers: [{name: c, image: i}], \
                 selector: {matchExpressions: []}}}",
                false,
            ),
        ] {
            assert_eq!(covers(&yaml(live), &rendered), expected, "{live}");
        }
    }

    #[test]
    fn a_stamp_changes_with_what_was_rendered_only() {
        let one = stamp(json!({ "metadata": { "name": "a" } }));
        assert_eq!(one, stamp(json!({ "metadata": { "name": "a" } })));
        assert!(is_ours(&one));
        let other = stamp(json!({ "metadata": { "name": "a" }, "spec": 1 }));
        assert!(!covers(&one, &other));
    }

    #[test]
    fn what_a_write_returns_is_news_only_about_the_same_object() {
        let object = |uid: &str, version: &str| json!({ "metadata": { "uid": uid, "resourceVersion": version } });
        assert!(is_newer(&object("a", "10"), &object("a", "9")));
        assert!(!is_newer(&object("a", "9"), &object("a", "10")));
        assert!(!is_newer(&object("a", "10"), &object("b", "9")));
    }

    #[test]
    fn fields_that_upstream_has_set_become_ours() {
        let live = yaml(
            "
metadata:
  resourceVersion: '7'
  managedFields:
  - {manager: security-profiles-operator, operation: Update, apiVersion: apps/v1,
     fieldsV1: {'f:spec': {'f:a': {}, 'f:b': {'f:c': {}}}}}
  - {manager: security-profiles-operator, operation: Apply, apiVersion: apps/v1,
     fieldsV1: {'f:spec': {'f:b': {'f:d': {}}}}}
  - {manager: kubectl, operation: Update, apiVersion: apps/v1, fieldsV1: {'f:spec': {'f:e': {}}}}
  - {manager: security-profiles-operator, operation: Update, subresource: status}
",
        );
        let patch = adoption(&live).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let entries = patch["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[2]["operation"], "Apply");
        let expected = json!({ "f:spec": { "f:a": {}, "f:b": { "f:c": {}, "f:d": {} } } });
        assert_eq!(entries[2]["fieldsV1"], expected);

        let adopted = json!({ "metadata": { "managedFields": entries } });
        assert!(adoption(&adopted).is_none());
    }
}

//! Which profiles an event touches.

use super::*;
use serde_json::{Value, json};

fn profile(name: &str, age: u32, base: Option<&str>) -> Value {
    json!({
        "metadata": {
            "name": name,
            "uid": format!("uid-{name}"),
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": format!("2026-11-21T00:00:{age:02}Z"),
        },
        "spec": {"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": base},
    })
}

fn apply(index: &mut Index, profile: Value) -> Vec<String> {
    let held = serde_json::from_value(profile).unwrap();
    index
        .observe_profile(Event::Apply(held))
        .profiles
        .into_iter()
        .map(|profile| profile.name)
        .collect()
}

#[test]
fn a_changed_base_touches_all_that_extend_it() {
    let mut index = Index::default();
    assert_eq!(apply(&mut index, profile("a", 0, None)), ["a"]);
    assert_eq!(apply(&mut index, profile("b", 0, Some("a"))), ["b"]);
    assert_eq!(apply(&mut index, profile("c", 0, Some("b"))), ["c"]);
    let mut changed = profile("a", 0, None);
    changed["spec"]["syscalls"] = json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]);
    assert_eq!(apply(&mut index, changed.clone()), ["a", "b", "c"]);
    // The same again is no change.
    assert!(apply(&mut index, changed).is_empty());
    // A cycle ends.
    assert_eq!(
        apply(&mut index, profile("a", 0, Some("c"))),
        ["a", "b", "c"]
    );
    assert_eq!(index.chain("b").len(), 3);
    // A base that does not exist yet is remembered.
    apply(&mut index, profile("d", 0, Some("later")));
    assert_eq!(apply(&mut index, profile("later", 0, None)), ["d", "later"]);
}

#[test]
fn a_status_write_of_the_manager_touches_nothing() {
    let mut index = Index::default();
    apply(&mut index, profile("a", 0, None));
    let mut summed = profile("a", 0, None);
    summed["status"] = json!({"status": "Installed", "conditions": []});
    summed["metadata"]["resourceVersion"] = json!("2");
    summed["metadata"]["finalizers"] = json!(["spo.x-k8s.io/installed"]);
    assert!(apply(&mut index, summed).is_empty());
}

#[test]
fn the_older_of_two_profiles_has_the_file() {
    let mut index = Index::default();
    apply(&mut index, profile("a.json", 5, None));
    assert_eq!(index.rival("a.json"), None);
    assert_eq!(apply(&mut index, profile("a", 1, None)), ["a", "a.json"]);
    assert_eq!(index.rival("a.json").as_deref(), Some("a"));
    assert_eq!(index.rival("a"), None);
    assert_eq!(index.claimants("a.json").count(), 2);
    // When it goes, the other one is looked at.
    let gone = serde_json::from_value(profile("a", 1, None)).unwrap();
    let touched = index.observe_profile(Event::Delete(gone)).profiles;
    assert!(touched.contains(&subject("a.json")), "{touched:?}");
    assert_eq!(index.rival("a.json"), None);
}

#[test]
fn a_changed_restriction_touches_all_and_another_field_nothing() {
    let spod = |security: Value, verbosity: u32| -> HeldSpod {
        serde_json::from_value(json!({
            "apiVersion": "security-profiles-operator.x-k8s.io/v1",
            "kind": "SecurityProfilesOperatorDaemon",
            "metadata": {"name": "spod", "namespace": "security-profiles-operator"},
            "spec": {"verbosity": verbosity, "security": security},
        }))
        .unwrap()
    };
    let mut index = Index::default();
    index.observe_spod(Event::Init, "spod");
    assert!(index.observe_spod(Event::InitDone, "spod").all);
    let restricted = json!({"allowedSyscalls": ["read"]});
    assert!(
        index
            .observe_spod(Event::Apply(spod(restricted.clone(), 0)), "spod")
            .all
    );
    assert!(
        !index
            .observe_spod(Event::Apply(spod(restricted.clone(), 1)), "spod")
            .all
    );
    assert!(
        !index
            .observe_spod(Event::Apply(spod(restricted, 1)), "other")
            .all
    );
    assert!(
        index
            .observe_spod(Event::Delete(spod(json!({}), 1)), "spod")
            .all
    );
}

#[test]
fn a_deletion_is_released_by_the_condition() {
    let mut index = Index::default();
    let mut deleted = profile("a", 0, None);
    deleted["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:01:00Z");
    apply(&mut index, deleted.clone());
    assert_eq!(index.profile("a").unwrap().deletion, Deletion::Undecided);
    for (status, expected) in [("True", Deletion::HeldBack), ("False", Deletion::Released)] {
        deleted["status"] = json!({"conditions": [{
            "type": "InUse", "status": status, "reason": "R", "message": "",
            "lastTransitionTime": "2026-11-21T00:01:00Z",
        }]});
        assert_eq!(apply(&mut index, deleted.clone()), ["a"]);
        assert_eq!(index.profile("a").unwrap().deletion, expected);
    }
}

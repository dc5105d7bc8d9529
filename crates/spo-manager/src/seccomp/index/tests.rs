//! Which profiles an event touches, and what the plan gets to see.

use super::*;
use serde_json::{Value, json};

fn profile(name: &str) -> HeldSeccompProfile {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1,
                     "resourceVersion": "1"},
        "spec": {"defaultAction": "SCMP_ACT_ERRNO"},
    }))
    .unwrap()
}

fn report(profile: &str, node: &str, owner_uid: &str) -> NodeReport {
    serde_json::from_value(json!({
        "metadata": {"name": format!("{profile}-{node}"), "ownerReferences": [{
            "apiVersion": "security-profiles-operator.x-k8s.io/v1", "kind": "SeccompProfile",
            "name": profile, "uid": owner_uid, "controller": true}]},
        "spec": {"nodeName": node},
        "status": {"status": "Installed", "observedGeneration": 1},
    }))
    .unwrap()
}

fn registration_of(node: &str, available: bool) -> NodeReport {
    serde_json::from_value(json!({
        "metadata": {"name": format!("node-{node}"), "ownerReferences": [{
            "apiVersion": "v1", "kind": "Node", "name": node, "uid": "n", "controller": true}]},
        "spec": {"nodeName": node},
        "status": {"mechanisms": [{"name": "Seccomp", "available": available}]},
    }))
    .unwrap()
}

fn node(name: &str, ready: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }))
    .unwrap()
}

fn pod(name: &str, file: Option<&str>) -> Pod {
    let context = file.map_or(Value::Null, |file| {
        json!({"seccompProfile": {"type": "Localhost", "localhostProfile": format!("operator/{file}")}})
    });
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "a", "containers": [{"securityContext": context}]},
    }))
    .unwrap()
}

fn inputs(index: &Index, name: &str) -> Inputs {
    let now = Time("2026-11-21T00:00:00Z".parse().unwrap());
    index.inputs(name, "spod", Duration::ZERO, now).unwrap()
}

/// One profile, nodes `a` (up) and `b` (down), both registered and reported.
fn cluster() -> Index {
    let mut index = Index::with_pods_from(1);
    index.observe_profile(Event::Apply(profile("web")));
    index.observe_node(Event::Apply(node("a", "True")));
    index.observe_node(Event::Apply(node("b", "Unknown")));
    for name in ["a", "b"] {
        index.observe_report(Event::Apply(registration_of(name, true)));
        index.observe_report(Event::Apply(report("web", name, "uid-web")));
    }
    index
}

fn standing(index: &Index) -> Vec<(String, Standing, bool)> {
    let nodes = inputs(index, "web").nodes;
    nodes
        .into_iter()
        .map(|n| (n.name, n.standing, n.report.is_some()))
        .collect()
}

#[test]
fn nodes_are_counted_by_what_they_are() {
    let mut index = cluster();
    let named = |name: &str, standing, reported| (name.to_owned(), standing, reported);
    assert_eq!(
        standing(&index),
        [
            named("a", Standing::Expected, true),
            named("b", Standing::Down, true)
        ]
    );
    assert_eq!(inputs(&index, "web").holders, ["a"]);

    // Without the mechanism; a report about another object of that name; a node that is no object.
    index.observe_node(Event::Apply(node("c", "True")));
    index.observe_report(Event::Apply(registration_of("c", false)));
    index.observe_report(Event::Apply(report("web", "a", "uid-of-another")));
    index.observe_report(Event::Apply(report("web", "ghost", "uid-web")));
    assert_eq!(
        standing(&index),
        [
            named("a", Standing::Expected, false),
            named("b", Standing::Down, true),
            named("c", Standing::NotApplicable, false)
        ]
    );
    assert_eq!(index.vanished(), BTreeSet::from(["ghost".to_owned()]));
}

#[test]
fn a_node_that_goes_touches_all_and_is_to_be_cleaned_up_after() {
    let mut index = cluster();
    let touched = index.observe_node(Event::Delete(node("a", "True")));
    assert!(touched.all);
    assert_eq!(touched.vanished, BTreeSet::from(["a".to_owned()]));
    // A heartbeat is no change.
    assert!(!index.observe_node(Event::Apply(node("b", "Unknown"))).all);
}

#[test]
fn a_watch_that_starts_over_takes_nothing_from_another() {
    let mut index = Index::with_pods_from(2);
    for watch in [0, 1] {
        assert!(!index.pods.iter().all(Table::synced));
        let user = pod(&format!("user-{watch}"), Some("web.json"));
        index.observe_pod(watch, Event::Init, "ns");
        index.observe_pod(watch, Event::InitApply(user), "ns");
        index.observe_pod(watch, Event::InitDone, "ns");
    }
    assert!(index.pods.iter().all(Table::synced));
    assert_eq!(index.users["web.json"].len(), 2);
    index.observe_pod(0, Event::Init, "ns");
    index.observe_pod(0, Event::InitDone, "ns");
    let left: Vec<&str> = index.users["web.json"]
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(left, ["user-1"]);
}

#[test]
fn only_pods_with_a_profile_are_kept_and_touch_it() {
    let mut index = cluster();
    assert_eq!(
        index.observe_pod(0, Event::Apply(pod("foreign", None)), "ns"),
        Touched::default()
    );
    assert!(index.pods[0].is_empty());
    let touched = index.observe_pod(0, Event::Apply(pod("user", Some("web.json"))), "ns");
    assert_eq!(touched.profiles, BTreeSet::from(["web".to_owned()]));
    assert_eq!(inputs(&index, "web").users, ["default/user"]);
    // The same again is no change; without the profile it is one.
    let again = index.observe_pod(0, Event::Apply(pod("user", Some("web.json"))), "ns");
    assert_eq!(again, Touched::default());
    let touched = index.observe_pod(0, Event::Apply(pod("user", None)), "ns");
    assert_eq!(touched.profiles, BTreeSet::from(["web".to_owned()]));
    assert!(inputs(&index, "web").users.is_empty());
    assert!(index.users.is_empty());
}

#[test]
fn a_pod_finds_the_profile_of_a_very_long_name() {
    let mut index = Index::with_pods_from(1);
    let long = "a".repeat(253);
    index.observe_profile(Event::Apply(profile(&long)));
    let file = file_of(&long).unwrap();
    let touched = index.observe_pod(0, Event::Apply(pod("user", Some(&file))), "ns");
    assert_eq!(touched.profiles, BTreeSet::from([long.clone()]));
    assert_eq!(inputs(&index, &long).users.len(), 1);
}

#[test]
fn the_effective_syscalls_follow_the_base() {
    let with_base = |base: Option<&str>, names: &[&str]| -> HeldSeccompProfile {
        serde_json::from_value(json!({
            "metadata": {"name": if base.is_some() { "child" } else { "base" }},
            "spec": {"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": base,
                     "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]},
        }))
        .unwrap()
    };
    let mut index = Index::with_pods_from(1);
    index.observe_profile(Event::Apply(with_base(Some("base"), &["write"])));
    assert_eq!(
        inputs(&index, "child").effective_syscalls,
        None,
        "the base is missing"
    );
    let touched = index.observe_profile(Event::Apply(with_base(None, &["read"])));
    assert!(touched.profiles.contains("child"));
    let annotation = inputs(&index, "child").effective_syscalls.unwrap();
    assert_eq!(
        annotation,
        r#"[{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["write"],"action":"SCMP_ACT_ALLOW"}]"#
    );
    assert!(!inputs(&index, "child").profile.annotated);
    assert_eq!(inputs(&index, "base").effective_syscalls, None);
}

#[test]
fn a_write_that_returns_late_undoes_nothing() {
    let object = |uid: &str, version: u32, deleting: bool| -> HeldSeccompProfile {
        let deleted = deleting.then_some("2026-11-21T00:00:00Z");
        serde_json::from_value(json!({
            "metadata": {"name": "web", "uid": uid, "resourceVersion": version.to_string(),
                         "deletionTimestamp": deleted},
            "spec": {"defaultAction": "SCMP_ACT_ERRNO"},
        }))
        .unwrap()
    };
    let mut index = Index::with_pods_from(1);
    index.observe_profile(Event::Apply(object("1", 5, false)));
    index.observe_profile(Event::Apply(object("1", 7, true)));
    index.written(object("1", 6, false));
    assert!(inputs(&index, "web").profile.deleting);
    // Deleted, and made again under the same name.
    index.observe_profile(Event::Delete(object("1", 8, true)));
    index.written(object("1", 8, true));
    assert!(index.names().is_empty());
    index.observe_profile(Event::Apply(object("2", 9, false)));
    index.written(object("1", 8, true));
    assert_eq!(inputs(&index, "web").profile.uid, "2");
    // And what is newer is taken in, and its echo ignored.
    index.written(object("2", 11, false));
    index.observe_profile(Event::Apply(object("2", 10, false)));
    assert_eq!(inputs(&index, "web").profile.resource_version, "11");
}

//! Which profiles an event touches, who waits for whom, and what is permitted.

use super::*;
use serde_json::{Value, json};

fn object(name: &str, age: u32, spec: Value) -> Value {
    json!({
        "metadata": {
            "name": name,
            "uid": format!("uid-{name}"),
            "generation": 1,
            "creationTimestamp": format!("2026-11-21T00:00:{age:02}Z"),
        },
        "spec": spec,
    })
}

fn inherits(parents: &[&str]) -> Value {
    let entry = |name: &&str| json!({"kind": "SelinuxProfile", "name": name});
    json!({"inherit": parents.iter().map(entry).collect::<Vec<_>>()})
}

fn names(touched: &Touched) -> Vec<String> {
    touched.profiles.iter().map(Subject::to_string).collect()
}

fn apply(index: &mut Index, object: Value) -> Vec<String> {
    let held = serde_json::from_value(object).unwrap();
    names(&index.observe_profile(Event::Apply(held)))
}

fn apply_raw(index: &mut Index, object: Value) -> Vec<String> {
    let held = serde_json::from_value(object).unwrap();
    names(&index.observe_raw(Event::Apply(held)))
}

fn status(kind: &str, name: &str, state: &str) -> Event<crate::node_status::HeldNodeStatus> {
    let status = json!({
        "metadata": {
            "name": meta::node_status_name(kind, name, "node-1"),
            "resourceVersion": "1",
            "ownerReferences": [{
                "apiVersion": "security-profiles-operator.x-k8s.io/v1",
                "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true,
            }],
        },
        "spec": {"nodeName": "node-1"},
        "status": {"status": state},
    });
    Event::Apply(serde_json::from_value(status).unwrap())
}

#[test]
fn a_change_touches_all_that_inherit_it() {
    let mut index = Index::default();
    assert_eq!(
        apply(&mut index, object("a", 0, json!({}))),
        ["SelinuxProfile/a"]
    );
    apply(&mut index, object("b", 0, inherits(&["a"])));
    let raw = json!({"policy": "(blockinherit b)"});
    assert_eq!(
        apply_raw(&mut index, object("c", 0, raw)),
        ["RawSelinuxProfile/c"]
    );
    let changed = object("a", 0, json!({"mode": "Permissive"}));
    let all = [
        "RawSelinuxProfile/c",
        "SelinuxProfile/a",
        "SelinuxProfile/b",
    ];
    assert_eq!(apply(&mut index, changed.clone()), all);
    assert_eq!(apply(&mut index, changed), [""; 0]);
    // A loop has an end, and the parent of before is touched as well.
    assert_eq!(apply(&mut index, object("a", 0, inherits(&["b"]))), all);
    assert_eq!(apply(&mut index, object("b", 0, json!({}))), all);
    assert_eq!(index.parent_of("a"), Some(Some("b".to_owned())));
    assert_eq!(index.parent_of("b"), Some(None));
    assert_eq!(index.parent_of("c"), None);
}

#[test]
fn profiles_of_one_name_have_one_file() {
    let mut index = Index::default();
    apply_raw(&mut index, object("web", 1, json!({"policy": "(x)"})));
    let both = ["RawSelinuxProfile/web", "SelinuxProfile/web"];
    assert_eq!(apply(&mut index, object("web", 2, json!({}))), both);
    let (raw, web) = (subject(RAW, "web"), subject(PROFILE, "web"));
    assert_eq!(index.rival(&web), Some(raw.clone()));
    assert_eq!(index.rival(&raw), None);
    assert_eq!(index.claimed_files(), ["web.cil".to_owned()].into());
    apply(&mut index, object("web", 0, json!({})));
    assert_eq!(index.rival(&raw), Some(web));
}

#[test]
fn a_child_waits_for_its_parent_and_holds_it() {
    let mut index = Index::default();
    apply(&mut index, object("a", 0, json!({})));
    apply(&mut index, object("b", 0, inherits(&["a"])));
    let (a, b) = (subject(PROFILE, "a"), subject(PROFILE, "b"));
    let waits = |index: &Index| index.waits_for(index.row(&b).unwrap(), "node-1");
    assert_eq!(waits(&index), Some(a.clone()));
    index.reports.observe(status(PROFILE, "a", "InProgress"));
    assert_eq!(waits(&index), Some(a.clone()));
    let mut installed = status(PROFILE, "a", "Installed");
    if let Event::Apply(status) = &mut installed {
        status.metadata.resource_version = Some("2".to_owned());
    }
    index.reports.observe(installed);
    assert_eq!(waits(&index), None);

    assert_eq!(index.installed_child("a", "node-1"), None);
    index.reports.observe(status(PROFILE, "b", "Installed"));
    assert_eq!(index.installed_child("a", "node-1"), Some(b.clone()));
    assert_eq!(index.installed_child("a", "node-2"), None);
    // A block that no profile has is the node's, and there.
    apply(&mut index, object("b", 0, inherits(&["elsewhere"])));
    assert_eq!(waits(&index), None);
}

#[test]
fn the_configuration_says_what_is_permitted() {
    let mut index = Index::default();
    assert!(index.rules("spod").raw);
    assert!(index.rules("spod").limits.permits_system("container"));
    let spod = |spec: Value| {
        let object = json!({"metadata": {"name": "spod"}, "spec": spec});
        Event::Apply(serde_json::from_value::<HeldSpod>(object).unwrap())
    };
    let options = json!({"allowedSystemProfiles": ["net_container"]});
    let spec = json!({"selinux": {"enableRawSelinuxProfiles": false, "options": options}});
    assert_eq!(
        index.observe_spod(spod(spec.clone()), "spod"),
        Touched::all()
    );
    assert_eq!(index.observe_spod(spod(spec), "spod"), Touched::none());
    assert!(!index.rules("spod").raw);
    assert!(!index.rules("spod").limits.permits_system("container"));
    // The name of release 0.10.
    index.observe_spod(spod(json!({"selinuxOptions": options})), "spod");
    assert!(index.rules("spod").raw);
    assert!(index.rules("spod").limits.permits_system("net_container"));
}

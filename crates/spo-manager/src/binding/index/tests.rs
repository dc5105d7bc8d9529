//! Which events touch which bindings, and whose pods are watched.

use serde_json::json;

use super::*;

fn binding(namespace: &str, name: &str, image: &str) -> HeldBinding {
    let object = json!({
        "metadata": {"namespace": namespace, "name": name, "resourceVersion": "7"},
        "spec": {"image": image, "profileRef": {"kind": "SeccompProfile", "name": "p"}},
        "status": {"activeWorkloads": ["a/gone"]},
    });
    serde_json::from_value(object).unwrap()
}

fn pod(name: &str, image: &str, profile: &str) -> Pod {
    let profile = json!({"type": "Localhost", "localhostProfile": profile});
    let object = json!({
        "metadata": {"name": name},
        "spec": {"containers": [
            {"image": image, "securityContext": {"seccompProfile": profile}},
        ]},
    });
    serde_json::from_value(object).unwrap()
}

fn keys(touched: BTreeSet<Key>) -> Vec<String> {
    touched.iter().map(Key::to_string).collect()
}

fn apply(index: &mut Index, binding: HeldBinding) -> (Vec<String>, BTreeMap<String, Interest>) {
    let (touched, interests) = index.observe_binding(Event::Apply(binding));
    (keys(touched), interests)
}

fn one(namespace: &str, interest: Interest) -> BTreeMap<String, Interest> {
    BTreeMap::from([(namespace.to_owned(), interest)])
}

#[test]
fn pods_are_watched_where_there_are_bindings() {
    let mut index = Index::default();
    let (touched, interests) = apply(&mut index, binding("a", "x", "i"));
    assert_eq!(touched, ["ProfileBinding/a/x"]);
    assert_eq!(interests, one("a", Interest::Pods));
    // The same again is nothing new.
    let again = apply(&mut index, binding("a", "x", "i"));
    assert_eq!(again, (Vec::new(), BTreeMap::new()));
    let (_, interests) = apply(&mut index, binding("a", "y", "i"));
    assert!(interests.is_empty());
    let (_, interests) = index.observe_binding(Event::Delete(binding("a", "x", "i")));
    assert!(interests.is_empty());
    let (_, interests) = index.observe_binding(Event::Delete(binding("a", "y", "i")));
    assert_eq!(interests, one("a", Interest::Nothing));
    assert!(index.observe_pod("a", Event::InitDone).is_empty());
}

#[test]
fn a_pod_touches_the_bindings_that_it_uses() {
    let mut index = Index::default();
    for (name, image) in [("any", "*"), ("one", "foo"), ("other", "bar")] {
        apply(&mut index, binding("a", name, image));
    }
    apply(&mut index, binding("b", "one", "foo"));
    let key = Key::new("a", "one");
    let ours = "operator/p.json";
    let early = index.observe_pod("a", Event::InitApply(pod("w2", "foo", ours)));
    assert_eq!(
        keys(early),
        ["ProfileBinding/a/any", "ProfileBinding/a/one"]
    );
    assert_eq!(index.inputs(&key), None);
    assert_eq!(index.observe_pod("a", Event::InitDone).len(), 3);
    let inputs = index.inputs(&key).unwrap();
    assert_eq!(inputs.users, ["a/w2"]);
    assert_eq!(inputs.active_workloads, ["a/gone"]);
    assert_eq!(inputs.resource_version, "7");
    let mut see = |event| keys(index.observe_pod("a", event));
    assert!(see(Event::Apply(pod("w2", "foo", ours))).is_empty());
    assert!(see(Event::Apply(pod("w3", "foo", "other.json"))).is_empty());
    assert_eq!(see(Event::Apply(pod("w1", "foo", ours))).len(), 2);
    assert_eq!(see(Event::Delete(pod("w2", "foo", ours))).len(), 2);
    assert_eq!(index.inputs(&key).unwrap().users, ["a/w1"]);
    assert_eq!(index.inputs(&Key::new("b", "one")), None);
    assert_eq!(index.inputs(&Key::new("a", "none")), None);
}

#[test]
fn a_binding_that_can_not_be_read_has_no_workloads() {
    let mut index = Index::default();
    let mut odd = binding("a", "x", "*");
    odd.spec = json!({"image": 1});
    odd.status = json!("odd");
    apply(&mut index, odd);
    index.observe_pod("a", Event::Apply(pod("w", "foo", "operator/p.json")));
    index.observe_pod("a", Event::InitDone);
    let inputs = index.inputs(&Key::new("a", "x")).unwrap();
    assert!(inputs.users.is_empty() && inputs.active_workloads.is_empty());
}

#[test]
fn the_value_follows_from_the_name() {
    let check = |kind: &str, name: &str, expected: Option<&str>| {
        let spec = json!({"image": "*", "profileRef": {"kind": kind, "name": name}});
        let rule = Rule::new(serde_json::from_value(spec).unwrap());
        assert_eq!(value(&rule).as_deref(), expected);
    };
    check("SeccompProfile", "p", Some("operator/p.json"));
    check("SeccompProfile", "p.json", Some("operator/p.json"));
    check("SeccompProfile", "kubelet-config", None);
    check("SelinuxProfile", "p", Some("p.process"));
    check("AppArmorProfile", "p", Some("p"));
    check("AppArmorProfile", "../p", None);
}

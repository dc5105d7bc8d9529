//! Which profiles an event touches, and what the plan gets to see.

use super::*;
use serde_json::{Value, json};

fn held(kind: Kind, object: Value) -> HeldProfile {
    let object = serde_json::from_value(object).unwrap();
    crate::profile::held::read(kind, object).unwrap()
}

fn profile(name: &str) -> HeldProfile {
    held(
        Kind::Seccomp,
        json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1,
                         "resourceVersion": "1"},
            "spec": {"defaultAction": "SCMP_ACT_ERRNO"},
        }),
    )
}

/// The id of a SeccompProfile.
fn id(name: &str) -> ProfileId {
    ProfileId::new(Kind::Seccomp, name)
}

fn ids<const N: usize>(all: [(Kind, &str); N]) -> BTreeSet<ProfileId> {
    all.map(|(kind, name)| ProfileId::new(kind, name)).into()
}

fn report(profile: &str, node: &str, owner_uid: &str) -> NodeReport {
    report_of(Kind::Seccomp, profile, node, owner_uid)
}

fn report_of(kind: Kind, profile: &str, node: &str, owner_uid: &str) -> NodeReport {
    serde_json::from_value(json!({
        "metadata": {"name": format!("{profile}-{node}"), "ownerReferences": [{
            "apiVersion": "security-profiles-operator.x-k8s.io/v1", "kind": kind.as_str(),
            "name": profile, "uid": owner_uid, "controller": true}]},
        "spec": {"nodeName": node},
        "status": {"status": "Installed", "observedGeneration": 1},
    }))
    .unwrap()
}

fn registration_of(node: &str, available: bool) -> NodeReport {
    registration_with(node, &json!([{"name": "Seccomp", "available": available}]))
}

fn registration_with(node: &str, mechanisms: &Value) -> NodeReport {
    serde_json::from_value(json!({
        "metadata": {"name": format!("node-{node}"), "ownerReferences": [{
            "apiVersion": "v1", "kind": "Node", "name": node, "uid": "n", "controller": true}]},
        "spec": {"nodeName": node},
        "status": {"mechanisms": mechanisms},
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
    inputs_of(index, &id(name))
}

fn inputs_of(index: &Index, id: &ProfileId) -> Inputs {
    let now = Time("2026-11-21T00:00:00Z".parse().unwrap());
    index.inputs(id, "spod", Duration::ZERO, now).unwrap()
}

/// One profile, nodes `a` (up) and `b` (down), both registered and reported.
fn cluster() -> Index {
    let mut index = Index::with_pods_from(1);
    index.observe_profile(Kind::Seccomp, Event::Apply(profile("web")));
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
            named("c", Standing::NotApplicable(String::new()), false)
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
    assert_eq!(
        index.users[&Use::SeccompFile("web.json".to_owned())].len(),
        2
    );
    index.observe_pod(0, Event::Init, "ns");
    index.observe_pod(0, Event::InitDone, "ns");
    let left: Vec<&str> = index.users[&Use::SeccompFile("web.json".to_owned())]
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
    assert_eq!(touched.profiles, BTreeSet::from([id("web")]));
    assert_eq!(inputs(&index, "web").users, ["default/user"]);
    // The same again is no change; without the profile it is one.
    let again = index.observe_pod(0, Event::Apply(pod("user", Some("web.json"))), "ns");
    assert_eq!(again, Touched::default());
    let touched = index.observe_pod(0, Event::Apply(pod("user", None)), "ns");
    assert_eq!(touched.profiles, BTreeSet::from([id("web")]));
    assert!(inputs(&index, "web").users.is_empty());
    assert!(index.users.is_empty());
}

#[test]
fn a_pod_finds_the_profile_of_a_very_long_name() {
    let mut index = Index::with_pods_from(1);
    let long = "a".repeat(253);
    index.observe_profile(Kind::Seccomp, Event::Apply(profile(&long)));
    let Some(Use::SeccompFile(file)) = id(&long).used_by() else {
        panic!("no file");
    };
    let touched = index.observe_pod(0, Event::Apply(pod("user", Some(&file))), "ns");
    assert_eq!(touched.profiles, BTreeSet::from([id(&long)]));
    assert_eq!(inputs(&index, &long).users.len(), 1);
}

#[test]
fn the_effective_syscalls_follow_the_base() {
    let with_base = |base: Option<&str>, names: &[&str]| -> HeldProfile {
        held(
            Kind::Seccomp,
            json!({
                "metadata": {"name": if base.is_some() { "child" } else { "base" }},
                "spec": {"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": base,
                         "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]},
            }),
        )
    };
    let mut index = Index::with_pods_from(1);
    index.observe_profile(
        Kind::Seccomp,
        Event::Apply(with_base(Some("base"), &["write"])),
    );
    assert_eq!(
        inputs(&index, "child").effective_syscalls,
        None,
        "the base is missing"
    );
    let touched = index.observe_profile(Kind::Seccomp, Event::Apply(with_base(None, &["read"])));
    assert!(touched.profiles.contains(&id("child")));
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
    let object = |uid: &str, version: u32, deleting: bool| -> HeldProfile {
        let deleted = deleting.then_some("2026-11-21T00:00:00Z");
        held(
            Kind::Seccomp,
            json!({
                "metadata": {"name": "web", "uid": uid, "resourceVersion": version.to_string(),
                             "deletionTimestamp": deleted},
                "spec": {"defaultAction": "SCMP_ACT_ERRNO"},
            }),
        )
    };
    let mut index = Index::with_pods_from(1);
    index.observe_profile(Kind::Seccomp, Event::Apply(object("1", 5, false)));
    index.observe_profile(Kind::Seccomp, Event::Apply(object("1", 7, true)));
    index.written(Kind::Seccomp, object("1", 6, false));
    assert!(inputs(&index, "web").profile.deleting);
    // Deleted, and made again under the same name.
    index.observe_profile(Kind::Seccomp, Event::Delete(object("1", 8, true)));
    index.written(Kind::Seccomp, object("1", 8, true));
    assert!(index.ids().is_empty());
    index.observe_profile(Kind::Seccomp, Event::Apply(object("2", 9, false)));
    index.written(Kind::Seccomp, object("1", 8, true));
    assert_eq!(inputs(&index, "web").profile.uid, "2");
    // And what is newer is taken in, and its echo ignored.
    index.written(Kind::Seccomp, object("2", 11, false));
    index.observe_profile(Kind::Seccomp, Event::Apply(object("2", 10, false)));
    assert_eq!(inputs(&index, "web").profile.resource_version, "11");
}

fn other(kind: Kind, name: &str, spec: &Value) -> HeldProfile {
    let metadata = json!({"name": name, "uid": format!("uid-{name}"), "generation": 1,
                          "resourceVersion": "1"});
    held(kind, json!({"metadata": metadata, "spec": spec}))
}

/// A SelinuxProfile that inherits another.
fn heir(name: &str, of: &str) -> HeldProfile {
    let spec = json!({"inherit": [{"kind": "SelinuxProfile", "name": of}]});
    other(Kind::Selinux, name, &spec)
}

#[test]
fn what_a_node_offers_is_asked_for_each_mechanism() {
    let mut index = Index::with_pods_from(1);
    for kind in Kind::ALL {
        index.observe_profile(kind, Event::Apply(other(kind, "p", &json!({}))));
    }
    for name in ["all", "old", "some", "starting", "down"] {
        let up = if name == "down" { "False" } else { "True" };
        index.observe_node(Event::Apply(node(name, up)));
    }
    let offers = |mechanisms: &[(&str, bool)]| -> Value {
        let one = |(name, available): &(&str, bool)| {
            let message = (!available).then(|| format!("no {name}"));
            json!({"name": name, "available": available, "message": message})
        };
        mechanisms.iter().map(one).collect()
    };
    let all = [("Seccomp", true), ("SELinux", true), ("AppArmor", true)];
    let some = [("Seccomp", true), ("SELinux", false), ("AppArmor", true)];
    for (name, mechanisms) in [("all", &all[..]), ("old", &all[..1]), ("some", &some)] {
        let said = registration_with(name, &offers(mechanisms));
        assert!(index.observe_report(Event::Apply(said)).all);
    }
    // An upstream daemon, which does not describe its node, and a report of one that was replaced.
    for name in ["starting", "old", "down", "some"] {
        let said = report_of(Kind::Selinux, "p", name, "uid-p");
        let touched = index.observe_report(Event::Apply(said));
        assert_eq!(touched.profiles, ids([(Kind::Selinux, "p")]));
    }
    let standings = |index: &Index, kind| -> String {
        let nodes = inputs_of(index, &ProfileId::new(kind, "p")).nodes;
        let words = nodes.into_iter().map(|node| match node.standing {
            Standing::Expected => format!("{} +", node.name),
            Standing::Down => format!("{} down", node.name),
            Standing::NotApplicable(why) => format!("{} - {why}", node.name),
        });
        words.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(standings(&index, Kind::Seccomp), "all +, old +, some +");
    assert_eq!(
        standings(&index, Kind::Selinux),
        format!("all +, down down, old - {SILENT}, some - no SELinux, starting +")
    );
    assert_eq!(
        standings(&index, Kind::RawSelinux),
        format!("all +, old - {SILENT}, some - no SELinux")
    );
    assert_eq!(
        standings(&index, Kind::AppArmor),
        format!("all +, old - {SILENT}, some +")
    );
    // Who can not remove it holds no deletion.
    let holders = |index: &Index| inputs_of(index, &ProfileId::new(Kind::Selinux, "p")).holders;
    assert_eq!(holders(&index), ["starting"]);
    // selinuxd comes later.
    let touched = index.observe_report(Event::Apply(registration_with("some", &offers(&all))));
    assert!(touched.all);
    assert!(standings(&index, Kind::Selinux).contains("some +"));
    assert_eq!(holders(&index), ["some", "starting"]);
}

#[test]
fn a_pod_uses_what_it_names_in_every_kind() {
    let mut index = Index::with_pods_from(1);
    for kind in Kind::ALL {
        index.observe_profile(kind, Event::Apply(other(kind, "p", &json!({}))));
    }
    let pod = |context: Value| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "user", "namespace": "default"},
            "spec": {"securityContext": context},
        }))
        .unwrap()
    };
    for (context, used) in [
        (
            json!({"seLinuxOptions": {"type": "p.process"}}),
            ids([(Kind::Selinux, "p"), (Kind::RawSelinux, "p")]),
        ),
        (
            json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}),
            ids([(Kind::AppArmor, "p")]),
        ),
        (
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "operator/p.json"}}),
            ids([(Kind::Seccomp, "p")]),
        ),
    ] {
        let touched = index.observe_pod(0, Event::Apply(pod(context)), "ns");
        assert!(used.is_subset(&touched.profiles), "{touched:?}");
        for id in index.ids() {
            let users = inputs_of(&index, &id).users;
            assert_eq!(!users.is_empty(), used.contains(&id), "{id}: {users:?}");
        }
    }
    // Types of the system are nobody's.
    index.observe_pod(
        0,
        Event::Apply(pod(json!({"seLinuxOptions": {"type": "spc_t"}}))),
        "ns",
    );
    assert!(index.pods[0].is_empty() && index.users.is_empty());
}

#[test]
fn a_pod_that_was_there_before_its_profile_uses_it() {
    let mut index = Index::with_pods_from(1);
    let pod = json!({
        "metadata": {"name": "user", "namespace": "default"},
        "spec": {"containers": [
            {"securityContext": {"seLinuxOptions": {"type": "p.process"}}},
            {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}},
        ]},
    });
    index.observe_pod(0, Event::Apply(serde_json::from_value(pod).unwrap()), "ns");
    for kind in [Kind::Selinux, Kind::AppArmor] {
        index.observe_profile(kind, Event::Apply(other(kind, "p", &json!({}))));
        let users = inputs_of(&index, &ProfileId::new(kind, "p")).users;
        assert_eq!(users, ["default/user"]);
    }
}

#[test]
fn heirs_are_known_and_touch_what_they_inherit() {
    let mut index = Index::with_pods_from(1);
    let heirs =
        |index: &Index, kind, name: &str| inputs_of(index, &ProfileId::new(kind, name)).heirs;
    let parent = other(Kind::Selinux, "parent", &json!({}));
    index.observe_profile(Kind::Selinux, Event::Apply(parent));
    let touched = index.observe_profile(Kind::Selinux, Event::Apply(heir("child", "parent")));
    assert_eq!(
        touched.profiles,
        ids([(Kind::Selinux, "parent"), (Kind::Selinux, "child")])
    );
    let raw = json!({"policy": "(blockinherit parent)\n(blockinherit container)"});
    index.observe_profile(
        Kind::RawSelinux,
        Event::Apply(other(Kind::RawSelinux, "raw", &raw)),
    );
    assert_eq!(
        heirs(&index, Kind::Selinux, "parent"),
        ["SelinuxProfile/child", "RawSelinuxProfile/raw"]
    );
    // One that goes, and one that inherits something else now.
    let touched = index.observe_profile(Kind::Selinux, Event::Delete(heir("child", "parent")));
    assert!(
        touched
            .profiles
            .contains(&ProfileId::new(Kind::Selinux, "parent"))
    );
    let mut changed = other(
        Kind::RawSelinux,
        "raw",
        &json!({"policy": "(blockinherit x)"}),
    );
    changed.metadata.resource_version = Some("2".to_owned());
    let touched = index.observe_profile(Kind::RawSelinux, Event::Apply(changed));
    assert!(
        touched
            .profiles
            .contains(&ProfileId::new(Kind::Selinux, "parent"))
    );
    assert!(heirs(&index, Kind::Selinux, "parent").is_empty());

    // A seccomp profile has what it needs from its base in its own file.
    let spec = json!({"defaultAction": "SCMP_ACT_LOG", "baseProfileName": "web"});
    index.observe_profile(Kind::Seccomp, Event::Apply(profile("web")));
    index.observe_profile(
        Kind::Seccomp,
        Event::Apply(other(Kind::Seccomp, "child", &spec)),
    );
    assert!(heirs(&index, Kind::Seccomp, "web").is_empty());
}

#[test]
fn a_circle_of_heirs_holds_nobody() {
    let mut index = Index::with_pods_from(1);
    for (name, of) in [
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
        ("self", "self"),
        ("d", "a"),
    ] {
        index.observe_profile(Kind::Selinux, Event::Apply(heir(name, of)));
    }
    let heirs = |name: &str| inputs_of(&index, &ProfileId::new(Kind::Selinux, name)).heirs;
    for name in ["b", "c", "self"] {
        assert!(heirs(name).is_empty(), "{name}");
    }
    assert_eq!(heirs("a"), ["SelinuxProfile/d"]);
}

#[test]
fn the_configuration_says_what_is_switched_off() {
    let mut index = Index::with_pods_from(1);
    for kind in Kind::ALL {
        index.observe_profile(kind, Event::Apply(other(kind, "p", &json!({}))));
    }
    let mut check = |spec: Value, expected: [Option<&str>; 4]| {
        let spod = json!({"metadata": {"name": "spod"}, "spec": spec});
        index.observe_spod(Event::Apply(serde_json::from_value(spod).unwrap()));
        for (kind, expected) in Kind::ALL.into_iter().zip(expected) {
            let why = inputs_of(&index, &ProfileId::new(kind, "p")).switched_off;
            let why = why.map(|off| format!("{} {}", off.field, off.why));
            match (&why, expected) {
                (None, None) => {}
                (Some(why), Some(text)) if why.contains(text) => {}
                _ => panic!("{kind}: {why:?}"),
            }
        }
    };
    let unset = Some("spec.selinux.enable of the SecurityProfilesOperatorDaemon spod is not set");
    let off = Some("spec.selinux.enable of the SecurityProfilesOperatorDaemon spod is false");
    let app = Some("spec.enableAppArmor of the SecurityProfilesOperatorDaemon spod is not true");
    check(json!({}), [None, unset, unset, app]);
    check(
        json!({"selinux": {"enable": true}}),
        [None, None, None, app],
    );
    check(
        json!({"enableSelinux": true, "enableAppArmor": true}),
        [None; 4],
    );
    check(json!({"selinux": {"enable": false}}), [None, off, off, app]);
}

#[test]
fn only_seccomp_profiles_are_deleted_when_they_are_not_allowed() {
    let mut index = Index::with_pods_from(1);
    let spod = json!({"metadata": {"name": "spod"},
                      "spec": {"security": {"notAllowedProfiles": "Delete"}}});
    index.observe_spod(Event::Apply(serde_json::from_value(spod).unwrap()));
    for kind in Kind::ALL {
        index.observe_profile(kind, Event::Apply(other(kind, "p", &json!({}))));
        let inputs = inputs_of(&index, &ProfileId::new(kind, "p"));
        assert_eq!(inputs.delete_not_allowed, kind == Kind::Seccomp);
    }
}

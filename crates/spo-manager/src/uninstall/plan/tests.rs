//! Tests of the plan of an uninstallation.

use std::time::Duration;

use super::*;

fn request() -> Request {
    Request {
        namespace: "ns".to_owned(),
        timeout: Duration::from_secs(60),
        crds: false,
        dry_run: false,
        force: false,
    }
}

fn profile(finalizers: &[&str]) -> Object {
    Object {
        kind: "SeccompProfile".to_owned(),
        name: "web".to_owned(),
        finalizers: finalizers.iter().map(|&f| f.to_owned()).collect(),
        ..Object::default()
    }
}

fn report(node: &str) -> Object {
    Object {
        kind: "SecurityProfileNodeStatus".to_owned(),
        name: format!("web-{node}"),
        node: Some(node.to_owned()),
        profile_id: Some("SeccompProfile-web".to_owned()),
        ..Object::default()
    }
}

fn users() -> BTreeMap<(String, String), Vec<String>> {
    let web = ("SeccompProfile".to_owned(), "web".to_owned());
    [(web, vec!["default/a".to_owned()])].into()
}

#[test]
fn definitions_alone_are_something_only_if_they_are_to_go() {
    let seen = Seen {
        definitions: vec!["seccompprofiles.example".to_owned()],
        ..Seen::default()
    };
    assert_eq!(decide(&seen, &request()), Verdict::Nothing);
    let with_crds = Request {
        crds: true,
        ..request()
    };
    let expected = vec!["CustomResourceDefinition seccompprofiles.example".to_owned()];
    assert_eq!(decide(&seen, &with_crds), Verdict::Go(expected));
}

#[test]
fn a_profile_in_use_is_deleted_by_force_only() {
    let seen = Seen {
        objects: vec![profile(&[meta::FINALIZER])],
        users: users(),
        ..Seen::default()
    };
    let expected = vec!["SeccompProfile web is in use by default/a".to_owned()];
    assert_eq!(decide(&seen, &request()), Verdict::InUse(expected));
    let force = Request {
        force: true,
        ..request()
    };
    assert!(matches!(decide(&seen, &force), Verdict::Go(_)));
    // A profile of the same name and another kind is not used.
    let other = Seen {
        objects: vec![Object {
            kind: "SelinuxProfile".to_owned(),
            ..profile(&[])
        }],
        users: users(),
        ..Seen::default()
    };
    assert!(matches!(decide(&other, &request()), Verdict::Go(_)));
}

#[test]
fn what_holds_an_object_is_named() {
    let mut seen = Seen {
        nodes: [("up".to_owned(), true), ("down".to_owned(), false)].into(),
        objects: ["up", "down", "gone"].map(report).to_vec(),
        ..Seen::default()
    };
    let ours = profile(&[meta::FINALIZER, "node-1-deleted", "example.com/a"]);
    assert_eq!(ours.without_ours(), Some(vec!["example.com/a"]));
    assert_eq!(
        why_held(&ours, &seen, true),
        "not removed from down, which is down, gone, which does not exist, up"
    );
    assert_eq!(
        why_held(&ours, &seen, false),
        "no operator runs that would let go of it"
    );
    seen.users = users();
    assert_eq!(why_held(&ours, &seen, false), "in use by default/a");
    let foreign = profile(&["example.com/a"]);
    assert_eq!(foreign.without_ours(), None);
    assert_eq!(
        why_held(&foreign, &seen, true),
        "somebody else's finalizer: example.com/a"
    );
}

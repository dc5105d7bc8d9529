//! Which profiles an event touches.

use serde_json::json;
use spo_host::apparmor::Mode;

use super::*;

fn apply(index: &mut Index, name: &str, generation: i64) -> Vec<String> {
    let held = serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": generation},
        "spec": {"mode": "Complain"},
    }))
    .unwrap();
    names(index.observe_profile(Event::Apply(held)))
}

fn names(touched: Touched) -> Vec<String> {
    let profiles = touched.profiles.into_iter();
    profiles.map(|profile| profile.name).collect()
}

fn loaded(rows: &[(&str, u8)]) -> BTreeMap<String, Loaded> {
    let row = |digest| Loaded {
        mode: Mode::Enforce,
        digest: Some([digest; 32]),
    };
    rows.iter()
        .map(|(name, digest)| ((*name).to_owned(), row(*digest)))
        .collect()
}

#[test]
fn a_profile_that_says_the_same_is_not_touched() {
    let mut index = Index::new(true);
    assert_eq!(apply(&mut index, "web", 1), ["web"]);
    assert_eq!(apply(&mut index, "web", 1), [""; 0]);
    assert_eq!(apply(&mut index, "web", 2), ["web"]);
    assert_eq!(index.claimant("web"), Some(subject("web")));
    assert_eq!(index.claimant("usr.bin.man"), None);
    assert_eq!(index.claimed_files(), BTreeSet::from(["web".to_owned()]));
}

#[test]
fn a_change_in_the_kernel_touches_what_is_not_as_we_loaded_it() {
    let mut index = Index::new(true);
    for name in ["web", "db", "new"] {
        apply(&mut index, name, 1);
    }
    let remembered = |name: &str| match name {
        "web" => Some(Some([1; 32])),
        "db" => Some(Some([2; 32])),
        _ => None,
    };
    let mut see = |rows: &[(&str, u8)]| names(index.observe_kernel(loaded(rows), remembered));
    // Our own doing, and profiles of others.
    assert_eq!(
        see(&[("web", 1), ("db", 2), ("docker-default", 9)]),
        [""; 0]
    );
    // Removed, and changed.
    assert_eq!(see(&[("db", 3), ("docker-default", 8)]), ["db", "web"]);
    // The same once more is nothing new.
    assert_eq!(see(&[("db", 3)]), [""; 0]);
    // Restored by us; and somebody takes a name that was free.
    assert_eq!(see(&[("db", 2), ("web", 1), ("new", 5)]), ["new"]);
    // The name is free again.
    assert_eq!(see(&[("db", 2), ("web", 1)]), ["new"]);
}

#[test]
fn a_node_without_apparmor_expects_no_profiles() {
    let listed = |index: &mut Index| {
        index.reports.observe(Event::Init);
        index.reports.observe(Event::InitDone);
        index.synced()
    };
    assert!(listed(&mut Index::new(false)));
    assert!(!listed(&mut Index::new(true)));
}

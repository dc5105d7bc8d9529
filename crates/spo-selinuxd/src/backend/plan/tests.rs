//! Rounds against a drop directory and a store which are maps.

use super::*;

fn module(name: &str, text: &str) -> (String, Module) {
    let module = Module::read(name, &format!("{name}.cil"), text.as_bytes());
    (name.to_owned(), module)
}

fn wanted(modules: &[(&str, &str)]) -> Wanted {
    modules
        .iter()
        .map(|(name, text)| module(name, text))
        .collect()
}

fn store(modules: &[(&str, &str)]) -> Listing {
    let digest = |text: &str| Some(Digest::of(text.as_bytes()));
    Listing {
        modules: modules
            .iter()
            .map(|(name, text)| ((*name).to_owned(), digest(text)))
            .collect(),
        elsewhere: BTreeSet::new(),
    }
}

fn install(name: &str) -> Change {
    Change::Install(name.to_owned())
}

fn remove(name: &str) -> Change {
    Change::Remove(name.to_owned())
}

fn outcomes(all: &[(Change, Result<(), &str>)]) -> BTreeMap<Change, Outcome> {
    let owned = |(change, outcome): &(Change, Result<(), &str>)| {
        (change.clone(), outcome.map_err(str::to_owned))
    };
    all.iter().map(owned).collect()
}

fn failed(message: &str) -> PolicyStatus {
    let message = message.to_owned();
    PolicyStatus::Failed { message }
}

/// What is known after `modules` were installed.
fn installed(modules: &[(&str, &str)]) -> Known {
    let mut known = Known::default();
    assert!(known.plan(&wanted(modules), &store(modules)).is_empty());
    known
}

#[test]
fn what_the_store_holds_is_not_installed_again() {
    let modules = [("a", "1"), ("b", "2")];
    let known = installed(&modules);
    let statuses = known.statuses(&wanted(&modules));
    assert_eq!(statuses.len(), 2);
    assert!(
        statuses
            .values()
            .all(|status| *status == PolicyStatus::Installed)
    );
}

#[test]
fn a_burst_is_one_list_of_changes() {
    let mut known = installed(&[("old", "1"), ("changed", "1"), ("same", "1")]);
    let now = wanted(&[("changed", "2"), ("new", "1"), ("same", "1")]);
    let held = store(&[
        ("old", "1"),
        ("changed", "1"),
        ("same", "1"),
        ("foreign", "1"),
    ]);
    let changes = known.plan(&now, &held);
    assert_eq!(changes, [install("changed"), install("new"), remove("old")]);
    // Nobody is told of the content before.
    let statuses = known.statuses(&now);
    assert_eq!(statuses.keys().collect::<Vec<_>>(), ["old", "same"]);
    let results = changes
        .iter()
        .map(|change| (change.clone(), Ok(())))
        .collect();
    let held = store(&[
        ("changed", "2"),
        ("new", "1"),
        ("same", "1"),
        ("foreign", "1"),
    ]);
    known.settle(&now, &results, &held);
    assert!(known.plan(&now, &held).is_empty());
    assert_eq!(known.statuses(&now).len(), 3);
}

#[test]
fn a_failure_stays_until_the_content_changes() {
    let mut known = Known::default();
    let now = wanted(&[("a", "bad")]);
    let held = store(&[]);
    assert_eq!(known.plan(&now, &held), [install("a")]);
    known.settle(&now, &outcomes(&[(install("a"), Err("line 3"))]), &held);
    assert_eq!(known.statuses(&now)["a"], failed("line 3"));
    assert!(known.plan(&now, &held).is_empty());
    assert_eq!(known.plan(&wanted(&[("a", "good")]), &held), [install("a")]);
}

#[test]
fn a_failed_update_says_that_the_version_before_stays() {
    let mut known = installed(&[("a", "1")]);
    let (now, held) = (wanted(&[("a", "2")]), store(&[("a", "1")]));
    assert_eq!(known.plan(&now, &held), [install("a")]);
    known.settle(&now, &outcomes(&[(install("a"), Err("line 3"))]), &held);
    let expected = failed("line 3 (an earlier version stays installed)");
    assert_eq!(known.statuses(&now)["a"], expected);
    // It was ours before, so it goes with its file.
    assert_eq!(known.plan(&wanted(&[]), &held), [remove("a")]);
}

#[test]
fn what_others_installed_is_not_removed() {
    let mut known = Known::default();
    let held = store(&[("a", "theirs")]);
    assert!(known.plan(&wanted(&[]), &held).is_empty());
    let now = wanted(&[("a", "bad")]);
    assert_eq!(known.plan(&now, &held), [install("a")]);
    known.settle(&now, &outcomes(&[(install("a"), Err("no"))]), &held);
    assert!(known.plan(&wanted(&[]), &held).is_empty());
    assert!(known.statuses(&wanted(&[])).is_empty());
}

#[test]
fn a_child_is_tried_again_when_its_parent_comes() {
    let mut known = Known::default();
    let child = ("child", "(block child (blockinherit parent))");
    let (now, held) = (wanted(&[child, ("x", "bad")]), store(&[]));
    known.plan(&now, &held);
    let results = outcomes(&[
        (install("child"), Err("no parent")),
        (install("x"), Err("bad")),
    ]);
    known.settle(&now, &results, &held);
    assert!(!known.is_restless());

    let now = wanted(&[child, ("parent", "(block parent)"), ("x", "bad")]);
    assert_eq!(known.plan(&now, &held), [install("parent")]);
    let held = store(&[("parent", "(block parent)")]);
    known.settle(&now, &outcomes(&[(install("parent"), Ok(()))]), &held);
    assert!(known.is_restless());
    assert_eq!(known.statuses(&now).get("child"), None);
    assert_eq!(known.plan(&now, &held), [install("child")]);
    known.settle(&now, &outcomes(&[(install("child"), Err("still"))]), &held);
    assert!(!known.is_restless());
    assert!(known.plan(&now, &held).is_empty());
}

#[test]
fn a_removal_which_fails_is_told_and_tried_again_when_something_goes() {
    let both = [("child", "1"), ("parent", "1")];
    let mut known = installed(&both);
    let now = wanted(&[("child", "1")]);
    assert_eq!(known.plan(&now, &store(&both)), [remove("parent")]);
    known.settle(
        &now,
        &outcomes(&[(remove("parent"), Err("child needs it"))]),
        &store(&both),
    );
    let expected = failed("cannot be removed: child needs it");
    assert_eq!(known.statuses(&now)["parent"], expected);
    assert!(known.plan(&now, &store(&both)).is_empty() && !known.is_restless());

    let now = wanted(&[]);
    assert_eq!(known.plan(&now, &store(&both)), [remove("child")]);
    let held = store(&[("parent", "1")]);
    known.settle(&now, &outcomes(&[(remove("child"), Ok(()))]), &held);
    assert!(known.is_restless());
    assert_eq!(known.plan(&now, &held), [remove("parent")]);
    known.settle(&now, &outcomes(&[(remove("parent"), Ok(()))]), &store(&[]));
    assert!(known.plan(&now, &store(&[])).is_empty() && known.statuses(&now).is_empty());
}

#[test]
fn what_somebody_took_from_the_store_is_put_back() {
    let mut known = installed(&[("a", "1")]);
    assert_eq!(
        known.plan(&wanted(&[("a", "1")]), &store(&[])),
        [install("a")]
    );
    assert_eq!(
        known.plan(&wanted(&[("a", "1")]), &store(&[("a", "x")])),
        [install("a")]
    );
}

#[test]
fn a_semodule_without_digests_is_asked_once() {
    let mut known = Known::default();
    let now = wanted(&[("a", "1")]);
    let mut held = store(&[("a", "1")]);
    held.modules.insert("a".to_owned(), None);
    assert_eq!(known.plan(&now, &held), [install("a")]);
    known.settle(&now, &outcomes(&[(install("a"), Ok(()))]), &held);
    assert!(known.plan(&now, &held).is_empty());
}

#[test]
fn a_file_that_changed_while_it_was_installed_is_installed_again() {
    let mut known = Known::default();
    let now = wanted(&[("a", "1")]);
    known.plan(&now, &store(&[]));
    let held = store(&[("a", "2")]);
    known.settle(&now, &outcomes(&[(install("a"), Ok(()))]), &held);
    assert!(known.statuses(&now).is_empty());
    assert_eq!(known.plan(&now, &held), [install("a")]);
    assert!(known.plan(&wanted(&[("a", "2")]), &held).is_empty());
}

#[test]
fn a_success_which_the_store_does_not_show_is_a_failure() {
    let mut known = Known::default();
    let now = wanted(&[("a", "1")]);
    known.plan(&now, &store(&[]));
    known.settle(&now, &outcomes(&[(install("a"), Ok(()))]), &store(&[]));
    assert_eq!(known.statuses(&now)["a"], failed(UNSEEN));
}

#[test]
fn trouble_is_told_for_what_was_not_tried() {
    let mut known = Known::default();
    let now = wanted(&[("a", "1")]);
    let changes = known.plan(&now, &store(&[]));
    known.hold_up(&changes, Some("disk full"));
    assert_eq!(
        known.statuses(&now)["a"],
        failed("not tried yet: disk full")
    );
    assert_eq!(known.plan(&now, &store(&[])), [install("a")]);
    known.hold_up(&[], None);
    assert!(known.statuses(&now).is_empty());
}

const PROCESS: &str = "(block a (blockinherit container))";

#[test]
fn what_the_kernel_lacks_is_not_installed() {
    let mut known = Known::default();
    let now = wanted(&[("a", PROCESS)]);
    known.plan(&now, &store(&[]));
    let held = store(&[("a", PROCESS)]);
    known.settle(&now, &outcomes(&[(install("a"), Ok(()))]), &held);
    assert!(known.is_unloaded());
    known.load(Err("permission denied".to_owned()));
    let PolicyStatus::Failed { message } = &known.statuses(&now)["a"] else {
        panic!("installed");
    };
    assert!(message.contains("permission denied"), "{message}");
    assert!(known.is_unloaded());

    known.load(Ok(()));
    let expected = known.expected(&now);
    assert_eq!(expected.len(), 1);
    known.compare(&expected, &BTreeSet::from(["a".to_owned()]));
    assert!(matches!(
        known.statuses(&now)["a"],
        PolicyStatus::Failed { .. }
    ));
    // It is in the store: to install it again would not help.
    assert!(known.plan(&now, &held).is_empty());
    known.compare(&expected, &BTreeSet::new());
    assert_eq!(known.statuses(&now)["a"], PolicyStatus::Installed);
}

#[test]
fn what_the_kernel_still_knows_is_not_gone() {
    let mut known = installed(&[("a", PROCESS)]);
    let now = wanted(&[]);
    known.plan(&now, &store(&[("a", PROCESS)]));
    known.settle(&now, &outcomes(&[(remove("a"), Ok(()))]), &store(&[]));
    known.load(Ok(()));
    let expected = known.expected(&now);
    assert_eq!(
        expected,
        [Expected {
            module: "a".to_owned(),
            known: false
        }]
    );
    known.compare(&expected, &BTreeSet::from(["a".to_owned()]));
    assert!(matches!(
        known.statuses(&now)["a"],
        PolicyStatus::Failed { .. }
    ));
    known.compare(&expected, &BTreeSet::new());
    assert!(known.statuses(&now).is_empty() && known.expected(&now).is_empty());
}

#[test]
fn a_state_is_kept_without_what_is_of_the_moment() {
    let mut known = installed(&[("a", "1")]);
    let now = wanted(&[("a", "1"), ("b", "bad")]);
    known.plan(&now, &store(&[("a", "1")]));
    known.settle(
        &now,
        &outcomes(&[(install("b"), Err("line 1"))]),
        &store(&[("a", "1")]),
    );
    let text = serde_json::to_string(&known).unwrap();
    let mut read: Known = serde_json::from_str(&text).unwrap();
    assert_eq!(read.statuses(&now), known.statuses(&now));
    assert!(read.plan(&now, &store(&[("a", "1")])).is_empty());
}

#[test]
fn a_module_of_the_node_is_not_replaced() {
    let wanted = wanted(&[("ssh", "(type a)")]);
    let mut known = Known::default();
    let mut taken = store(&[]);
    taken.elsewhere.insert("ssh".to_owned());
    assert_eq!(known.plan(&wanted, &taken), []);
    assert_eq!(known.statuses(&wanted)["ssh"], failed(TAKEN));
    // When it goes, the name is free.
    assert_eq!(known.plan(&wanted, &store(&[])), [install("ssh")]);
}

//! The search against a store that is a set of names.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A store in which some modules are bad, and some of these are named by the output.
struct Store {
    bad: BTreeSet<String>,
    silent: bool,
    broken: bool,
    /// Who needs whom.
    needs: Vec<(&'static str, &'static str)>,
    present: BTreeSet<String>,
    runs: usize,
}

impl Store {
    fn new(bad: &[&str]) -> Self {
        Self {
            bad: bad.iter().map(|name| (*name).to_owned()).collect(),
            silent: false,
            broken: false,
            needs: Vec::new(),
            present: BTreeSet::new(),
            runs: 0,
        }
    }

    fn run(&mut self, attempt: &Attempt) -> Verdict {
        self.runs += 1;
        assert!(self.runs < 1000, "the search does not end");
        let Attempt::Apply(changes) = attempt else {
            return if self.broken {
                Verdict::Unclear("disk is full".to_owned())
            } else {
                Verdict::Applied
            };
        };
        let mut present = self.present.clone();
        for change in changes {
            match change {
                Change::Install(name) => drop(present.insert(name.clone())),
                Change::Remove(name) => drop(present.remove(name)),
            }
        }
        let lacking = self
            .needs
            .iter()
            .find(|(who, whom)| present.contains(*who) && !present.contains(*whom));
        let bad = present.intersection(&self.bad).next().cloned();
        match bad.or(lacking.map(|(who, _)| (*who).to_owned())) {
            None if !self.broken => {
                self.present = present;
                Verdict::Applied
            }
            Some(module) if !self.silent && !self.broken => Verdict::Blamed {
                message: format!("{module} is bad"),
                module,
            },
            _ => Verdict::Unclear("no".to_owned()),
        }
    }

    fn search(&mut self, changes: Vec<Change>) -> (BTreeMap<Change, Outcome>, Option<String>) {
        let mut search = Search::new(changes);
        while let Some(attempt) = search.next() {
            let verdict = self.run(&attempt);
            search.learn(verdict);
        }
        search.end()
    }
}

fn installs(names: &[&str]) -> Vec<Change> {
    names
        .iter()
        .map(|name| Change::Install((*name).to_owned()))
        .collect()
}

fn remove(name: &str) -> Change {
    Change::Remove(name.to_owned())
}

#[test]
fn a_good_batch_is_one_transaction() {
    let mut store = Store::new(&[]);
    let names: Vec<String> = (0..100).map(|number| format!("m{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (outcomes, trouble) = store.search(installs(&names));
    assert_eq!(store.runs, 1);
    assert_eq!(outcomes.len(), 100);
    assert!(outcomes.values().all(Result::is_ok) && trouble.is_none());
}

#[test]
fn a_bad_module_which_is_named_costs_one_more() {
    let mut store = Store::new(&["b"]);
    let (outcomes, _) = store.search(installs(&["a", "b", "c"]));
    assert_eq!(store.runs, 2);
    let bad = &outcomes[&Change::Install("b".to_owned())];
    assert_eq!(bad, &Err("b is bad".to_owned()));
    assert_eq!(store.present.len(), 2);
}

#[test]
fn nothing_is_a_search_without_attempts() {
    assert_eq!(Search::new(Vec::new()).next(), None);
}

#[test]
fn a_store_which_does_not_build_blames_no_module() {
    let mut store = Store::new(&[]);
    store.broken = true;
    let (outcomes, trouble) = store.search(installs(&["a", "b"]));
    assert!(outcomes.is_empty());
    assert_eq!(store.runs, 2);
    assert!(trouble.unwrap().contains("disk is full"));
}

#[test]
fn a_parent_which_is_needed_is_not_removed_and_holds_nothing_up() {
    let mut store = Store::new(&[]);
    store.needs = vec![("child", "parent")];
    store.present = ["child", "parent"].map(str::to_owned).into();
    let mut changes = installs(&["a", "b"]);
    changes.push(remove("parent"));
    let (outcomes, trouble) = store.search(changes);
    assert!(trouble.is_none());
    assert!(outcomes[&Change::Install("a".to_owned())].is_ok());
    let refused = outcomes[&remove("parent")].as_ref().unwrap_err();
    assert_eq!(refused, "module child would fail: child is bad");
    assert!(store.present.contains("parent"));
    // Together they go.
    let (outcomes, _) = store.search(vec![remove("child"), remove("parent")]);
    assert!(outcomes.values().all(Result::is_ok));
}

#[test]
fn trouble_leaves_the_rest_untried() {
    let mut search = Search::new(installs(&["a"]));
    assert!(search.next().is_some());
    search.learn(Verdict::Trouble("semodule took too long".to_owned()));
    assert_eq!(search.next(), None);
    let (outcomes, trouble) = search.end();
    assert!(outcomes.is_empty() && trouble.is_some());
}

proptest! {
    #[test]
    fn the_good_get_in_and_the_bad_are_found(
        bad in proptest::collection::vec(any::<bool>(), 1..40),
        silent: bool,
    ) {
        let names: Vec<String> = (0..bad.len()).map(|number| format!("m{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let is_bad: Vec<&str> =
            names.iter().zip(&bad).filter(|(_, bad)| **bad).map(|(name, _)| *name).collect();
        let mut store = Store::new(&is_bad);
        store.silent = silent;
        let (outcomes, trouble) = store.search(installs(&names));
        prop_assert_eq!(trouble, None);
        for (name, bad) in names.iter().zip(&bad) {
            let outcome = &outcomes[&Change::Install((*name).to_owned())];
            prop_assert_eq!(outcome.is_err(), *bad);
            prop_assert_eq!(store.present.contains(*name), !*bad);
        }
        let most = if silent { 2 + 2 * names.len() } else { 1 + is_bad.len() };
        prop_assert!(store.runs <= most, "{} runs for {:?}", store.runs, is_bad);
    }
}

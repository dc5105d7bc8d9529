//! Unions of arbitrary lists: never stricter than a part, stable, and no trouble for libseccomp
//! that was not there before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spo_api::seccomp_profile::Action;
use spo_fuzz::profile::{Lists, NAME, probes, spec};
use spo_profile::seccomp::decide::decide;
use spo_profile::seccomp::merge::{unite, unite_under};
use spo_profile::seccomp::validate::validate;

fn rank(action: Action) -> usize {
    let order = [Action::Kill, Action::Errno, Action::Log, Action::Allow];
    order.iter().position(|other| *other == action).expect("a generated action")
}

fuzz_target!(|lists: Lists| {
    let Lists { default, left, right } = lists;
    let union = unite_under(default, &left, &right);
    assert_eq!(unite(&union, &union), union);
    let probes = probes(&[&left, &right]);
    let parts = [left, right].map(|list| spec(default, list));
    let united = spec(default, union);
    // With the strictest default action, silence is strictest as well.
    if default == Action::Kill {
        for args in &probes {
            let decided = rank(decide(&united, NAME, *args));
            for part in &parts {
                assert!(decided >= rank(decide(part, NAME, *args)), "{args:?} {united:?} {part:?}");
            }
        }
    }
    let has_one_action = |action: Action| parts.iter().flat_map(|part| &part.syscalls).all(|entry| entry.action == action);
    if !Action::ALL.iter().any(|action| has_one_action(*action)) {
        let problems = validate(&united);
        assert!(problems.iter().all(|problem| problem.field != "spec.syscalls") , "{united:?} {problems:?}");
    }
});

//! Unions of arbitrary lists: never stricter than a part, stable, and free of contradictions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spo_api::seccomp_profile::Action;
use spo_fuzz::profile::{Lists, NAME, probes, spec};
use spo_profile::seccomp::decide::decide;
use spo_profile::seccomp::merge::{unite, unite_under};
use spo_profile::seccomp::validate::validate;

fn rank(action: Action) -> usize {
    let order = [Action::Kill, Action::Errno, Action::Log, Action::Allow];
    order
        .iter()
        .position(|other| *other == action)
        .expect("a generated action")
}

fuzz_target!(|lists: Lists| {
    let Lists {
        default,
        left,
        right,
    } = lists;
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
                assert!(
                    decided >= rank(decide(part, NAME, *args)),
                    "{args:?} {united:?} {part:?}"
                );
            }
        }
    }
    // The rules of a union never contradict each other, whatever those of its parts do.
    let contradictions = [
        "decides for",
        "under the same conditions",
        "meet for some arguments",
    ];
    for problem in validate(&united) {
        let text = problem.to_string();
        assert!(
            !contradictions.iter().any(|part| text.contains(part)),
            "{text} {united:?}"
        );
    }
});

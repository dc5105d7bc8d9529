//! Pairs of rules, as a profile and its base profile may have them.

use spo_api::seccomp_profile::{Action, Arg, Operator, Syscall};
use spo_profile::seccomp::{decide, merge, validate};

use crate::filter::{calls, program, verdict};
use crate::{agrees, permission, spec};

/// `a0 & 2` means that the bits of 2 are set. 4294967297 is 1 in both halves.
const PAIRS: &[(&str, &str)] = &[
    ("ALLOW", "ALLOW a0 == 1"),
    ("ALLOW", "LOG a0 == 1"),
    ("LOG", "ALLOW a0 == 1"),
    ("LOG", "ALLOW"),
    ("ALLOW a0 == 1", "ALLOW a0 == 1"),
    ("ALLOW a0 == 1", "ALLOW a0 == 2"),
    ("ALLOW a0 == 1", "ALLOW a0 == 4294967297"),
    ("ALLOW a0 == 1", "ALLOW a1 == 1"),
    ("ALLOW a0 == 1", "ALLOW a0 == 1, a1 == 2"),
    ("ALLOW a0 == 1, a1 == 1", "ALLOW a0 == 1, a1 == 2"),
    ("ALLOW a0 == 1, a1 == 1", "ALLOW a1 == 1, a2 == 2"),
    ("ALLOW a0 == 1, a2 == 1", "ALLOW a1 == 1"),
    ("ALLOW a0 == 1, a0 == 2", "ALLOW a0 == 3"),
    ("ALLOW a0 == 1, a0 == 2, a1 == 5", "ALLOW a0 == 3"),
    ("ALLOW a0 != 1", "ALLOW a0 == 1"),
    ("ALLOW a0 != 1", "ALLOW a0 != 2"),
    ("ALLOW a0 != 1", "ALLOW a1 != 1"),
    ("ALLOW a0 < 3", "ALLOW a0 > 5"),
    ("ALLOW a0 <= 3", "ALLOW a0 >= 5"),
    ("ALLOW a0 < 5", "ALLOW a0 > 3"),
    ("ALLOW a0 > 3", "ALLOW a0 > 5"),
    ("ALLOW a0 >= 3", "ALLOW a1 <= 5"),
    ("ALLOW a0 < 4294967297", "ALLOW a1 > 4294967297"),
    ("ALLOW a0 & 1", "ALLOW a0 & 2"),
    ("ALLOW a0 & 4294967297", "ALLOW a0 == 4"),
    ("ALLOW a0 & 1, a1 == 1", "ALLOW a0 & 1, a1 == 2"),
    ("ALLOW a0 == 1", "LOG a0 == 2"),
    ("ALLOW a0 == 1", "LOG a0 == 1"),
    ("ALLOW a0 == 1", "LOG a1 == 1"),
    ("ALLOW a0 == 1", "LOG a0 == 1, a1 == 1"),
    ("LOG a0 == 1", "ALLOW a0 == 1, a1 == 1"),
    ("ALLOW a0 == 1", "LOG a0 != 1"),
    ("ALLOW a0 < 3", "LOG a0 > 1"),
    ("ALLOW a0 == 1, a1 == 1", "ERRNO a0 == 1"),
    ("ALLOW a0 == 1, a1 == 1", "ERRNO a1 == 1"),
    ("ALLOW a0 == 1, a1 == 1", "ERRNO a1 == 1, a2 == 1"),
    ("ALLOW a0 == 5", "ERRNO a0 >= 3"),
    ("ALLOW a0 & 2", "ERRNO a0 & 1"),
    ("ALLOW a0 < 3", "ERRNO a0 < 5"),
    ("ALLOW a0 & 1", "TRAP a0 == 3"),
    ("ERRNO a0 == 1", "KILL_PROCESS a0 == 1"),
    ("ERRNO a0 == 1", "KILL_PROCESS a1 == 1"),
    ("ERRNO", "KILL_PROCESS a1 == 1"),
    ("ERRNO a1 == 1", "KILL_PROCESS"),
];

/// Unions which libseccomp may misread or which give up conditions. `validate` warns of the former;
/// what they say, they say right: never stricter than a part.
const GIVEN_UP: &[(&str, &str)] = &[
    ("ALLOW a0 == 1, a1 == 1, a2 == 1", "ERRNO a0 == 1"),
    ("ALLOW a0 == 5", "ERRNO a1 >= 3"),
    ("ALLOW a0 != 0, a1 != 0", "ERRNO"),
];

/// The rule which a text stands for, about getpriority(2).
pub(crate) fn rule(text: &str) -> Syscall {
    let (action, conditions) = text.split_once(' ').unwrap_or((text, ""));
    let conditions = conditions.split(", ").filter(|text| !text.is_empty());
    Syscall {
        names: vec!["getpriority".to_owned()],
        action: format!("SCMP_ACT_{action}").parse().unwrap(),
        errno_ret: None,
        args: conditions.map(condition).collect(),
    }
}

fn condition(text: &str) -> Arg {
    let [argument, operator, operand] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{text} is not a condition");
    };
    let op = match operator {
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterEqual,
        "&" => Operator::MaskedEqual,
        other => panic!("{other} is not an operator"),
    };
    let operand = operand.parse().unwrap();
    Arg {
        index: argument.strip_prefix('a').unwrap().parse().unwrap(),
        value: Some(operand),
        value_two: (op == Operator::MaskedEqual).then_some(operand),
        op,
    }
}

#[test]
fn the_table_is_decided_as_written() {
    for (left, right) in PAIRS {
        let [left, right] = [left, right].map(|text| rule(text));
        for default in [Action::Errno, Action::KillProcess, Action::Allow] {
            agrees(&spec(default, vec![left.clone()]));
            agrees(&spec(default, vec![right.clone()]));
            let both = spec(default, vec![left.clone(), right.clone()]);
            if validate::validate(&both).is_empty() {
                agrees(&both);
            }
        }
    }
}

#[test]
fn a_union_is_its_less_restrictive_part() {
    for (left, right) in PAIRS {
        check_union(left, right);
        check_union(right, left);
    }
}

#[test]
fn a_union_which_libseccomp_may_misread_is_warned_about_and_not_stricter() {
    for (left, right) in GIVEN_UP {
        for (left, right) in [(left, right), (right, left)] {
            let under = |syscalls| spec(Action::KillProcess, syscalls);
            let parts = [left, right].map(|text| vec![rule(text)]);
            let union = under(merge::unite(&parts[0], &parts[1]));
            let decided = |spec: &_, args| permission(decide::decide(spec, "getpriority", args));
            for args in calls(&parts.concat()) {
                let least = parts
                    .iter()
                    .map(|part| decided(&under(part.clone()), args))
                    .max();
                assert!(
                    Some(decided(&union, args)) >= least,
                    "{args:x?} {left} | {right}"
                );
            }
            if validate::validate(&union).is_empty() {
                agrees(&union);
            }
        }
    }
}

/// Compares a union with the less restrictive one of its parts.
fn check_union(left: &str, right: &str) {
    // Under the most restrictive default, a part which is silent restricts most.
    let under = |syscalls| spec(Action::KillProcess, syscalls);
    let parts = [left, right].map(|text| vec![rule(text)]);
    let union = under(merge::unite(&parts[0], &parts[1]));
    assert_eq!(validate::validate(&union), [], "{left} | {right}");
    agrees(&union);
    let union_program = program(&union);
    let calls = calls(&parts.concat());
    let parts = parts.map(|part| program(&under(part)));
    for args in calls {
        let [left_does, right_does] = parts.each_ref().map(|part| permission(verdict(part, args)));
        let does = permission(verdict(&union_program, args));
        assert_eq!(
            does,
            left_does.max(right_does),
            "{args:x?} {left} | {right} {union:?}"
        );
    }
}

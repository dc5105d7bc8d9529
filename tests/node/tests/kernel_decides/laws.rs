//! The same for random rules.

use proptest::prelude::*;
use spo_api::seccomp_profile::{Action, Arg, Operator, Syscall};
use spo_profile::seccomp::{merge, validate};

use crate::filter::{calls, program, verdict};
use crate::table::rule;
use crate::{agrees, permission, spec};

fn any_arg() -> impl Strategy<Value = Arg> {
    let operand = || {
        prop_oneof![
            0..4_i64,
            Just(0xffff_ffff),
            Just(1 << 32),
            Just((1 << 32) + 1),
            Just(i64::MAX)
        ]
    };
    let operator = prop::sample::select(Operator::ALL);
    (0..3_i32, operator, operand(), operand()).prop_map(|(index, op, value, two)| Arg {
        index,
        value: Some(value),
        // Mostly a value which the mask leaves possible.
        value_two: (op == Operator::MaskedEqual).then_some(if two == 3 {
            two
        } else {
            value & two
        }),
        op,
    })
}

fn any_rule() -> impl Strategy<Value = Syscall> {
    let errno = prop::option::of(prop::sample::select(vec![0, 1, 13]));
    let action = prop::sample::select(Action::ALL);
    let args = prop::collection::vec(any_arg(), 0..4);
    (action, errno, args).prop_map(|(action, errno_ret, args)| Syscall {
        action,
        errno_ret,
        args,
        ..rule("ALLOW")
    })
}

fn any_rules() -> impl Strategy<Value = Vec<Syscall>> {
    // Rules of one action are what profiles have, and what overlaps without a contradiction.
    let rules = prop::collection::vec(any_rule(), 1..4);
    (rules, any::<bool>()).prop_map(|(mut rules, one_action)| {
        let first = (rules[0].action, rules[0].errno_ret);
        for rule in rules.iter_mut().filter(|_| one_action) {
            (rule.action, rule.errno_ret) = first;
        }
        rules
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// What `validate` finds nothing wrong with is decided as `decide` says.
    #[test]
    fn what_passes_validation_is_decided_as_written(
        default in prop::sample::select(Action::ALL),
        rules in any_rules(),
    ) {
        let spec = spec(default, rules);
        if validate::validate(&spec).is_empty() {
            agrees(&spec);
        }
    }

    #[test]
    fn a_union_is_not_stricter_than_its_parts(left in any_rules(), right in any_rules()) {
        let under = |syscalls| spec(Action::KillProcess, syscalls);
        let calls = calls(&[left.clone(), right.clone()].concat());
        let union = under(merge::unite(&left, &right));
        let parts = [under(left), under(right)];
        let all = [&union, &parts[0], &parts[1]];
        if all.iter().all(|spec| validate::validate(spec).is_empty()) {
            let [union_program, left, right] = all.map(program);
            for args in calls {
                let part = permission(verdict(&left, args)).max(permission(verdict(&right, args)));
                let does = permission(verdict(&union_program, args));
                prop_assert!(does >= part, "{:x?} {:?} {:?}", args, union, parts);
            }
        }
    }
}

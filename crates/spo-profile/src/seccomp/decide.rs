//! What a container runtime makes of a profile: the reference meaning of rules.
//!
//! [`decide`] is how runc and crun build a filter with libseccomp and how the kernel runs it, for
//! 64-bit architectures:
//!
//! 1. Each name of an entry is a rule of its own. Several conditions on one argument are
//!    alternatives, conditions on different arguments must all hold (`rule.rs`).
//! 2. A rule whose action is the default action is skipped: the same action and, for `ERRNO` and
//!    `TRACE`, the same number, where none and 0 mean EPERM.
//! 3. A rule without conditions decides for its system call, whatever other rules there are; of
//!    two such rules the first one does.
//! 4. Otherwise a rule applies where its conditions hold, and rules of one action add up.
//! 5. Where no rule applies, the default action does.
//!
//! Where conditional rules with different actions overlap, libseccomp's choice depends on operators,
//! operands and the order of rules, or it refuses the profile. Nobody should build on that:
//! [`decide`] says the least restrictive action, as [`merge`](super::merge) does, and
//! [`validate`](super::validate) warns.
//!
//! Not modelled: runc answers ENOSYS instead of a denying default action to system calls that are
//! newer than all those which the profile names; a kernel that lacks an action; and rules that
//! libseccomp translates wrongly, for which `validate` warns too.
//! Source: libseccomp 2.5.4, src/db.c, db_rule_add; tests/fuzz compares with that library.

use spo_api::seccomp_profile::{Action, SeccompProfileSpec};

use super::effect::{Effect, rank};
use super::rule::{Rule, rules};

/// The action on the system call `syscall` with these arguments.
///
/// The rules are taken as they are written: base profiles have to be resolved before, and neither
/// `state` nor `architectures` matter.
pub fn decide(spec: &SeccompProfileSpec, syscall: &str, args: [u64; 6]) -> Action {
    let default = Effect::of_default(spec.default_action);
    let entries = spec.syscalls.iter();
    let rules: Vec<Rule> = entries
        .filter(|entry| entry.names.iter().any(|name| name == syscall))
        .flat_map(rules)
        .filter(|rule| rule.effect != default)
        .collect();
    let unconditional = rules.iter().find(|rule| rule.when.is_everything());
    let conditional = || {
        let applies = rules.iter().filter(|rule| rule.when.holds(&args));
        applies.max_by_key(|rule| rank(rule.effect.action))
    };
    let rule = unconditional.or_else(conditional);
    rule.map_or(spec.default_action, |rule| rule.effect.action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spo_api::seccomp_profile::{Arg, Operator, Syscall};

    use Action::{Allow, Errno, Kill, KillThread, Log};

    fn rule(action: Action, errno_ret: Option<i32>, args: &[(i32, Operator, i64)]) -> Syscall {
        let arg = |(index, op, value): &(i32, Operator, i64)| Arg {
            index: *index,
            value: Some(*value),
            value_two: None,
            op: *op,
        };
        let args = args.iter().map(arg).collect();
        Syscall {
            names: vec!["x".to_owned(), "y".to_owned()],
            action,
            errno_ret,
            args,
        }
    }

    fn check(default_action: Action, syscalls: &[Syscall], expected: [Action; 3]) {
        let spec = SeccompProfileSpec {
            default_action,
            syscalls: syscalls.to_vec(),
            ..SeccompProfileSpec::default()
        };
        let decided = [0, 1, 2].map(|a0| decide(&spec, "x", [a0, 7, 0, 0, 0, 0]));
        assert_eq!(decided, expected, "{default_action} {syscalls:?}");
        assert_eq!(decide(&spec, "z", [0; 6]), default_action);
    }

    #[test]
    fn rules_decide() {
        let is_one = [(0, Operator::Equal, 1)];
        check(Errno, &[], [Errno; 3]);
        check(Errno, &[rule(Allow, None, &[])], [Allow; 3]);
        check(Errno, &[rule(Allow, None, &is_one)], [Errno, Allow, Errno]);
        // Alternatives on one argument, all of it on several.
        let alternatives = [(0, Operator::Equal, 1), (0, Operator::Equal, 2)];
        check(
            Errno,
            &[rule(Allow, None, &alternatives)],
            [Errno, Allow, Allow],
        );
        let both = [(0, Operator::Equal, 1), (1, Operator::Less, 7)];
        check(Errno, &[rule(Allow, None, &both)], [Errno; 3]);
        let all_apart = [
            (0, Operator::Equal, 1),
            (0, Operator::Equal, 2),
            (1, Operator::Equal, 7),
        ];
        check(Errno, &[rule(Allow, None, &all_apart)], [Allow; 3]);
        check(
            Errno,
            &[rule(Allow, None, &[(9, Operator::NotEqual, 1)])],
            [Errno; 3],
        );
    }

    #[test]
    fn a_rule_without_conditions_decides_alone() {
        let is_one = [(0, Operator::Equal, 1)];
        let enosys = rule(Errno, Some(38), &[]);
        check(
            Kill,
            &[rule(Allow, None, &is_one), enosys.clone()],
            [Errno; 3],
        );
        check(Kill, &[enosys.clone(), rule(Allow, None, &[])], [Errno; 3]);
        check(Kill, &[rule(Allow, None, &[]), enosys.clone()], [Allow; 3]);
        // A mask of 0 is no condition.
        let void = [(0, Operator::MaskedEqual, 0)];
        check(
            Kill,
            &[rule(Allow, None, &is_one), rule(Errno, None, &void)],
            [Errno; 3],
        );
    }

    #[test]
    fn rules_with_the_default_action_are_skipped() {
        let is_one = [(0, Operator::Equal, 1)];
        let allow = rule(Allow, None, &is_one);
        check(
            Errno,
            &[rule(Errno, Some(1), &[]), allow.clone()],
            [Errno, Allow, Errno],
        );
        check(
            Errno,
            &[rule(Errno, Some(38), &[]), allow.clone()],
            [Errno; 3],
        );
        check(
            KillThread,
            &[rule(Kill, None, &[]), allow],
            [KillThread, Allow, KillThread],
        );
        check(
            Allow,
            &[rule(Allow, None, &[]), rule(Log, None, &is_one)],
            [Allow, Log, Allow],
        );
    }
}

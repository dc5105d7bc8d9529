//! Laws of merging, checking, resolving, rendering and parsing, on generated profiles.
//!
//! The meaning of rules is written down here a second time, straight from their fields and without
//! the crate's own types, so that the two can be compared.

use proptest::prelude::*;
use spo_api::seccomp_profile::{
    Action, Arch, Arg, DesiredState, Flag, Operator, SeccompProfileSpec, Syscall,
};
use spo_profile::seccomp::check::{Restrictions, check};
use spo_profile::seccomp::decide::decide;
use spo_profile::seccomp::merge::{unite, unite_under};
use spo_profile::seccomp::parse::parse;
use spo_profile::seccomp::render::{is_rendered, render, syscalls_annotation};
use spo_profile::seccomp::resolve::{Progress, Resolver};

const NAMES: [&str; 3] = ["read", "socket", "clone"];

/// Arguments at and around the operands that are generated.
const PROBES: [u64; 10] = [0, 1, 2, 3, 4, 5, 6, 1 << 32, (1 << 32) + 1, u64::MAX];

type Args = [u64; 6];

fn spec(default_action: Action, syscalls: &[Syscall]) -> SeccompProfileSpec {
    let syscalls = syscalls.to_vec();
    SeccompProfileSpec {
        default_action,
        syscalls,
        ..SeccompProfileSpec::default()
    }
}

/// How little an action restricts.
fn rank(action: Action) -> usize {
    use Action::*;
    let order = [
        KillProcess,
        KillThread,
        Trap,
        Errno,
        Notify,
        Trace,
        Log,
        Allow,
    ];
    let action = if action == Kill { KillThread } else { action };
    order
        .iter()
        .position(|other| *other == action)
        .expect("the order has every action")
}

fn holds(arg: &Arg, args: &Args) -> bool {
    let operand = arg.value.unwrap_or(0) as u64;
    let two = arg.value_two.unwrap_or(0) as u64;
    let value = args[arg.index as usize];
    match arg.op {
        Operator::NotEqual => value != operand,
        Operator::Less => value < operand,
        Operator::LessEqual => value <= operand,
        Operator::Equal => value == operand,
        Operator::GreaterEqual => value >= operand,
        Operator::Greater => value > operand,
        Operator::MaskedEqual => value & operand == two & operand,
    }
}

fn applies(entry: &Syscall, name: &str, args: &Args) -> bool {
    let on_same = |arg: &Arg| {
        entry
            .args
            .iter()
            .filter(|other| other.index == arg.index)
            .count()
    };
    let apart = entry.args.iter().any(|arg| on_same(arg) > 1);
    entry.names.iter().any(|other| other == name)
        && if apart {
            entry.args.iter().any(|arg| holds(arg, args))
        } else {
            entry.args.iter().all(|arg| holds(arg, args))
        }
}

/// What a list says about a call, if it says anything: the decision of a profile with that list,
/// unless it is the default action although no rule applies.
fn says(default: Action, list: &[Syscall], name: &str, args: &Args) -> Option<usize> {
    let silent = !list.iter().any(|entry| applies(entry, name, args));
    let decided = decide(&spec(default, list), name, *args);
    (!silent).then(|| rank(decided))
}

fn operators() -> impl Strategy<Value = Operator> {
    proptest::sample::select(Operator::ALL)
}

fn actions() -> impl Strategy<Value = Action> {
    // Few, so that rules often disagree and often agree.
    proptest::sample::select(&[
        Action::Allow,
        Action::Allow,
        Action::Log,
        Action::Errno,
        Action::Errno,
        Action::Kill,
    ])
}

fn arg(
    ops: impl Strategy<Value = Operator>,
    operands: &'static [i64],
) -> impl Strategy<Value = Arg> {
    let operand = proptest::sample::select(operands);
    (0..3i32, operand.clone(), operand, ops).prop_map(|(index, value, two, op)| Arg {
        index,
        value: (value != 0).then_some(value),
        value_two: (op == Operator::MaskedEqual && two != 0).then_some(two),
        op,
    })
}

const SMALL: &[i64] = &[0, 1, 2, 3, 5];
const WIDE: &[i64] = &[0, 1, 2, 3, 5, 1 << 32, i64::MAX];

fn entry(args: impl Strategy<Value = Vec<Arg>>) -> impl Strategy<Value = Syscall> {
    let names = proptest::sample::subsequence(&NAMES[..], 1..=3);
    let errno = proptest::option::of(proptest::sample::select(&[0, 1, 13, 38]));
    (names, actions(), errno, args).prop_map(|(names, action, errno_ret, args)| Syscall {
        names: names.into_iter().map(str::to_owned).collect(),
        action,
        errno_ret,
        args,
    })
}

/// Rules of any shape.
fn any_list() -> impl Strategy<Value = Vec<Syscall>> {
    let args = proptest::collection::vec(arg(operators(), WIDE), 0..4);
    proptest::collection::vec(entry(args), 0..5)
}

/// Rules whose unions can always be said: each has at most one condition, on the argument 0.
fn plain_list() -> impl Strategy<Value = Vec<Syscall>> {
    let ops = operators().prop_filter("masks", |op| *op != Operator::MaskedEqual);
    let first = arg(ops, SMALL).prop_map(|arg| Arg { index: 0, ..arg });
    let args = proptest::option::of(first).prop_map(|arg| arg.into_iter().collect());
    proptest::collection::vec(entry(args), 0..4)
}

/// Rules with one action, in conditions of any shape.
fn list_of(action: Action) -> impl Strategy<Value = Vec<Syscall>> {
    any_list().prop_map(move |mut list| {
        list.iter_mut().for_each(|entry| entry.action = action);
        list
    })
}

fn probes() -> impl Strategy<Value = Args> {
    let value = proptest::sample::select(&PROBES);
    (value.clone(), value.clone(), value).prop_map(|(one, two, three)| [one, two, three, 0, 0, 0])
}

/// Whether two lists say the same about everything that is probed.
fn agree(default: Action, one: &[Syscall], other: &[Syscall], probe: &Args) -> Result<(), String> {
    for name in NAMES {
        let both = [one, other].map(|list| says(default, list, name, probe));
        if both[0] != both[1] {
            return Err(format!("{name} {probe:?}: {both:?}\n{one:?}\n{other:?}"));
        }
    }
    Ok(())
}

macro_rules! check_agree {
    ($default:expr, $one:expr, $other:expr, $probe:expr) => {
        prop_assert_eq!(agree($default, $one, $other, $probe), Ok(()))
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_union_says_the_less_restrictive(
        default in actions(), left in plain_list(), right in plain_list(), probe in probes(),
    ) {
        let union = unite_under(default, &left, &right);
        for name in NAMES {
            let parts = [&left, &right].map(|list| says(default, list, name, &probe));
            let expected = parts.into_iter().max().flatten();
            prop_assert_eq!(says(default, &union, name, &probe), expected, "{} {:?}", name, union);
        }
    }

    #[test]
    fn a_union_of_rules_with_one_action_is_exact(
        default in actions(), left in list_of(Action::Trace), right in list_of(Action::Trace),
        probe in probes(),
    ) {
        let both: Vec<Syscall> = left.iter().chain(&right).cloned().collect();
        check_agree!(default, &unite(&left, &right), &both, &probe);
    }

    #[test]
    fn a_union_is_never_stricter(
        default in actions(), left in any_list(), right in any_list(), probe in probes(),
    ) {
        let union = unite_under(default, &left, &right);
        let plain_union = unite(&left, &right);
        for name in NAMES {
            let united = says(default, &union, name, &probe);
            let plainly = says(default, &plain_union, name, &probe);
            for part in [&left, &right] {
                let part = says(default, part, name, &probe);
                // Rules with the default action may be left to the default action.
                let by_default = part == Some(rank(default));
                prop_assert!(
                    united >= part || by_default, "{} {:?} {:?}\n{:?}", name, united, part, union,
                );
                prop_assert!(plainly >= part, "{} {:?} {:?}\n{:?}", name, plainly, part, plain_union);
            }
        }
    }

    #[test]
    fn order_and_repetition_do_not_matter(
        default in actions(), a in plain_list(), b in plain_list(), c in plain_list(),
        probe in probes(),
    ) {
        check_agree!(default, &unite(&a, &b), &unite(&b, &a), &probe);
        check_agree!(default, &unite(&unite(&a, &b), &c), &unite(&a, &unite(&b, &c)), &probe);
        let union = unite(&a, &b);
        prop_assert_eq!(&unite(&union, &union), &union);
        prop_assert_eq!(&unite(&union, &[]), &union);
        prop_assert_eq!(&unite(&[], &union), &union);
        check_agree!(default, &unite_under(default, &a, &[]), &a, &probe);
    }

    #[test]
    fn a_union_is_in_order(left in any_list(), right in any_list()) {
        let union = unite(&left, &right);
        prop_assert!(union.iter().all(|entry| entry.names.len() == 1));
        let names: Vec<&String> = union.iter().flat_map(|entry| &entry.names).collect();
        prop_assert!(names.is_sorted());
        for (index, entry) in union.iter().enumerate() {
            prop_assert!(!union[index + 1..].contains(entry), "{:?}", union);
        }
        // What is united once more is as it was.
        prop_assert_eq!(&unite(&union, &union), &union);
    }

    #[test]
    fn what_is_permitted_stays_so_when_more_is(
        default in actions(), list in any_list(),
        syscalls in proptest::sample::subsequence(&NAMES[..], 0..=3),
        more_syscalls in proptest::sample::subsequence(&NAMES[..], 0..=3),
        actions in proptest::sample::subsequence(Action::ALL, 0..=9),
        more_actions in proptest::sample::subsequence(Action::ALL, 0..=9),
    ) {
        let spec = spec(default, &list);
        let tight = restrictions(&syscalls, &actions);
        let loose = restrictions(
            &[syscalls, more_syscalls].concat(),
            &[actions.clone(), more_actions].concat(),
        );
        // A list that names its first denying action restricts those from then on.
        let is_looser = Action::ALL.iter().all(|action| {
            loose.permits_action(*action) || !tight.permits_action(*action)
        }) && (!tight.allowed_syscalls.is_empty() || loose.allowed_syscalls.is_empty());
        if is_looser && check(&spec, &tight).is_ok() {
            prop_assert_eq!(check(&spec, &loose), Ok(()));
        }
        prop_assert_eq!(check(&spec, &Restrictions::unrestricted()), Ok(()));
    }

    #[test]
    fn a_chain_is_a_fold_of_unions(
        default in actions(), own in any_list(),
        bases in proptest::collection::vec(any_list(), 1..5),
    ) {
        let base_name = |level: usize| (level < bases.len()).then(|| format!("base-{level}"));
        let with_base = |list: &[Syscall], level| SeccompProfileSpec {
            base_profile_name: base_name(level),
            ..spec(default, list)
        };
        let mut resolver = Resolver::new("web", with_base(&own, 0));
        let resolved = loop {
            match resolver.step() {
                Progress::Need(need) => {
                    let level = (0..).find(|level| base_name(*level) == Some(need.base().to_string()));
                    let level = level.unwrap();
                    resolver = need.answer(Some(with_base(&bases[level], level + 1)));
                }
                Progress::Done(resolved) => break resolved,
                Progress::Failed(error) => panic!("{error}"),
            }
        };
        let fold = |union: Vec<Syscall>, base: &Vec<Syscall>| unite_under(default, base, &union);
        prop_assert_eq!(&resolved.spec.syscalls, &bases.iter().fold(own, fold));
        prop_assert_eq!(resolved.bases.len(), bases.len());
    }

    #[test]
    fn what_is_rendered_is_parsed(
        mut list in any_list(),
        state in proptest::sample::select(&[DesiredState::Enabled, DesiredState::Disabled]),
        texts in proptest::array::uniform3(proptest::option::of(".{0,8}")),
        architectures in proptest::sample::subsequence(Arch::ALL, 0..4),
        flags in proptest::sample::subsequence(Flag::ALL, 0..4),
        default_action in proptest::sample::select(Action::ALL),
        name in ".{1,8}",
    ) {
        if let Some(entry) = list.first_mut() {
            entry.names.push(name);
        }
        let [base_profile_name, listener_path, listener_metadata] = texts;
        let spec = SeccompProfileSpec {
            state, base_profile_name, default_action, architectures, listener_path,
            listener_metadata, syscalls: list, flags,
        };
        let bytes = render(&spec);
        prop_assert!(is_rendered(&bytes));
        prop_assert_eq!(&render(&spec.clone()), &bytes);
        let parsed = parse(&bytes).unwrap();
        prop_assert_eq!(parsed.losses, vec![]);
        prop_assert_eq!(&render(&parsed.spec), &bytes);
        let annotation = syscalls_annotation(&spec.syscalls);
        let text = String::from_utf8(bytes).unwrap();
        prop_assert!(spec.syscalls.is_empty() || text.contains(&annotation));
        prop_assert_eq!(parsed.spec, normalize(spec));
    }
}

fn restrictions(syscalls: &[&str], actions: &[Action]) -> Restrictions {
    Restrictions {
        allowed_syscalls: syscalls.iter().map(|name| (*name).to_owned()).collect(),
        allowed_actions: actions.iter().copied().collect(),
    }
}

/// Without what is empty or zero.
fn normalize(spec: SeccompProfileSpec) -> SeccompProfileSpec {
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut spec = SeccompProfileSpec {
        base_profile_name: text(spec.base_profile_name),
        listener_path: text(spec.listener_path),
        listener_metadata: text(spec.listener_metadata),
        ..spec
    };
    for entry in &mut spec.syscalls {
        entry.errno_ret = entry.errno_ret.filter(|number| *number != 0);
    }
    spec
}

//! Profiles made of arbitrary bytes, in the range where rules meet: one system call, three
//! arguments, few operands.

use arbitrary::{Arbitrary, Result, Unstructured};
use spo_api::seccomp_profile::{Action, Arg, Operator, SeccompProfileSpec, Syscall};

/// The system call of all rules, by name and by number on x86_64.
pub const NAME: &str = "socket";

/// Operands around which comparisons of 32-bit halves change their answer.
const OPERANDS: [i64; 12] = [
    0,
    1,
    2,
    3,
    5,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x2_0000_0000,
    i64::MAX - 1,
    i64::MAX,
];

/// Operands which are often equal or one apart, so that rules often meet.
const FEW: usize = 5;

const ACTIONS: [Action; 4] = [Action::Allow, Action::Errno, Action::Log, Action::Kill];

/// Two lists of rules, and the default action under which they are applied.
#[derive(Debug)]
pub struct Lists {
    pub default: Action,
    pub left: Vec<Syscall>,
    pub right: Vec<Syscall>,
}

impl<'a> Arbitrary<'a> for Lists {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let operands = if input.ratio(2, 3)? {
            &OPERANDS[..FEW]
        } else {
            &OPERANDS[..]
        };
        let default = *input.choose(&ACTIONS)?;
        Ok(Self {
            default,
            left: list(input, operands)?,
            right: list(input, operands)?,
        })
    }
}

/// A profile with these rules.
pub fn spec(default_action: Action, syscalls: Vec<Syscall>) -> SeccompProfileSpec {
    SeccompProfileSpec {
        default_action,
        syscalls,
        ..SeccompProfileSpec::default()
    }
}

fn list(input: &mut Unstructured<'_>, operands: &[i64]) -> Result<Vec<Syscall>> {
    let length = input.int_in_range(0..=3)?;
    (0..length).map(|_| entry(input, operands)).collect()
}

fn entry(input: &mut Unstructured<'_>, operands: &[i64]) -> Result<Syscall> {
    let length = *input.choose(&[0, 1, 1, 1, 2, 2, 3])?;
    let args: Result<Vec<Arg>> = (0..length).map(|_| arg(input, operands)).collect();
    Ok(Syscall {
        names: vec![NAME.to_owned()],
        action: *input.choose(&ACTIONS)?,
        errno_ret: *input.choose(&[None, None, Some(38)])?,
        args: args?,
    })
}

fn arg(input: &mut Unstructured<'_>, operands: &[i64]) -> Result<Arg> {
    let operator = if input.ratio(1, 2)? {
        Operator::Equal
    } else {
        *input.choose(Operator::ALL)?
    };
    Ok(Arg {
        index: input.int_in_range(0..=2)?,
        value: Some(*input.choose(operands)?),
        value_two: Some(*input.choose(operands)?).filter(|_| operator == Operator::MaskedEqual),
        op: operator,
    })
}

/// Arguments on both sides of every operand of a list.
pub fn probes(lists: &[&[Syscall]]) -> Vec<[u64; 6]> {
    let entries = lists.iter().flat_map(|list| list.iter());
    let args: Vec<&Arg> = entries.flat_map(|entry| &entry.args).collect();
    let values = |index: i32| {
        let operands = args.iter().filter(|arg| arg.index == index);
        let operands = operands
            .flat_map(|arg| [arg.value, arg.value_two])
            .flatten();
        let mut values: Vec<u64> = operands
            .map(i64::cast_unsigned)
            .flat_map(|value| [value.wrapping_sub(1), value, value.wrapping_add(1)])
            .chain([0, 1 << 32])
            .collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let (first, second, third) = (values(0), values(1), values(2));
    let mut probes = vec![];
    for a in &first {
        for b in &second {
            probes.extend(third.iter().map(|c| [*a, *b, *c, 0, 0, 0]));
        }
    }
    probes
}

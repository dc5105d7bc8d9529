//! One rule for one system call, as a container runtime hands it to libseccomp.
//!
//! Conditions of a rule are on different arguments, and all of them must hold. runc and crun turn
//! an entry which has several conditions on one argument into as many rules with one condition
//! each, of which any may hold (runc, libcontainer/seccomp/seccomp_linux.go, matchCall).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use spo_api::seccomp_profile::{Arg, Syscall};

use super::condition::Condition;
use super::effect::Effect;

/// The arguments that a system call has. A condition on another one never holds.
const INDICES: RangeInclusive<i32> = 0..=5;

/// What happens to a system call, and with which arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    pub(crate) when: Cube,
}

impl Rule {
    /// The rule as an entry of a profile.
    pub(crate) fn to_entry(&self, name: &str) -> Syscall {
        let args = self
            .when
            .0
            .iter()
            .map(|(index, condition)| condition.to_arg(*index));
        Syscall {
            names: vec![name.to_owned()],
            action: self.effect.action,
            errno_ret: self.effect.errno_ret,
            args: args.collect(),
        }
    }
}

/// The rules which a runtime makes of an entry, for each of its names.
pub(crate) fn rules(entry: &Syscall) -> Vec<Rule> {
    let Syscall {
        names: _,
        action,
        errno_ret,
        args,
    } = entry;
    let effect = Effect {
        action: *action,
        errno_ret: *errno_ret,
    };
    let indices: BTreeSet<i32> = args.iter().map(|arg| arg.index).collect();
    let cubes = if indices.len() == args.len() {
        vec![Cube::of(args)]
    } else {
        args.iter()
            .map(|arg| Cube::of(std::slice::from_ref(arg)))
            .collect()
    };
    cubes
        .into_iter()
        .map(|when| Rule { effect, when })
        .collect()
}

/// Arguments which meet one condition each. Without any condition: all arguments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cube(BTreeMap<i32, Condition>);

impl Cube {
    fn of(args: &[Arg]) -> Self {
        let conditions = args.iter().map(|arg| (arg.index, Condition::of(arg)));
        Cube(
            conditions
                .filter(|(_, condition)| !condition.is_void())
                .collect(),
        )
    }

    /// Whether libseccomp takes a rule with these conditions as one without any.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The conditions with the index of their argument.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = (i32, Condition)> {
        self.0.iter().map(|(index, condition)| (*index, *condition))
    }

    /// Whether all conditions hold.
    pub(crate) fn holds(&self, args: &[u64; 6]) -> bool {
        self.conditions().all(|(index, condition)| {
            let argument = usize::try_from(index)
                .ok()
                .and_then(|index| args.get(index));
            argument.is_some_and(|argument| condition.holds(*argument))
        })
    }

    /// Whether some arguments may be in both. Errs on the side of yes.
    pub(crate) fn overlaps(&self, other: &Cube) -> bool {
        let mut indices = self.0.keys().chain(other.0.keys());
        indices.all(|index| INDICES.contains(index))
            && self.conditions().all(|(index, condition)| {
                let both = other.0.get(&index).map(|other| condition.intersect(*other));
                both.is_none_or(|both| both.is_none_or(|both| !both.is_empty()))
            })
    }

    /// Whether all arguments in `other` are in `self` as well. Errs on the side of no.
    pub(crate) fn contains(&self, other: &Cube) -> bool {
        self.conditions().all(|(index, condition)| {
            let narrower = other.0.get(&index);
            narrower.is_some_and(|narrower| narrower.intersect(condition) == Some(vec![*narrower]))
        })
    }

    /// Cubes which together hold exactly the arguments that are in `self` and not in `other`;
    /// `None` if conditions can not say that.
    pub(crate) fn minus(&self, other: &Cube) -> Option<Vec<Cube>> {
        if !self.overlaps(other) {
            return Some(vec![self.clone()]);
        }
        let mut parts = vec![];
        for (index, condition) in other.conditions() {
            for negated in condition.negated()? {
                parts.extend(self.and(index, negated)?);
            }
        }
        Some(parts)
    }

    /// The part of the cube in which one more condition holds.
    fn and(&self, index: i32, condition: Condition) -> Option<Vec<Cube>> {
        let narrowed = match self.0.get(&index) {
            Some(present) => present.intersect(condition)?,
            None => vec![condition],
        };
        let with = |condition| {
            let mut conditions = self.0.clone();
            conditions.insert(index, condition);
            Cube(conditions)
        };
        Some(narrowed.into_iter().map(with).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spo_api::seccomp_profile::{Action, Operator};

    fn arg(index: i32, op: Operator, value: i64) -> Arg {
        Arg {
            index,
            value: Some(value),
            value_two: None,
            op,
        }
    }

    fn cubes(args: &[Arg]) -> Vec<Cube> {
        let entry = Syscall {
            names: vec!["x".to_owned()],
            action: Action::Allow,
            errno_ret: None,
            args: args.to_vec(),
        };
        rules(&entry).into_iter().map(|rule| rule.when).collect()
    }

    #[test]
    fn conditions_on_one_argument_are_alternatives() {
        let equal = |index, value| arg(index, Operator::Equal, value);
        assert_eq!(cubes(&[]).len(), 1);
        assert_eq!(cubes(&[equal(0, 1), equal(1, 1)]).len(), 1);
        // As soon as two are on one argument, runc takes all of them apart.
        assert_eq!(cubes(&[equal(0, 1), equal(0, 2), equal(1, 1)]).len(), 3);
    }

    #[test]
    fn a_mask_of_zero_is_no_condition() {
        let void = Arg {
            index: 0,
            value: None,
            value_two: Some(7),
            op: Operator::MaskedEqual,
        };
        assert!(cubes(&[void]).iter().all(Cube::is_everything));
    }

    #[test]
    fn a_difference_holds_where_only_the_first_does() {
        let shapes = [
            vec![],
            vec![arg(0, Operator::Equal, 1)],
            vec![arg(0, Operator::NotEqual, 1)],
            vec![arg(0, Operator::Equal, 1), arg(1, Operator::Equal, 2)],
            vec![arg(1, Operator::Greater, 1), arg(2, Operator::Less, 2)],
            vec![arg(1, Operator::MaskedEqual, 3)],
            vec![arg(7, Operator::Equal, 3)],
        ];
        for one in shapes.iter().flat_map(|args| cubes(args)) {
            for other in shapes.iter().flat_map(|args| cubes(args)) {
                let Some(parts) = one.minus(&other) else {
                    continue;
                };
                if one.contains(&other) && other.overlaps(&one) {
                    assert_eq!(other.minus(&one), Some(vec![]));
                }
                for bits in 0..64 {
                    let args = [bits & 3, (bits >> 2) & 3, bits >> 4, 0, 0, 0];
                    let expected = one.holds(&args) && !other.holds(&args);
                    let any = parts.iter().any(|part| part.holds(&args));
                    assert_eq!(any, expected, "{one:?} - {other:?} at {args:?}");
                }
            }
        }
    }
}

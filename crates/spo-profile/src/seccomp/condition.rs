//! A condition on one argument of a system call, as the set of values which it lets through.

use std::ops::RangeInclusive;

use spo_api::seccomp_profile::{Arg, Operator};

/// Largest operand that the API can hold: `int64` with `minimum: 0`.
const OPERAND_MAX: u64 = i64::MAX.unsigned_abs();

/// Up to how many values, or bits of a mask, are written one by one where no operator says it.
const ENUMERATED_MAX: u32 = 16;

/// A comparison with its operands. libseccomp compares without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    NotEqual(u64),
    Less(u64),
    LessEqual(u64),
    Equal(u64),
    GreaterEqual(u64),
    Greater(u64),
    /// `argument & mask == value`; `value` has no bit outside `mask`.
    Masked {
        mask: u64,
        value: u64,
    },
}

impl Condition {
    /// The condition which the fields of `arg` state. `valueTwo` counts for `MASKED_EQ` only.
    pub(crate) fn of(arg: &Arg) -> Self {
        let Arg {
            index: _,
            value,
            value_two,
            op,
        } = arg;
        let operand = value.unwrap_or_default().cast_unsigned();
        match op {
            Operator::NotEqual => Condition::NotEqual(operand),
            Operator::Less => Condition::Less(operand),
            Operator::LessEqual => Condition::LessEqual(operand),
            Operator::Equal => Condition::Equal(operand),
            Operator::GreaterEqual => Condition::GreaterEqual(operand),
            Operator::Greater => Condition::Greater(operand),
            Operator::MaskedEqual => {
                // libseccomp masks both sides (db.c, _db_node_mask_fixup).
                let value = value_two.unwrap_or_default().cast_unsigned() & operand;
                Condition::Masked {
                    mask: operand,
                    value,
                }
            }
        }
    }

    /// The fields which state this condition on the argument `index`.
    pub(crate) fn to_arg(self, index: i32) -> Arg {
        let (op, value, value_two) = match self {
            Condition::NotEqual(operand) => (Operator::NotEqual, operand, 0),
            Condition::Less(operand) => (Operator::Less, operand, 0),
            Condition::LessEqual(operand) => (Operator::LessEqual, operand, 0),
            Condition::Equal(operand) => (Operator::Equal, operand, 0),
            Condition::GreaterEqual(operand) => (Operator::GreaterEqual, operand, 0),
            Condition::Greater(operand) => (Operator::Greater, operand, 0),
            Condition::Masked { mask, value } => (Operator::MaskedEqual, mask, value),
        };
        let field = |operand: u64| (operand != 0).then_some(operand.cast_signed());
        Arg {
            index,
            value: field(value),
            value_two: field(value_two),
            op,
        }
    }

    /// Whether it lets a value through.
    pub(crate) fn holds(self, argument: u64) -> bool {
        match self {
            Condition::NotEqual(operand) => argument != operand,
            Condition::Less(operand) => argument < operand,
            Condition::LessEqual(operand) => argument <= operand,
            Condition::Equal(operand) => argument == operand,
            Condition::GreaterEqual(operand) => argument >= operand,
            Condition::Greater(operand) => argument > operand,
            Condition::Masked { mask, value } => argument & mask == value,
        }
    }

    /// Whether libseccomp leaves it out because it lets every value through: a mask of 0. Other
    /// conditions which always hold, such as `GE 0`, count as conditions there.
    pub(crate) fn is_void(self) -> bool {
        matches!(self, Condition::Masked { mask: 0, .. })
    }

    fn is_never(self) -> bool {
        matches!(self, Condition::Less(0) | Condition::Greater(u64::MAX))
    }

    fn is_always(self) -> bool {
        let all = [Condition::GreaterEqual(0), Condition::LessEqual(u64::MAX)];
        all.contains(&self) || self.is_void()
    }

    /// Whether it compares by size.
    pub(crate) fn is_range(self) -> bool {
        match self {
            Condition::Less(_)
            | Condition::LessEqual(_)
            | Condition::GreaterEqual(_)
            | Condition::Greater(_) => true,
            Condition::NotEqual(_) | Condition::Equal(_) | Condition::Masked { .. } => false,
        }
    }

    /// Conditions of which at least one lets a value through exactly if this one does not; `None`
    /// if that would be too many.
    pub(crate) fn negated(self) -> Option<Vec<Condition>> {
        let one = match self {
            Condition::NotEqual(operand) => Condition::Equal(operand),
            Condition::Less(operand) => Condition::GreaterEqual(operand),
            Condition::LessEqual(operand) => Condition::Greater(operand),
            Condition::Equal(operand) => Condition::NotEqual(operand),
            Condition::GreaterEqual(operand) => Condition::Less(operand),
            Condition::Greater(operand) => Condition::LessEqual(operand),
            Condition::Masked { mask, value } => return negated_bits(mask, value),
        };
        Some(vec![one])
    }

    /// Conditions of which at least one lets a value through exactly if both `self` and `other` do;
    /// none if nothing passes both; `None` if the API has no operators for that.
    pub(crate) fn intersect(self, other: Condition) -> Option<Vec<Condition>> {
        match (self, other) {
            _ if self == other => Some(vec![self]),
            (nothing, _) | (_, nothing) if nothing.is_never() => Some(vec![]),
            (all, narrower) | (narrower, all) if all.is_always() => Some(vec![narrower]),
            (Condition::Equal(value), set) | (set, Condition::Equal(value)) => {
                Some(if set.holds(value) {
                    vec![Condition::Equal(value)]
                } else {
                    vec![]
                })
            }
            (
                Condition::Masked { mask, value },
                Condition::Masked {
                    mask: other_mask,
                    value: other_value,
                },
            ) => {
                let agree = (value ^ other_value) & mask & other_mask == 0;
                let both = Condition::Masked {
                    mask: mask | other_mask,
                    value: value | other_value,
                };
                Some(if agree { vec![both] } else { vec![] })
            }
            (masked @ Condition::Masked { .. }, Condition::NotEqual(value))
            | (Condition::NotEqual(value), masked @ Condition::Masked { .. })
                if !masked.holds(value) =>
            {
                Some(vec![masked])
            }
            (Condition::Masked { .. }, _) | (_, Condition::Masked { .. }) => None,
            _ => intersect_ranges(&self.ranges(), &other.ranges()),
        }
    }

    /// The values as ranges in ascending order. A mask has none.
    fn ranges(self) -> Vec<RangeInclusive<u64>> {
        let below = |operand: u64| operand.checked_sub(1).map(|last| 0..=last);
        let above = |operand: u64| operand.checked_add(1).map(|first| first..=u64::MAX);
        match self {
            Condition::NotEqual(operand) => {
                below(operand).into_iter().chain(above(operand)).collect()
            }
            Condition::Less(operand) => below(operand).into_iter().collect(),
            Condition::LessEqual(operand) => vec![0..=operand],
            Condition::Equal(operand) => vec![operand..=operand],
            Condition::GreaterEqual(operand) => vec![operand..=u64::MAX],
            Condition::Greater(operand) => above(operand).into_iter().collect(),
            Condition::Masked { .. } => vec![],
        }
    }
}

/// Conditions of which each lets through what differs in one bit of the mask.
fn negated_bits(mask: u64, value: u64) -> Option<Vec<Condition>> {
    if mask.count_ones() > ENUMERATED_MAX {
        return None;
    }
    let bits = (0..u64::BITS)
        .map(|shift| 1 << shift)
        .filter(|bit| mask & bit != 0);
    Some(
        bits.map(|bit| Condition::Masked {
            mask: bit,
            value: !value & bit,
        })
        .collect(),
    )
}

/// The values which are in a range of both lists, as conditions.
fn intersect_ranges(
    left: &[RangeInclusive<u64>],
    right: &[RangeInclusive<u64>],
) -> Option<Vec<Condition>> {
    let mut conditions = vec![];
    for one in left {
        for other in right {
            let first = *one.start().max(other.start());
            let last = *one.end().min(other.end());
            if first <= last {
                conditions.extend(express(first, last)?);
            }
        }
    }
    Some(conditions)
}

/// Conditions which let exactly `first..=last` through, if there are operands for that.
fn express(first: u64, last: u64) -> Option<Vec<Condition>> {
    let (operand, conditions) = if first == last {
        (first, vec![Condition::Equal(first)])
    } else if last == u64::MAX {
        (first, vec![Condition::GreaterEqual(first)])
    } else if first == 0 {
        (last, vec![Condition::LessEqual(last)])
    } else if last - first < u64::from(ENUMERATED_MAX) {
        (last, (first..=last).map(Condition::Equal).collect())
    } else {
        return None;
    };
    (operand <= OPERAND_MAX).then_some(conditions)
}

#[cfg(test)]
mod tests;

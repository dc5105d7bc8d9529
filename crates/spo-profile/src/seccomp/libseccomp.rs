//! What libseccomp makes of the rules of one system call that it can not hold exactly.
//!
//! It keeps conditional rules in a tree of 32-bit comparisons which has one place for each
//! comparison (libseccomp 2.5.4 and 2.6, src/db.c, _db_tree_add). Some rules do not fit beside each
//! other: it drops one of them, lets too much through, or does not return. The shapes below were
//! found by comparing random rules with the filter that the library generates; the fuzz target
//! `libseccomp` holds that everything else is translated exactly.

use super::condition::Condition;
use super::rule::Rule;

/// Operands from here on are compared in two halves.
const HALF: u64 = 1 << 32;

/// Whether a filter may decide otherwise than these rules of one system call do.
///
/// Every rule for itself is translated exactly. Errs on the side of yes.
pub(crate) fn misreads(rules: &[Rule]) -> bool {
    let rules: Vec<&Rule> = rules
        .iter()
        .filter(|rule| !rule.when.is_everything())
        .collect();
    match rules.as_slice() {
        [] | [_] => false,
        [one, other] if one.effect != other.effect && are_opposites(one, other) => false,
        _ => {
            rules.iter().any(|rule| is_chain_with_branches(rule))
                || pairs(&rules).any(|(one, other)| {
                    shadows(one, other) || shadows(other, one) || has_wide_ranges(one, other)
                })
        }
    }
}

/// Two rules which both apply to some arguments and differ in what then happens, if there are any.
///
/// Rules beside one without conditions are left out: that one decides.
pub(crate) fn contradiction(rules: &[Rule]) -> Option<(&Rule, &Rule)> {
    let rules: Vec<&Rule> = rules
        .iter()
        .filter(|rule| !rule.when.is_everything())
        .collect();
    let mut contradictions = pairs(&rules)
        .filter(|(one, other)| one.effect != other.effect && one.when.overlaps(&other.when));
    contradictions.next()
}

fn pairs<'a>(rules: &[&'a Rule]) -> impl Iterator<Item = (&'a Rule, &'a Rule)> {
    let later = |index: usize| rules.iter().skip(index + 1);
    rules
        .iter()
        .enumerate()
        .flat_map(move |(index, one)| later(index).map(move |other| (*one, *other)))
}

/// Two rules of which one asks for the opposite of the other on some argument, as `a0 == 1` and
/// `a0 != 1 && a1 == 2` do: both use the same comparison, one its true and the other its false
/// branch. With the same effect libseccomp would still take one for a part of the other.
fn are_opposites(one: &Rule, other: &Rule) -> bool {
    one.when.conditions().any(|(index, condition)| {
        let opposite = condition.negated().unwrap_or_default();
        let mut rest = one.when.conditions().chain(other.when.conditions());
        other
            .when
            .conditions()
            .any(|(at, other)| at == index && opposite == [other])
            && rest.all(|(at, condition)| at == index || is_single_value(condition))
    })
}

/// Conditions on several arguments of which one lets several values through: the rest of the chain
/// then hangs below more than one branch.
fn is_chain_with_branches(rule: &Rule) -> bool {
    rule.when.conditions().count() > 1
        && rule
            .when
            .conditions()
            .any(|(_, condition)| !is_single_value(condition))
}

/// Whether all comparisons of one rule are also in a chain with the same effect: libseccomp takes
/// the chain out, and with it what else begins like it. `!=` is the same comparison as `==`.
fn shadows(one: &Rule, chain: &Rule) -> bool {
    let is_in_chain = |(index, condition): (i32, Condition)| {
        let mut conditions = chain.when.conditions();
        conditions.any(|(at, other)| {
            at == index && (other == condition || condition.negated() == Some(vec![other]))
        })
    };
    one.effect == chain.effect
        && one.when.conditions().count() < chain.when.conditions().count()
        && one.when.conditions().all(is_in_chain)
}

/// Whether two comparisons by size of one argument differ in their upper halves.
fn has_wide_ranges(one: &Rule, other: &Rule) -> bool {
    let mut ranges = one
        .when
        .conditions()
        .filter(|(_, condition)| condition.is_range());
    ranges.any(|(index, condition)| {
        let mut others = other.when.conditions();
        others.any(|(other_index, other)| {
            let wide = operand(condition).max(operand(other)) >= HALF;
            other_index == index && other.is_range() && wide
        })
    })
}

fn is_single_value(condition: Condition) -> bool {
    matches!(condition, Condition::Equal(_) | Condition::Masked { .. })
}

fn operand(condition: Condition) -> u64 {
    match condition {
        Condition::NotEqual(operand)
        | Condition::Less(operand)
        | Condition::LessEqual(operand)
        | Condition::Equal(operand)
        | Condition::GreaterEqual(operand)
        | Condition::Greater(operand) => operand,
        Condition::Masked { mask, value: _ } => mask,
    }
}

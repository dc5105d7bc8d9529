//! Union of rules.
//!
//! # What a union means
//!
//! A list of rules says, for some system calls with some arguments, what happens to them; about all
//! others it is silent. Where only one list says something, the union says the same. Where both do,
//! it says the less restrictive of the two, in the order KILL_PROCESS, KILL = KILL_THREAD, TRAP,
//! ERRNO, NOTIFY, TRACE, LOG, ALLOW. Where none does, it is silent, so that the default action
//! applies. So a union is never stricter than one of its parts and never wider than both.
//!
//! Of two actions that restrict equally much, the one without conditions is taken, else the left
//! one; so it is for two values of `errnoRet`.
//!
//! # How it is written
//!
//! One name per entry, sorted by name, then by conditions. Rules with different conditions stay
//! different entries: libseccomp applies each where its own conditions hold, while conditions in
//! one entry restrict each other. A rule replaces those which it makes pointless.
//! A less restrictive rule with conditions takes them out of a more restrictive one:
//! `ALLOW if a0 == 1` and `ERRNO` become `ALLOW if a0 == 1` and `ERRNO if a0 != 1`.
//! A name that only one entry has keeps its conditions exactly as they are.
//!
//! # Where that can not be said
//!
//! What is left of a rule may need conditions that the format lacks (`a0 > 3 && a0 < 100`, since
//! conditions on one argument are alternatives; operands of 2^63 and above), or which libseccomp
//! translates wrongly beside the other rules (`libseccomp.rs`). Then the more restrictive rule gets
//! the less restrictive action, under its own conditions: wider than both, never stricter. The same
//! goes for more than 64 rules with several actions. Rules with one action are always exact; where
//! libseccomp would not understand those, [`validate`](super::validate) says so.
//!
//! # A list that contradicts itself
//!
//! Rules of one list for the same system call are united with each other just so. A runtime reads
//! such a list by other rules, which depend on the default action ([`decide`](super::decide), 2 and
//! 3). [`unite_under`] reads it in that way; use it wherever the default action is known. Rules with
//! the default action which can not be told apart from the others are then left to that action.

use std::collections::{BTreeMap, BTreeSet};

use spo_api::seccomp_profile::{Action, Syscall};

use super::effect::{Effect, rank};
use super::libseccomp;
use super::rule::{Cube, Rule, rules};

/// Rules for one system call beyond which conditions are not looked into: less restrictive actions
/// take everything, as where a union can not be said. It bounds the work, and a filter has room for
/// 4096 instructions anyway (Linux, `BPF_MAXINSNS`).
const RULES_MAX: usize = 64;

/// The union of two lists of rules, of which nobody knows the default action.
pub fn unite(left: &[Syscall], right: &[Syscall]) -> Vec<Syscall> {
    united(by_name(left.iter().chain(right)))
}

/// The union of two lists of rules which are both applied under the default action `default`.
///
/// The same as [`unite`], but where a list contradicts itself, the union starts from what a
/// container runtime makes of that list.
pub fn unite_under(default: Action, left: &[Syscall], right: &[Syscall]) -> Vec<Syscall> {
    let read = |list: &[Syscall]| -> Vec<Syscall> {
        let entries = by_name(list.iter()).into_iter();
        entries
            .flat_map(|(name, entries)| read_under(default, &name, entries))
            .collect()
    };
    unite(&read(left), &read(right))
}

/// The entries of each name, in order. What occurs twice is there once.
fn by_name<'a>(entries: impl Iterator<Item = &'a Syscall>) -> BTreeMap<String, Vec<Syscall>> {
    let mut by_name: BTreeMap<String, Vec<Syscall>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for Syscall {
        names,
        action,
        errno_ret,
        args,
    } in entries
    {
        for name in names {
            if seen.insert((name, action, errno_ret, args)) {
                by_name.entry(name.clone()).or_default().push(Syscall {
                    names: vec![name.clone()],
                    action: *action,
                    errno_ret: *errno_ret,
                    args: args.clone(),
                });
            }
        }
    }
    by_name
}

fn united(by_name: BTreeMap<String, Vec<Syscall>>) -> Vec<Syscall> {
    let mut united = vec![];
    for (name, entries) in by_name {
        if entries.len() == 1 {
            united.extend(entries);
        } else {
            let rules = canonical(entries.iter().flat_map(rules).collect());
            let mut entries: Vec<Syscall> = rules.iter().map(|rule| rule.to_entry(&name)).collect();
            entries.sort_by(|one, other| one.args.cmp(&other.args));
            united.extend(entries);
        }
    }
    united
}

/// What a runtime makes of the entries which one list has for a name.
fn read_under(default: Action, name: &str, entries: Vec<Syscall>) -> Vec<Syscall> {
    if entries.len() == 1 {
        return entries;
    }
    let default = Effect::of_default(default);
    let rules = entries.iter().flat_map(rules);
    let (skipped, mut applied): (Vec<Rule>, Vec<Rule>) =
        rules.partition(|rule| rule.effect == default);
    if applied.is_empty() {
        return entries;
    }
    if let Some(rule) = applied.iter().find(|rule| rule.when.is_everything()) {
        return vec![rule.to_entry(name)];
    }
    // Skipped rules still say what their author wants where no other rule of the list applies.
    let mut parts = vec![];
    for rule in skipped
        .iter()
        .filter(|_| skipped.len() + applied.len() <= RULES_MAX)
    {
        let cubes = remainder(rule, &applied).unwrap_or_default();
        parts.extend(cubes.into_iter().map(|when| Rule {
            effect: rule.effect,
            when,
        }));
    }
    applied.extend(parts);
    applied.iter().map(|rule| rule.to_entry(name)).collect()
}

/// Replaces an effect in all rules of a system call by one that restricts less.
struct Relax {
    from: Effect,
    to: Effect,
}

/// The rules of one system call so that no two of them say different things about the same
/// arguments.
fn canonical(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_by_key(restriction);
    if rules.len() > RULES_MAX {
        return relaxed(&rules);
    }
    loop {
        match take_apart(&rules) {
            Ok(apart) => return apart,
            // Each turn leaves one effect less.
            Err(Relax { from, to }) => {
                for rule in rules.iter_mut().filter(|rule| rule.effect == from) {
                    rule.effect = to;
                }
                rules.sort_by_key(restriction);
            }
        }
    }
}

/// The order in which rules are looked at: the least restrictive come first, because they are kept
/// whole; of equals, those without conditions, because they make the others pointless; then the
/// left ones, as sorting is stable.
fn restriction(rule: &Rule) -> (u8, bool) {
    (
        u8::MAX - rank(rule.effect.action),
        !rule.when.is_everything(),
    )
}

/// All rules with the effect of the first one.
fn relaxed(rules: &[Rule]) -> Vec<Rule> {
    let Some(effect) = rules.first().map(|rule| rule.effect) else {
        return vec![];
    };
    let mut cubes: BTreeSet<&Cube> = rules.iter().map(|rule| &rule.when).collect();
    if cubes.iter().any(|cube| cube.is_everything()) {
        cubes.retain(|cube| cube.is_everything());
    }
    cubes
        .into_iter()
        .map(|when| Rule {
            effect,
            when: when.clone(),
        })
        .collect()
}

/// Takes out of each rule what the rules before it decide otherwise.
///
/// # Errors
/// That can not be said, or libseccomp would not understand it.
fn take_apart(rules: &[Rule]) -> Result<Vec<Rule>, Relax> {
    let mut apart: Vec<Rule> = vec![];
    for rule in rules {
        let from = rule.effect;
        for when in remainder(rule, &apart).map_err(|to| Relax { from, to })? {
            push(&mut apart, Rule { effect: from, when });
        }
        if apart.len() > RULES_MAX {
            break;
        }
    }
    let would_help = || libseccomp::misreads(&apart) && !libseccomp::misreads(&relaxed(rules));
    let from = rules.last().map(|rule| rule.effect);
    let to = rules
        .iter()
        .rev()
        .map(|rule| rule.effect)
        .find(|effect| Some(*effect) != from);
    match (from, to) {
        (Some(from), Some(to)) if apart.len() > RULES_MAX || would_help() => {
            Err(Relax { from, to })
        }
        _ => Ok(apart),
    }
}

/// Adds a rule, unless another one with its effect covers it, and drops those that it covers.
fn push(rules: &mut Vec<Rule>, rule: Rule) {
    let covers =
        |one: &Rule, other: &Rule| one.effect == other.effect && one.when.contains(&other.when);
    if !rules.iter().any(|present| covers(present, &rule)) {
        rules.retain(|present| !covers(&rule, present));
        rules.push(rule);
    }
}

/// The arguments of a rule for which none of the others decides otherwise.
///
/// # Errors
/// The effect of the rule that can not be taken out.
fn remainder(rule: &Rule, others: &[Rule]) -> Result<Vec<Cube>, Effect> {
    let mut cubes = vec![rule.when.clone()];
    for other in others.iter().filter(|other| other.effect != rule.effect) {
        let mut left = vec![];
        for cube in &cubes {
            left.extend(cube.minus(&other.when).ok_or(other.effect)?);
            if left.len() > RULES_MAX {
                return Err(other.effect);
            }
        }
        cubes = left;
    }
    Ok(cubes)
}

#[cfg(test)]
mod tests;

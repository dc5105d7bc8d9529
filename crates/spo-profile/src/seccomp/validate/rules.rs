//! What is wrong with several rules for one system call, told once per name.

use std::collections::BTreeMap;

use spo_api::seccomp_profile::SeccompProfileSpec;

use super::Problems;
use crate::seccomp::effect::Effect;
use crate::seccomp::libseccomp;
use crate::seccomp::rule::{Rule, rules};

/// Where the problems are: none of the entries has one alone.
const FIELD: &str = "spec.syscalls";

/// More rules for one system call are not compared with each other, which bounds the work.
const COMPARED_MAX: usize = 256;

pub(super) fn check_combinations(spec: &SeccompProfileSpec, problems: &mut Problems) {
    for (name, rules) in applied_by_name(spec) {
        if rules.len() > COMPARED_MAX {
            let message = format!(
                "{name} has {} rules, too many to tell whether they contradict each other; use at \
                 most {COMPARED_MAX}",
                rules.len()
            );
            problems.warning(FIELD, message);
            continue;
        }
        if let Some(rule) = decisive(&rules) {
            let message = format!(
                "{} without conditions decides for {name}, its other rules have no effect; remove \
                 it or them",
                rule.effect.action
            );
            problems.warning(FIELD, message);
        } else if let Some((one, other)) = libseccomp::contradiction(&rules) {
            contradiction(name, one, other, problems);
        }
        if libseccomp::misreads(&rules) {
            let message = format!(
                "libseccomp can not hold these rules for {name} side by side and may drop one or \
                 fail; use conditions with SCMP_CMP_EQ or SCMP_CMP_MASKED_EQ, or one per rule"
            );
            problems.warning(FIELD, message);
        }
    }
}

/// The rules of each system call, without those which a runtime skips.
fn applied_by_name(spec: &SeccompProfileSpec) -> BTreeMap<&str, Vec<Rule>> {
    let default = Effect::of_default(spec.default_action);
    let mut by_name: BTreeMap<&str, Vec<Rule>> = BTreeMap::new();
    for entry in &spec.syscalls {
        let mut applied = rules(entry);
        applied.retain(|rule| rule.effect != default);
        for name in &entry.names {
            by_name
                .entry(name)
                .or_default()
                .extend(applied.iter().cloned());
        }
    }
    by_name
}

/// The rule which makes others pointless that say something else.
fn decisive(rules: &[Rule]) -> Option<&Rule> {
    let decisive = rules.iter().find(|rule| rule.when.is_everything())?;
    rules
        .iter()
        .any(|rule| rule.effect != decisive.effect)
        .then_some(decisive)
}

fn contradiction(name: &str, one: &Rule, other: &Rule, problems: &mut Problems) {
    let (left, right) = (one.effect.action, other.effect.action);
    if one.when == other.when {
        let message = format!(
            "{left} and {right} for {name} under the same conditions are refused; remove one of them"
        );
        problems.error(FIELD, message);
    } else {
        let message = format!(
            "{left} and {right} for {name} meet for some arguments, where the choice is up to \
             libseccomp; make their conditions exclude each other"
        );
        problems.warning(FIELD, message);
    }
}

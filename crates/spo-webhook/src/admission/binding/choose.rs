//! Pure. Which bindings a new pod gets, and why it does not get the others.
//!
//! Bindings are taken by name. One that can not be applied is as if it were not there, but for a
//! warning; of two that want the same, the first has it.

use std::collections::BTreeMap;

use spo_api::node_status::ProfileState;
use spo_api::profile::ProfileKind;

use super::pod::Pod;
use super::rule::Rule;
use crate::cache::{Cache, Profile};

/// What a pod gets.
#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    /// By container, as its place in [`Pod::containers`], and kind.
    pub(super) exact: BTreeMap<(usize, ProfileKind), Bound<'a>>,
    /// For all containers that nothing else is chosen for.
    pub(super) any: BTreeMap<ProfileKind, Bound<'a>>,
    pub(super) warnings: Vec<String>,
}

/// A profile, and the binding that gives it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) binding: &'a str,
    /// What a pod writes to use the profile.
    pub(super) value: &'a str,
}

/// Chooses among the bindings of a namespace.
pub(super) fn choose<'a>(pod: &Pod<'_>, namespace: &str, cache: &'a Cache) -> Choice<'a> {
    let mut choice = Choice::default();
    for (binding, rule) in cache.bindings(namespace) {
        let skipped = |why: &str| format!("ProfileBinding {binding:?} is skipped: {why}");
        let rule = match rule {
            Ok(rule) => rule,
            Err(why) => {
                choice.warnings.push(skipped(why));
                continue;
            }
        };
        let containers: Vec<usize> = containers(pod, rule).collect();
        if containers.is_empty() && !rule.is_for_any_image() {
            continue;
        }
        match rule.selects(&pod.labels) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(why) => {
                let why = format!("its podSelector is invalid: {why}");
                choice.warnings.push(skipped(&why));
                continue;
            }
        }
        let profile = cache.profile(rule.kind, &rule.profile);
        let value = match value(rule, profile) {
            Ok(value) => value,
            Err(why) => {
                choice.warnings.push(skipped(&why));
                continue;
            }
        };
        choice.warnings.extend(early(binding, rule, profile));
        let bound = Bound { binding, value };
        if let Some(first) = choice.put(rule, &containers, bound) {
            let why = format!(
                "ProfileBinding {first:?} gives a {} to {} already",
                rule.kind,
                target(rule)
            );
            choice.warnings.push(skipped(&why));
        }
    }
    choice
}

/// The containers that a binding names by their image.
fn containers(pod: &Pod<'_>, rule: &Rule) -> impl Iterator<Item = usize> {
    let named = |image: &str| image == rule.image && !rule.is_for_any_image();
    let containers = pod.containers.iter().enumerate();
    containers
        .filter(move |(_, container)| named(container.image))
        .map(|(index, _)| index)
}

impl<'a> Choice<'a> {
    /// Puts a binding in, or names the one that is there already. All containers of an image have
    /// the same.
    fn put(&mut self, rule: &Rule, containers: &[usize], bound: Bound<'a>) -> Option<&'a str> {
        if rule.is_for_any_image() {
            let kept = self.any.entry(rule.kind).or_insert(bound);
            return (kept.binding != bound.binding).then_some(kept.binding);
        }
        let mut first = None;
        for container in containers {
            let kept = self.exact.entry((*container, rule.kind)).or_insert(bound);
            if kept.binding != bound.binding {
                first = Some(kept.binding);
            }
        }
        first
    }
}

fn target(rule: &Rule) -> String {
    if rule.is_for_any_image() {
        "every image".to_owned()
    } else {
        format!("the image {:?}", rule.image)
    }
}

/// What a pod writes to use a profile; or why there is no such thing.
///
/// A profile that is not on every node at this moment is bound all the same: a container on a node
/// that lacks it is not started, and tried again, until it is there. To skip the binding would let
/// the container run without the profile for good, each time that a profile changes or a node joins.
fn value<'a>(rule: &Rule, profile: Option<&'a Profile>) -> Result<&'a str, String> {
    let Rule {
        kind,
        profile: name,
        ..
    } = rule;
    let Some(profile) = profile else {
        return Err(format!("there is no {kind} {name:?}"));
    };
    match profile.state {
        Some(
            ProfileState::Installed
            | ProfileState::InProgress
            | ProfileState::Pending
            | ProfileState::Error,
        ) => {}
        // No node will ever have it, or none for long.
        Some(
            state @ (ProfileState::Disabled | ProfileState::Partial | ProfileState::Terminating),
        ) => return Err(format!("{kind} {name:?} is {state}, not Installed")),
        None => {
            return Err(format!(
                "{kind} {name:?} has no state yet, and is not Installed"
            ));
        }
    }
    profile
        .value
        .as_deref()
        .ok_or_else(|| format!("the status of {kind} {name:?} does not say how a pod uses it"))
}

/// What to say of a profile that is bound before all nodes have it.
fn early(binding: &str, rule: &Rule, profile: Option<&Profile>) -> Option<String> {
    let state = profile?.state?;
    let Rule {
        kind,
        profile: name,
        ..
    } = rule;
    (state != ProfileState::Installed).then(|| {
        format!(
            "ProfileBinding {binding:?}: {kind} {name:?} is {state}, not Installed: containers do \
             not start on nodes that lack it"
        )
    })
}

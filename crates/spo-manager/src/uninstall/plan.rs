//! Pure. What an uninstallation has to do, may not do, and why something stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use spo_api::meta;

use super::Request;

/// An object of one of our kinds, as far as it matters here: its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Object {
    pub(super) kind: String,
    /// The version in which it is stored: no conversion is needed to write it.
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) resource_version: Option<String>,
    pub(super) finalizers: Vec<String>,
    /// Of a node status: the node, and the profile that it is about.
    pub(super) node: Option<String>,
    pub(super) profile_id: Option<String>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// When an object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// What users have made: while the daemons run, because they have the files.
    First,
    /// The operator's configuration: the daemons go with it.
    Configuration,
    /// What the nodes have reported: when nobody reports any more.
    Report,
}

impl Object {
    pub(super) fn turn(&self) -> Turn {
        match self.kind.as_str() {
            "SecurityProfilesOperatorDaemon" => Turn::Configuration,
            "SecurityProfileNodeStatus" => Turn::Report,
            _ => Turn::First,
        }
    }

    /// The finalizers that stay when ours and upstream's are gone; `None` if none of them is.
    pub(super) fn without_ours(&self) -> Option<Vec<&str>> {
        let kept: Vec<&str> = self
            .finalizers
            .iter()
            .map(String::as_str)
            .filter(|f| *f != meta::FINALIZER && !meta::is_upstream_finalizer(f))
            .collect();
        (kept.len() < self.finalizers.len()).then_some(kept)
    }
}

/// What is in the cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) objects: Vec<Object>,
    /// The DaemonSets that belong to a SPOD, as `namespace/name`.
    pub(super) daemon_sets: Vec<String>,
    /// Pods that run a daemon on a node that answers. One that still runs would report again.
    pub(super) daemons: Vec<String>,
    /// The webhook configurations, by kind and name.
    pub(super) webhooks: Vec<(&'static str, &'static str)>,
    /// Our definitions.
    pub(super) definitions: Vec<String>,
    /// The pods that use a profile, by its kind and name.
    pub(super) users: BTreeMap<(String, String), Vec<String>>,
    /// Whether a node is up.
    pub(super) nodes: BTreeMap<String, bool>,
}

impl Seen {
    pub(super) fn of(&self, turn: Turn) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |o| o.turn() == turn)
    }

    pub(super) fn users_of(&self, object: &Object) -> &[String] {
        let profile = (object.kind.clone(), object.name.clone());
        self.users.get(&profile).map_or(&[], Vec::as_slice)
    }

    /// All that is left, one line each; definitions only if they were to go.
    pub(super) fn left(&self, with_definitions: bool) -> Vec<String> {
        let objects = self.objects.iter().map(|object| {
            let mut line = object.to_string();
            if !object.finalizers.is_empty() {
                line.push_str(&format!(" (finalizers: {})", object.finalizers.join(", ")));
            }
            line
        });
        let daemons = self
            .daemon_sets
            .iter()
            .map(|name| format!("DaemonSet {name}"));
        let webhooks = self
            .webhooks
            .iter()
            .map(|(kind, name)| format!("{kind} {name}"));
        let definitions = self
            .definitions
            .iter()
            .filter(|_| with_definitions)
            .map(|name| format!("CustomResourceDefinition {name}"));
        objects
            .chain(daemons)
            .chain(webhooks)
            .chain(definitions)
            .collect()
    }
}

/// Whether to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is nothing to do.
    Nothing,
    /// Pods use these profiles, one line each.
    InUse(Vec<String>),
    /// This is going to be deleted, one line each.
    Go(Vec<String>),
}

pub(super) fn decide(seen: &Seen, request: &Request) -> Verdict {
    let lines = seen.left(request.crds);
    if lines.is_empty() {
        return Verdict::Nothing;
    }
    let in_use: Vec<String> = seen
        .objects
        .iter()
        .filter(|object| !seen.users_of(object).is_empty())
        .map(|object| format!("{object} is in use by {}", list(seen.users_of(object))))
        .collect();
    if in_use.is_empty() || request.force {
        Verdict::Go(lines)
    } else {
        Verdict::InUse(in_use)
    }
}

/// Why an object is still there although it was to be deleted.
pub(super) fn why_held(object: &Object, seen: &Seen, operator_runs: bool) -> String {
    if object.without_ours().is_none() {
        return match object.finalizers.as_slice() {
            [] => "its deletion has not ended yet".to_owned(),
            foreign => format!("somebody else's finalizer: {}", foreign.join(", ")),
        };
    }
    let users = seen.users_of(object);
    if !users.is_empty() {
        return format!("in use by {}", list(users));
    }
    if !operator_runs {
        return "no operator runs that would let go of it".to_owned();
    }
    let id = meta::profile_id(&object.kind, &object.name);
    let nodes: BTreeSet<&String> = seen
        .of(Turn::Report)
        .filter(|report| report.profile_id.as_ref() == Some(&id))
        .filter_map(|report| report.node.as_ref())
        .collect();
    if nodes.is_empty() {
        return "the operator has not let go of it".to_owned();
    }
    let nodes: Vec<String> = nodes
        .into_iter()
        .map(|node| match seen.nodes.get(node) {
            Some(true) => node.clone(),
            Some(false) => format!("{node}, which is down"),
            None => format!("{node}, which does not exist"),
        })
        .collect();
    format!("not removed from {}", list(&nodes))
}

/// Most names in a line.
const NAMES: usize = 5;

fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
    match names.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `2 SeccompProfile, 1 ProfileBinding`.
pub(super) fn count<'a>(objects: impl Iterator<Item = &'a Object>) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for object in objects {
        *kinds.entry(&object.kind).or_default() += 1;
    }
    let counts: Vec<String> = kinds
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests;

//! Pure. The reports of all nodes about one profile, summed up.

use std::collections::BTreeMap;

use spo_api::condition::truncate;
use spo_api::node_status::ProfileState;

use crate::kind::Kind;

/// A node, as far as one profile is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeFacts {
    pub(super) name: String,
    pub(super) standing: Standing,
    pub(super) report: Option<Report>,
}

/// Whether a node counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is to have the profile.
    Expected,
    /// It does not answer: nobody waits for it.
    Down,
    /// It lacks the mechanism (decision 4), and says why; empty if it does not.
    NotApplicable(String),
}

/// What a node has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) state: ProfileState,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    /// `None` from upstream's daemons, which do not say.
    pub(super) observed_generation: Option<i64>,
}

/// The sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    /// The lowest state of the nodes that are expected to have the profile.
    pub(super) state: ProfileState,
    /// For people: how many of how many, and what is wrong where.
    pub(super) message: String,
    /// Nodes which have not reported about this generation.
    pub(super) waiting: usize,
    /// The reason of the lowest state, or of a warning.
    pub(super) reason: Option<String>,
    /// Nodes in that state.
    pub(super) nodes: Vec<String>,
    /// Whether there are nodes, and none of them can have the profile.
    pub(super) not_offered: bool,
}

/// What the sum is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) kind: Kind,
    pub(super) generation: Option<i64>,
    /// The state before any node has looked at the profile.
    pub(super) initial: ProfileState,
    /// Why no node may offer the mechanism.
    pub(super) switched_off: Option<&'a SwitchedOff>,
}

/// What the configuration does not ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SwitchedOff {
    /// The field that would, which a node may have named already.
    pub(super) field: &'static str,
    /// What it says, and what to do about it.
    pub(super) why: String,
}

/// Most nodes that a message names.
const NODES_MAX: usize = 5;
/// Most different complaints that a message repeats.
const COMPLAINTS_MAX: usize = 5;
/// Longest reason of a node that a message repeats.
const REASON_MAX: usize = 200;

/// Sums up.
pub(super) fn sum(nodes: &[NodeFacts], subject: Subject<'_>) -> Sum {
    let generation = subject.generation;
    let expected: Vec<&NodeFacts> = nodes
        .iter()
        .filter(|node| node.standing == Standing::Expected)
        .collect();
    let not_offered = none_offers(nodes);
    let state_of = |node: &NodeFacts| current(node, generation).map(|report| report.state);
    let state = expected
        .iter()
        .map(|node| state_of(node).unwrap_or(ProfileState::Pending))
        .min()
        .unwrap_or(if not_offered {
            subject.initial
        } else {
            ProfileState::Pending
        });
    let in_state: Vec<&NodeFacts> = expected
        .iter()
        .filter(|node| state_of(node) == Some(state))
        .copied()
        .collect();
    let waiting: Vec<&str> = expected
        .iter()
        .filter(|node| state_of(node).is_none())
        .map(|node| node.name.as_str())
        .collect();
    let reason = in_state
        .iter()
        .find_map(|node| current(node, generation).and_then(|report| report.reason.clone()));
    Sum {
        state,
        message: message(nodes, &expected, state, &waiting, subject),
        waiting: waiting.len(),
        reason,
        nodes: in_state.iter().map(|node| node.name.clone()).collect(),
        not_offered,
    }
}

fn none_offers(nodes: &[NodeFacts]) -> bool {
    let lacks = |node: &NodeFacts| matches!(node.standing, Standing::NotApplicable(_));
    !nodes.is_empty() && nodes.iter().all(lacks)
}

/// What the node says about this generation of the profile.
fn current(node: &NodeFacts, generation: Option<i64>) -> Option<&Report> {
    node.report.as_ref().filter(|report| {
        report.observed_generation.is_none() || report.observed_generation >= generation
    })
}

fn message(
    nodes: &[NodeFacts],
    expected: &[&NodeFacts],
    state: ProfileState,
    waiting: &[&str],
    subject: Subject<'_>,
) -> String {
    let Subject {
        kind,
        generation,
        switched_off,
        ..
    } = subject;
    let down = nodes.iter().filter(|node| node.standing == Standing::Down);
    let down: Vec<&str> = down.map(|node| node.name.as_str()).collect();
    if nodes.is_empty() {
        return "no node has reported yet".to_owned();
    }
    if none_offers(nodes) {
        let (_, lacking) = lacking(nodes);
        let mut message = format!("no node offers {}: {lacking}", kind.prose());
        if let Some(SwitchedOff { field, why }) = switched_off
            && !message.contains(field)
        {
            message.push_str(&format!("; {field} {why}"));
        }
        return message;
    }
    let (what, counted) = match state {
        ProfileState::Disabled => ("disabled", ProfileState::Disabled),
        ProfileState::Partial => ("partial", ProfileState::Partial),
        _ => ("installed", ProfileState::Installed),
    };
    let count = expected
        .iter()
        .filter(|node| current(node, generation).is_some_and(|report| report.state == counted))
        .count();
    let mut parts = vec![format!(
        "{what} on {count} of {} nodes",
        expected.len() + down.len()
    )];
    parts.extend(complaints(expected, generation));
    if !waiting.is_empty() {
        parts.push(format!("waiting for {}", list(waiting)));
    }
    if !down.is_empty() {
        parts.push(format!("not waiting for {}, which is down", list(&down)));
    }
    let what = kind.prose();
    match lacking(nodes) {
        (0, _) => {}
        (1, node) => parts.push(format!("1 node does not offer {what}: {node}")),
        (count, nodes) => parts.push(format!("{count} nodes do not offer {what}: {nodes}")),
    }
    parts.join("; ")
}

/// How many nodes lack the mechanism; and which, with each reason once.
fn lacking(nodes: &[NodeFacts]) -> (usize, String) {
    let mut count = 0;
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in nodes {
        if let Standing::NotApplicable(reason) = &node.standing {
            count += 1;
            by_reason.entry(reason).or_default().push(&node.name);
        }
    }
    let more: usize = by_reason.values().skip(COMPLAINTS_MAX).map(Vec::len).sum();
    let mut texts: Vec<String> = by_reason
        .into_iter()
        .take(COMPLAINTS_MAX)
        .map(|(reason, nodes)| match reason {
            "" => list(&nodes),
            reason => format!("{} ({})", list(&nodes), truncate(reason, REASON_MAX)),
        })
        .collect();
    if more > 0 {
        texts.push(format!("and {more} more for other reasons"));
    }
    (count, texts.join(", "))
}

/// What the nodes complain about, each complaint once.
fn complaints(expected: &[&NodeFacts], generation: Option<i64>) -> Vec<String> {
    let mut by_text: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for node in expected {
        if let Some(Report {
            reason,
            message: Some(message),
            ..
        }) = current(node, generation)
        {
            let text = match reason {
                Some(reason) => format!("{reason}: {message}"),
                None => message.clone(),
            };
            by_text.entry(text).or_default().push(&node.name);
        }
    }
    let more = by_text.len().saturating_sub(COMPLAINTS_MAX);
    let mut texts: Vec<String> = by_text
        .into_iter()
        .take(COMPLAINTS_MAX)
        .map(|(text, nodes)| format!("on {}: {text}", list(&nodes)))
        .collect();
    if more > 0 {
        texts.push(format!("and {more} other problems"));
    }
    texts
}

/// `a, b and 3 more`.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<&str> = names.iter().take(NODES_MAX).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(NODES_MAX);
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, report: Option<(ProfileState, i64)>) -> NodeFacts {
        NodeFacts {
            name: name.to_owned(),
            standing: Standing::Expected,
            report: report.map(|(state, generation)| Report {
                state,
                reason: (state == ProfileState::Error).then(|| "Broken".to_owned()),
                message: (state == ProfileState::Error).then(|| "no space".to_owned()),
                observed_generation: Some(generation),
            }),
        }
    }

    fn subject(kind: Kind) -> Subject<'static> {
        Subject {
            kind,
            generation: Some(2),
            initial: ProfileState::Pending,
            switched_off: None,
        }
    }

    fn check(nodes: &[NodeFacts], state: ProfileState, message: &str) {
        let sum = sum(nodes, subject(Kind::Seccomp));
        assert_eq!((sum.state, sum.message.as_str()), (state, message));
    }

    #[test]
    fn the_lowest_state_wins_and_the_message_says_where() {
        use ProfileState::{Disabled, Error, Installed, Pending};
        check(&[], Pending, "no node has reported yet");
        let (a, b) = (
            node("a", Some((Installed, 2))),
            node("b", Some((Installed, 2))),
        );
        check(
            &[a.clone(), b.clone()],
            Installed,
            "installed on 2 of 2 nodes",
        );
        check(
            &[a.clone(), node("c", None)],
            Pending,
            "installed on 1 of 2 nodes; waiting for c",
        );
        // What a node says about an older generation is not about this one.
        check(
            &[a.clone(), node("c", Some((Installed, 1)))],
            Pending,
            "installed on 1 of 2 nodes; waiting for c",
        );
        check(
            &[
                a.clone(),
                node("c", Some((Error, 2))),
                node("d", Some((Error, 2))),
            ],
            Error,
            "installed on 1 of 3 nodes; on c, d: Broken: no space",
        );
        check(
            &[node("a", Some((Disabled, 2)))],
            Disabled,
            "disabled on 1 of 1 nodes",
        );
    }

    #[test]
    fn nodes_that_are_down_or_lack_the_mechanism_hold_nothing_back() {
        let mut down = node("down", None);
        down.standing = Standing::Down;
        let mut old = node("old", None);
        old.standing = Standing::NotApplicable(String::new());
        let up = node("up", Some((ProfileState::Installed, 2)));
        check(
            &[down.clone(), old.clone(), up],
            ProfileState::Installed,
            "installed on 1 of 2 nodes; not waiting for down, which is down; \
             1 node does not offer seccomp: old",
        );
        check(
            &[down, old.clone()],
            ProfileState::Pending,
            "installed on 0 of 1 nodes; not waiting for down, which is down; \
             1 node does not offer seccomp: old",
        );
        check(&[old], ProfileState::Pending, "no node offers seccomp: old");
    }

    fn lacks(name: &str, reason: &str) -> NodeFacts {
        NodeFacts {
            standing: Standing::NotApplicable(reason.to_owned()),
            ..node(name, None)
        }
    }

    #[test]
    fn nodes_without_the_mechanism_are_named_by_reason() {
        let installed = Some((ProfileState::Installed, 2));
        let mut nodes: Vec<NodeFacts> = ["a", "b", "c"].map(|name| node(name, installed)).into();
        nodes.push(lacks("d", "SELinux is disabled in the kernel"));
        nodes.push(lacks("e", "SELinux is disabled in the kernel"));
        let with = sum(&nodes, subject(Kind::Selinux));
        assert_eq!(
            (with.state, with.message.as_str(), with.not_offered),
            (
                ProfileState::Installed,
                "installed on 3 of 3 nodes; 2 nodes do not offer SELinux: \
                 d, e (SELinux is disabled in the kernel)",
                false
            )
        );
        nodes.push(lacks("f", "no selinuxd"));
        let with = sum(&nodes, subject(Kind::RawSelinux));
        assert_eq!(
            with.message,
            "installed on 3 of 3 nodes; 3 nodes do not offer SELinux: \
             d, e (SELinux is disabled in the kernel), f (no selinuxd)"
        );
    }

    #[test]
    fn a_mechanism_that_no_node_offers_is_told_with_what_to_do() {
        let nodes = [lacks("a", "no selinuxd"), lacks("b", "")];
        let mut subject = subject(Kind::Selinux);
        let off = SwitchedOff {
            field: "spec.selinux.enable",
            why: "is false: set it to true".to_owned(),
        };
        subject.switched_off = Some(&off);
        let without = sum(&nodes, subject);
        assert_eq!(
            without.message,
            "no node offers SELinux: b, a (no selinuxd); spec.selinux.enable is false: set it to true"
        );
        assert!(without.not_offered);
        assert_eq!(without.state, ProfileState::Pending);
        // A node may have said it.
        let said = [lacks("a", "not told to: set spec.selinux.enable")];
        assert_eq!(
            sum(&said, subject).message,
            "no node offers SELinux: a (not told to: set spec.selinux.enable)"
        );
        // What nobody wants on a node is not missing there.
        subject.initial = ProfileState::Disabled;
        assert_eq!(sum(&nodes, subject).state, ProfileState::Disabled);
        assert_eq!(sum(&[], subject).state, ProfileState::Pending);
        assert!(!sum(&[], subject).not_offered);
    }

    #[test]
    fn the_reasons_of_nodes_are_bounded() {
        let nodes: Vec<NodeFacts> = (0..100)
            .map(|n| lacks(&format!("n{n:03}"), &format!("{n:02}{}", "x".repeat(5000))))
            .collect();
        let message = sum(&nodes, subject(Kind::AppArmor)).message;
        assert!(message.len() < 2000, "{}", message.len());
        assert!(
            message.ends_with("and 95 more for other reasons"),
            "{message}"
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
        assert_eq!(list(&names), "n0, n1, n2, n3, n4 and 3 more");
    }
}

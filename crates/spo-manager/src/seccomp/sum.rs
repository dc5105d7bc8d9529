//! Pure. The reports of all nodes about one profile, summed up.

use std::collections::BTreeMap;

use spo_api::node_status::ProfileState;

/// A node, as far as one profile is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeFacts {
    pub(super) name: String,
    pub(super) standing: Standing,
    pub(super) report: Option<Report>,
}

/// Whether a node counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is to have the profile.
    Expected,
    /// It does not answer: nobody waits for it.
    Down,
    /// It lacks the mechanism (decision 4).
    NotApplicable,
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
}

/// Most nodes that a message names.
const NODES_MAX: usize = 5;
/// Most different complaints that a message repeats.
const COMPLAINTS_MAX: usize = 5;

/// Sums up.
pub(super) fn sum(nodes: &[NodeFacts], generation: Option<i64>) -> Sum {
    let expected: Vec<&NodeFacts> = nodes
        .iter()
        .filter(|node| node.standing == Standing::Expected)
        .collect();
    let state_of = |node: &NodeFacts| current(node, generation).map(|report| report.state);
    let state = expected
        .iter()
        .map(|node| state_of(node).unwrap_or(ProfileState::Pending))
        .min()
        .unwrap_or(ProfileState::Pending);
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
        message: message(nodes, &expected, state, &waiting, generation),
        waiting: waiting.len(),
        reason,
        nodes: in_state.iter().map(|node| node.name.clone()).collect(),
    }
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
    generation: Option<i64>,
) -> String {
    let names = |standing| -> Vec<&str> {
        let of = nodes.iter().filter(|node| node.standing == standing);
        of.map(|node| node.name.as_str()).collect()
    };
    let (down, lacking) = (names(Standing::Down), names(Standing::NotApplicable));
    if expected.is_empty() && down.is_empty() {
        return if lacking.is_empty() {
            "no node has reported yet".to_owned()
        } else {
            format!("no node offers seccomp: {}", list(&lacking))
        };
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
    if !lacking.is_empty() {
        parts.push(format!("not offered by {}", list(&lacking)));
    }
    parts.join("; ")
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

    fn check(nodes: &[NodeFacts], state: ProfileState, message: &str) {
        let sum = sum(nodes, Some(2));
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
        old.standing = Standing::NotApplicable;
        let up = node("up", Some((ProfileState::Installed, 2)));
        check(
            &[down, old.clone(), up],
            ProfileState::Installed,
            "installed on 1 of 2 nodes; not waiting for down, which is down; not offered by old",
        );
        check(&[old], ProfileState::Pending, "no node offers seccomp: old");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
        assert_eq!(list(&names), "n0, n1, n2, n3, n4 and 3 more");
    }
}

//! Pure. What installing a profile means for every mechanism: what a node says, how far a deletion has
//! come, and the steps of a plan.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use spo_api::condition;
use spo_api::node_status::ProfileState;

/// A profile, of any kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Which profiles an event touches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Touched {
    pub(crate) profiles: std::collections::BTreeSet<Subject>,
    /// All of them.
    pub(crate) all: bool,
}

impl Touched {
    /// Nothing.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Everything.
    pub(crate) fn all() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }
}

/// What this node says about a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) state: ProfileState,
    /// Machine-readable, of an error or a warning.
    pub(crate) reason: Option<String>,
    /// For people, of an error or a warning.
    pub(crate) message: Option<String>,
    /// The generation of the profile that was looked at.
    pub(crate) observed_generation: Option<i64>,
}

/// How far the deletion of a profile has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It is not being deleted.
    No,
    /// The manager has not said yet whether pods use it.
    Undecided,
    /// Pods use it.
    HeldBack,
    /// It is to be removed.
    Released,
}

impl Deletion {
    /// As the metadata and the conditions of the profile tell (docs/decisions/0002-deletion.md).
    pub(crate) fn of(deletion_timestamp: Option<&Time>, conditions: &[Condition]) -> Self {
        let in_use = conditions
            .iter()
            .find(|condition| condition.type_ == condition::IN_USE)
            .map(|condition| condition.status.as_str());
        match (deletion_timestamp, in_use) {
            (None, _) => Deletion::No,
            (Some(_), Some("False")) => Deletion::Released,
            (Some(_), Some("True")) => Deletion::HeldBack,
            (Some(_), _) => Deletion::Undecided,
        }
    }
}

/// One effect. A plan is a list of them, done in order, ended by the first failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step<E> {
    /// Change the node, in a way of the mechanism.
    Act(E),
    /// Create or change this node's status of the profile.
    Report(Report),
    /// Delete the node status of this name.
    Withdraw { name: String },
    /// Tell the users of the profile.
    Publish {
        reason: &'static str,
        message: String,
    },
    /// Count an operation on a profile.
    CountOperation(Operation),
    /// Count an error.
    CountError { reason: &'static str },
}

/// What is counted as an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Update,
    Delete,
}

impl Operation {
    /// The value of the label `operation`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }
}

/// A plan reads as text in tests and debug logs.
impl<E: fmt::Display> fmt::Display for Step<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Act(effect) => effect.fmt(f),
            Step::Report(report) => write!(f, "report {report}"),
            Step::Withdraw { name } => write!(f, "withdraw {name}"),
            Step::Publish { reason, message } => write!(f, "publish {reason} {message:?}"),
            Step::CountOperation(operation) => write!(f, "count {}", operation.as_str()),
            Step::CountError { reason } => write!(f, "count-error {reason}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            state,
            reason,
            message,
            observed_generation,
        } = self;
        write!(f, "{state}")?;
        if let Some(generation) = observed_generation {
            write!(f, " generation={generation}")?;
        }
        if let Some(reason) = reason {
            write!(f, " {reason}")?;
        }
        if let Some(message) = message {
            write!(f, " {message:?}")?;
        }
        Ok(())
    }
}

/// What has been reported about a profile, and what of that is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reported {
    /// What this node has reported so far about this very profile.
    pub(crate) report: Option<Report>,
    /// The name of the node status to report in.
    pub(crate) status_name: String,
    /// All node statuses about a profile of this name: upstream named them differently.
    pub(crate) statuses: Vec<String>,
}

impl Reported {
    /// The report, unless it stands there already.
    pub(crate) fn unless_said<E>(&self, report: Report) -> Vec<Step<E>> {
        if self.report.as_ref() == Some(&report) {
            Vec::new()
        } else {
            vec![Step::Report(report)]
        }
    }

    /// An error, told and counted once.
    pub(crate) fn fail<E>(
        &self,
        generation: Option<i64>,
        reason: &'static str,
        message: String,
    ) -> Vec<Step<E>> {
        let mut steps = self.unless_said(Report {
            state: ProfileState::Error,
            reason: Some(reason.to_owned()),
            message: Some(message),
            observed_generation: generation,
        });
        if !steps.is_empty() {
            steps.push(Step::CountError { reason });
        }
        steps
    }

    /// What to do after an action on this node has failed: say so.
    pub(crate) fn after_failure<E>(
        &self,
        profile: Option<(Option<i64>, Deletion)>,
        reason: &'static str,
        message: String,
    ) -> Vec<Step<E>> {
        match profile {
            // A deletion that fails must not create a new object; the old one still says `Installed`.
            Some((generation, deletion)) if deletion == Deletion::No || self.report.is_some() => {
                let mut steps = self.fail(generation, reason, message);
                if steps.is_empty() {
                    steps.push(Step::CountError { reason });
                }
                steps
            }
            _ => vec![Step::CountError { reason }],
        }
    }

    /// What to say of a profile that is being deleted while pods use it.
    pub(crate) fn held_back<E>(&self, generation: Option<i64>) -> Vec<Step<E>> {
        // Never a new object: with foreground deletion they go before the profile does.
        let Some(old) = &self.report else {
            return Vec::new();
        };
        self.unless_said(Report {
            state: ProfileState::Terminating,
            reason: None,
            message: Some("kept while pods use the profile".to_owned()),
            observed_generation: generation.or(old.observed_generation),
        })
    }

    /// Takes back everything that was reported.
    pub(crate) fn withdraw_all<E>(&self) -> Vec<Step<E>> {
        self.statuses
            .iter()
            .map(|name| Step::Withdraw { name: name.clone() })
            .collect()
    }

    /// Takes back what stands under names that are not used any more.
    pub(crate) fn withdraw_outdated<E>(&self) -> Vec<Step<E>> {
        let outdated = self
            .statuses
            .iter()
            .filter(|name| **name != self.status_name);
        outdated
            .map(|name| Step::Withdraw { name: name.clone() })
            .collect()
    }
}

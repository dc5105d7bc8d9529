//! Pure. What installing a profile means for every kind: what a node says, and the steps of a plan.

use std::fmt;

use spo_api::node_status::ProfileState;

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

/// One effect. A plan is a list of them, done in order, ended by the first failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Put a file in the operator directory.
    Write { file: String, bytes: Vec<u8> },
    /// Take a file out of the operator directory.
    Remove { file: String },
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
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Write { file, bytes } => write!(f, "write {file} {} B", bytes.len()),
            Step::Remove { file } => write!(f, "remove {file}"),
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

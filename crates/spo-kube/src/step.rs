//! Pure. Writes to the API server as values.

use std::fmt;

use kube::core::ApiResource;
use serde_json::Value;

use crate::event::KubeEvent;

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Create an object (POST). `object` is complete.
    Create {
        /// What kind, and where.
        target: Target,
        /// The object.
        object: Value,
    },
    /// Change fields of an object by a JSON merge patch (RFC 7396).
    Patch {
        /// Which object.
        target: Target,
        /// Which part of it.
        part: Part,
        /// The fields. With `metadata.resourceVersion` the patch applies to that version only.
        patch: Value,
    },
    /// Make an object say what `object` says, and take away what an earlier one of ours said and this
    /// one does not: server-side apply, as the owner of these fields. Creates it if it is not there.
    Apply {
        /// What kind, and where.
        target: Target,
        /// The fields that we own; complete but for what others decide.
        object: Value,
    },
    /// Delete an object.
    Delete {
        /// Which object.
        target: Target,
        /// Only if it is still this one.
        uid: Option<String>,
    },
    /// Delete all objects of a cluster scoped kind that match a label selector.
    DeleteAll {
        /// The kind.
        resource: ApiResource,
        /// The selector.
        labels: String,
    },
    /// Tell the users of an object.
    Publish(KubeEvent),
}

/// What a step writes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The kind, with its version and plural.
    pub resource: ApiResource,
    /// The namespace, `None` for a cluster scoped object.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// A part of an object that is written on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Object,
    /// The status.
    Status,
}

/// A plan reads as text in tests and debug logs.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create { target, object } => {
                write!(f, "create {target} {}", shown(target, object))
            }
            Step::Patch {
                target,
                part,
                patch,
            } => {
                let part = match part {
                    Part::Object => "patch",
                    Part::Status => "patch-status",
                };
                write!(f, "{part} {target} {}", shown(target, patch))
            }
            Step::Apply { target, object } => write!(f, "apply {target} {}", shown(target, object)),
            Step::Delete { target, .. } => write!(f, "delete {target}"),
            Step::DeleteAll { resource, labels } => {
                write!(f, "delete-all {} {labels}", resource.kind)
            }
            Step::Publish(event) => write!(f, "publish {event}"),
        }
    }
}

/// What may be seen of an object: keys of certificates have no place in a log.
fn shown<'a>(target: &Target, object: &'a Value) -> &'a dyn fmt::Display {
    if target.resource.kind == "Secret" {
        &"(not shown)"
    } else {
        object
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.resource.kind, self.name)
    }
}

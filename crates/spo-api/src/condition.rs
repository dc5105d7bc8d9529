//! The conditions `Ready` and `InUse`: types, reasons, and how a changed one is put in its place.
//!
//! Source: contract 01, 5.2. The time of a change is an argument: this crate has no clock.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::node_status::ProfileState;

/// The condition that `kubectl wait --for=condition=Ready` waits for.
pub const READY: &str = "Ready";
/// On a profile that is being deleted: whether pods hold it back. `False` releases it: nodes remove
/// a profile only then.
pub const IN_USE: &str = "InUse";

/// The status and reason of `Ready` for a state.
pub fn ready(state: ProfileState) -> (&'static str, &'static str) {
    match state {
        ProfileState::Installed => ("True", "Available"),
        ProfileState::Pending | ProfileState::InProgress => ("False", "Creating"),
        ProfileState::Terminating => ("False", "Deleting"),
        ProfileState::Error | ProfileState::Partial | ProfileState::Disabled => {
            ("False", "Unavailable")
        }
    }
}

/// Longest message of a condition (Kubernetes API, `Condition.message`).
const MESSAGE_MAX: usize = 32_768;

/// A new condition; `conditions` is what the object has: the time of the last transition is kept
/// unless the status changes.
pub fn next(
    conditions: &[Condition],
    type_: &str,
    (status, reason): (&str, &str),
    message: &str,
    generation: Option<i64>,
    now: &Time,
) -> Condition {
    let old = conditions.iter().find(|condition| condition.type_ == type_);
    let last_transition_time = old
        .filter(|condition| condition.status == status)
        .map_or_else(
            || now.clone(),
            |condition| condition.last_transition_time.clone(),
        );
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: truncate(message, MESSAGE_MAX),
        observed_generation: generation,
        last_transition_time,
    }
}

/// The start of a text, at most `max` bytes, cut between characters.
pub fn truncate(text: &str, max: usize) -> String {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// The schema of a list of conditions, with the rules of the Kubernetes API (contract 01, 2.3),
/// which k8s-openapi's type does not have.
pub(crate) fn list_schema(_: &mut SchemaGenerator) -> Schema {
    let name = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
    let domain = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "A condition is one aspect of the state of the object.",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "type names the aspect.",
                    "maxLength": 316,
                    "pattern": format!("^({domain}/)?({name})$"),
                },
                "status": {
                    "type": "string",
                    "description": "status says whether the condition holds.",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "type": "string",
                    "description": "reason says why, in one word for machines.",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "type": "string",
                    "description": "message says why, in a sentence for humans.",
                    "maxLength": MESSAGE_MAX,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "description": "lastTransitionTime is when the status changed last.",
                    "format": "date-time",
                },
                "observedGeneration": {
                    "type": "integer",
                    "description": "observedGeneration is the `metadata.generation` of the object \
                                    which the condition is about.",
                    "format": "int64",
                    "minimum": 0,
                },
            },
        },
    })
}

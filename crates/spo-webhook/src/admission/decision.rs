//! Pure. What a webhook answers, and the operations of a JSON patch.
//!
//! Patches name the few places that change, and take everything else from the object as it came:
//! fields that we do not know must survive.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The object is stored as it is.
    Allow {
        /// For who asked; may be empty.
        message: String,
        /// Shown to the user by clients.
        warnings: Vec<String>,
    },
    /// The object is stored with changes.
    Patch {
        /// The changes, in order. None are the same as `Allow`.
        operations: Vec<Operation>,
        /// For who asked; may be empty.
        message: String,
        /// For the audit log; the API server puts the name of the webhook before each key.
        audit_annotations: BTreeMap<String, String>,
        /// Shown to the user by clients.
        warnings: Vec<String>,
    },
    /// The object is not stored.
    Deny {
        /// 400 for an object that can not be read, 403 for one that is forbidden, 500 for a failure
        /// of ours.
        code: u16,
        /// Shown to the user.
        message: String,
    },
}

impl Decision {
    /// Allows without a warning.
    pub fn allow(message: &str) -> Self {
        Self::Allow {
            message: message.to_owned(),
            warnings: Vec::new(),
        }
    }
}

/// One operation of RFC 6902.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Sets a member, present or not; or puts an element into a list.
    Add {
        /// See [`pointer`].
        path: String,
        /// The new value.
        value: Value,
    },
    /// Removes what is there.
    Remove {
        /// See [`pointer`].
        path: String,
    },
}

/// A JSON pointer (RFC 6901) of these parts.
pub fn pointer(parts: &[&str]) -> String {
    let mut pointer = String::new();
    for part in parts {
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
    }
    pointer
}

#[test]
fn pointers_are_escaped() {
    assert_eq!(pointer(&[]), "");
    assert_eq!(pointer(&["metadata", "a/b~c", "0"]), "/metadata/a~1b~0c/0");
}

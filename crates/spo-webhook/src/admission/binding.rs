//! Pure. Gives a new pod the profiles that the ProfileBindings of its namespace name (contract 04, 3).
//!
//! Nothing is written here, and nothing is waited for: who uses a binding is counted by the manager,
//! and a profile that is not on the nodes is skipped with a warning (decision 11).

mod choose;
mod patch;
mod pod;
pub mod rule;

use std::collections::BTreeMap;

use super::decision::Decision;
use super::review::{Request, Verb};
use crate::cache::Cache;
use pod::Pod;

const UNCHANGED: &str = "pod unchanged";

/// Decides on a pod.
pub fn decide(request: &Request, cache: &Cache) -> Decision {
    match request.operation {
        Verb::Create if request.sub_resource.is_empty() => {}
        Verb::Create | Verb::Delete => return Decision::allow(UNCHANGED),
        Verb::Update | Verb::Connect => return Decision::allow("pod update, skipping mutation"),
    }
    let pod = match Pod::read(&request.object) {
        Ok(pod) => pod,
        Err(wrong) => {
            return Decision::Deny {
                code: 400,
                message: format!("unable to decode pod {}: {wrong}", request.name),
            };
        }
    };
    if pod.windows {
        return Decision::allow(UNCHANGED);
    }
    let mut choice = choose::choose(&pod, &request.namespace, cache);
    let (operations, kept) = patch::patch(&pod, &choice);
    let mut warnings = std::mem::take(&mut choice.warnings);
    warnings.extend(kept);
    if operations.is_empty() {
        return Decision::Allow {
            message: UNCHANGED.to_owned(),
            warnings,
        };
    }
    Decision::Patch {
        operations,
        message: String::new(),
        audit_annotations: BTreeMap::new(),
        warnings,
    }
}

#[cfg(test)]
mod tests;

//! Pure. What to write about one profile: the sum of the nodes, who uses it, its deletion.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Value, json};
use spo_api::condition::{self, IN_USE, READY};
use spo_api::node_status::ProfileState;
use spo_api::{GROUP, meta};
use spo_kube::event::{KubeEvent, Severity};
use spo_kube::step::{Part, Step, Target};
use spo_profile::layout;

use super::held::Status;
use super::sum::{self, NodeFacts, Standing, Subject, Sum, SwitchedOff};
use crate::kind::{ProfileId, Use};

/// How long a state that is only waiting for nodes is not worth a write: they answer in a moment.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most pods that the status names.
const WORKLOADS_MAX: usize = 100;
/// The reason of a profile that the restrictions do not allow (contract 02a, 2.11).
const NOT_ALLOWED: &str = "ProfileNotAllowed";
/// The reason of the condition `Ready` of a profile that no node can have (decision 4).
const NOT_OFFERED: &str = "NotOffered";

/// Everything that the decision needs.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) profile: Profile,
    pub(super) nodes: Vec<NodeFacts>,
    /// Living nodes which still have a node status of the profile, whatever it says.
    pub(super) holders: Vec<String>,
    /// Pods which use the profile, as `namespace/name`, sorted.
    pub(super) users: Vec<String>,
    /// Profiles which need this one on the nodes, as `kind/name`.
    pub(super) heirs: Vec<String>,
    /// What the annotation with the effective syscalls has to say; `None` without a base profile.
    pub(super) effective_syscalls: Option<String>,
    /// Why the mechanism may be offered nowhere.
    pub(super) switched_off: Option<SwitchedOff>,
    /// Whether profiles that are not allowed are deleted, as upstream does.
    pub(super) delete_not_allowed: bool,
    /// How long nodes have been waited for.
    pub(super) waited: Duration,
    pub(super) now: Time,
}

/// The object, as far as the manager acts on it.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) id: ProfileId,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) generation: Option<i64>,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
    /// Whether the label `profile-id` is there.
    pub(super) labeled: bool,
    /// Whether the annotation with the effective syscalls says what it has to.
    pub(super) annotated: bool,
    /// The state before any node has looked at it.
    pub(super) initial: ProfileState,
    pub(super) status: Status,
}

/// The steps, and when to look again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) again: Option<Duration>,
}

/// Plans.
pub(super) fn plan(inputs: &Inputs) -> Plan {
    if inputs.profile.deleting {
        return Plan {
            steps: remove(inputs),
            again: None,
        };
    }
    let mut steps: Vec<Step> = adopt(inputs).into_iter().collect();
    let subject = Subject {
        kind: inputs.profile.id.kind,
        generation: inputs.profile.generation,
        initial: inputs.profile.initial,
        switched_off: inputs.switched_off.as_ref(),
    };
    let sum = sum::sum(&inputs.nodes, subject);
    let only_waiting = sum.waiting > 0 || sum.state == ProfileState::Pending;
    if only_waiting && inputs.waited < PATIENCE {
        return Plan {
            steps,
            again: Some(PATIENCE - inputs.waited),
        };
    }
    let ready = ready(inputs, &sum);
    let status = status(inputs, sum.state, vec![ready]);
    steps.extend(write_status(inputs, &status));
    steps.extend(tell(inputs, &sum));
    if inputs.delete_not_allowed
        && sum.state == ProfileState::Error
        && sum.reason.as_deref() == Some(NOT_ALLOWED)
    {
        steps.push(Step::Delete {
            target: target(&inputs.profile.id),
            uid: Some(inputs.profile.uid.clone()),
        });
    }
    Plan { steps, again: None }
}

/// Our finalizer instead of upstream's, the label by which node statuses are found, the annotation.
fn adopt(inputs: &Inputs) -> Option<Step> {
    let Profile {
        id,
        resource_version,
        finalizers,
        labeled,
        annotated,
        ..
    } = &inputs.profile;
    let ours = finalizers
        .iter()
        .any(|finalizer| finalizer == meta::FINALIZER);
    let upstream = finalizers
        .iter()
        .any(|finalizer| meta::is_upstream_finalizer(finalizer));
    let mut metadata = serde_json::Map::new();
    if !ours || upstream {
        let mut kept = without_upstream(finalizers);
        if !ours {
            kept.push(meta::FINALIZER.to_owned());
        }
        metadata.insert("finalizers".to_owned(), json!(kept));
    }
    if !labeled {
        let label = meta::profile_id(id.kind.as_str(), &id.name);
        metadata.insert(
            "labels".to_owned(),
            json!({ meta::LABEL_PROFILE_ID: label }),
        );
    }
    if !annotated {
        let value = json!({ meta::ANNOTATION_SYSCALLS: inputs.effective_syscalls });
        metadata.insert("annotations".to_owned(), value);
    }
    if metadata.is_empty() {
        return None;
    }
    // The list of finalizers is replaced as a whole: only in the version that was read.
    metadata.insert("resourceVersion".to_owned(), json!(resource_version));
    let patch = json!({ "metadata": metadata });
    Some(Step::Patch {
        target: target(id),
        part: Part::Object,
        patch,
    })
}

fn without_upstream(finalizers: &[String]) -> Vec<String> {
    finalizers
        .iter()
        .filter(|finalizer| !meta::is_upstream_finalizer(finalizer))
        .cloned()
        .collect()
}

/// A deletion: held back by pods and heirs, then released, then let go when no living node has it.
fn remove(inputs: &Inputs) -> Vec<Step> {
    let Profile {
        id,
        resource_version,
        finalizers,
        ..
    } = &inputs.profile;
    if let Some((reason, by)) = held_by(inputs) {
        let message = format!("{by}; the profile stays on the nodes until they are gone");
        let conditions = vec![
            next(
                inputs,
                READY,
                condition::ready(ProfileState::Terminating),
                &message,
            ),
            next(inputs, IN_USE, ("True", reason), &message),
        ];
        let mut steps = write_status(
            inputs,
            &status(inputs, ProfileState::Terminating, conditions),
        );
        if !steps.is_empty() {
            steps.push(publish(inputs, Severity::Warning, "ProfileInUse", message));
        }
        return steps;
    }
    if inputs.holders.is_empty() {
        let kept: Vec<String> = without_upstream(finalizers)
            .into_iter()
            .filter(|finalizer| finalizer != meta::FINALIZER)
            .collect();
        if kept.len() == finalizers.len() {
            return Vec::new();
        }
        let patch = json!({
            "metadata": { "finalizers": kept, "resourceVersion": resource_version }
        });
        return vec![Step::Patch {
            target: target(id),
            part: Part::Object,
            patch,
        }];
    }
    let down: Vec<&str> = inputs
        .nodes
        .iter()
        .filter(|node| node.standing == Standing::Down)
        .map(|node| node.name.as_str())
        .collect();
    let mut message = "being removed from the nodes".to_owned();
    if !down.is_empty() {
        message.push_str(&format!(
            "; not waiting for {}, which is down",
            sum::list(&down)
        ));
    }
    let conditions = vec![
        next(
            inputs,
            READY,
            condition::ready(ProfileState::Terminating),
            &message,
        ),
        next(
            inputs,
            IN_USE,
            ("False", "NoActiveWorkloads"),
            "no pod uses the profile",
        ),
    ];
    write_status(
        inputs,
        &status(inputs, ProfileState::Terminating, conditions),
    )
}

/// What holds a deletion back: the reason of the condition, and a text that says who.
fn held_by(inputs: &Inputs) -> Option<(&'static str, String)> {
    let users = format!("in use by {}", sum::list(&inputs.users));
    let heirs = format!("inherited by {}", sum::list(&inputs.heirs));
    match (inputs.users.is_empty(), inputs.heirs.is_empty()) {
        (true, true) => None,
        (false, true) => Some(("ActiveWorkloads", users)),
        (true, false) => Some(("Inherited", heirs)),
        (false, false) => Some(("ActiveWorkloads", format!("{users}; {heirs}"))),
    }
}

fn ready(inputs: &Inputs, sum: &Sum) -> Condition {
    let says = if sum.not_offered {
        ("False", NOT_OFFERED)
    } else {
        condition::ready(sum.state)
    };
    next(inputs, READY, says, &sum.message)
}

fn next(inputs: &Inputs, type_: &str, says: (&str, &str), message: &str) -> Condition {
    let Profile {
        status, generation, ..
    } = &inputs.profile;
    condition::next(
        &status.conditions,
        type_,
        says,
        message,
        *generation,
        &inputs.now,
    )
}

/// The whole status, with conditions of others kept.
fn status(inputs: &Inputs, state: ProfileState, mut conditions: Vec<Condition>) -> Status {
    let Profile {
        id, status: old, ..
    } = &inputs.profile;
    let foreign = old
        .conditions
        .iter()
        .filter(|condition| ![READY, IN_USE].contains(&&*condition.type_));
    conditions.extend(foreign.cloned());
    let count = i32::try_from(inputs.users.len()).unwrap_or(i32::MAX);
    let (file, usage) = match id.used_by() {
        Some(Use::SeccompFile(file)) => (Some(layout::localhost_profile(&file)), None),
        Some(Use::SelinuxType(block)) => (None, Some(block.usage())),
        // Its name is all that a pod writes.
        Some(Use::AppArmor(_)) | None => (None, None),
    };
    Status {
        status: Some(state),
        conditions,
        path: file
            .as_ref()
            .map(|file| format!("/var/lib/kubelet/seccomp/{file}")),
        localhost_profile: file,
        usage,
        active_workloads: inputs.users.iter().take(WORKLOADS_MAX).cloned().collect(),
        active_workloads_count: (count > 0 || old.active_workloads_count.is_some())
            .then_some(count),
    }
}

fn write_status(inputs: &Inputs, status: &Status) -> Vec<Step> {
    if *status == inputs.profile.status {
        return Vec::new();
    }
    let old = serde_json::to_value(&inputs.profile.status).unwrap_or_default();
    let mut fields = serde_json::to_value(status).unwrap_or_default();
    // A merge patch takes away only what it names.
    for field in old.as_object().into_iter().flat_map(serde_json::Map::keys) {
        if fields.get(field).is_none() {
            fields[field] = Value::Null;
        }
    }
    let target = target(&inputs.profile.id);
    vec![Step::Patch {
        target,
        part: Part::Status,
        patch: json!({ "status": fields }),
    }]
}

/// Tells the users what they would want to know at once: it is installed, or it can not be.
fn tell(inputs: &Inputs, sum: &Sum) -> Option<Step> {
    let old = inputs
        .profile
        .status
        .conditions
        .iter()
        .find(|c| c.type_ == READY);
    let told = |old: &Condition| {
        old.message == sum.message && old.observed_generation == inputs.profile.generation
    };
    if old.is_some_and(told) {
        return None;
    }
    let kind = inputs.profile.id.kind;
    if sum.not_offered {
        let message = sum.message.clone();
        return Some(publish(
            inputs,
            Severity::Warning,
            kind.unsupported(),
            message,
        ));
    }
    match (&sum.reason, sum.state) {
        (Some(reason), _) => Some(publish(
            inputs,
            Severity::Warning,
            reason,
            sum.message.clone(),
        )),
        (None, ProfileState::Installed) => {
            // The first time, and after a change of the profile; not when a node comes or goes.
            let was_installed = inputs.profile.status.status == Some(ProfileState::Installed)
                && old.is_some_and(|old| old.observed_generation == inputs.profile.generation);
            let (reason, installed_on) = kind.installed();
            let message = format!("{installed_on} {}", sum::list(&sum.nodes));
            (!was_installed).then(|| publish(inputs, Severity::Normal, reason, message))
        }
        (None, _) => None,
    }
}

fn publish(inputs: &Inputs, severity: Severity, reason: &str, message: String) -> Step {
    let Profile {
        id,
        uid,
        resource_version,
        ..
    } = &inputs.profile;
    Step::Publish(KubeEvent {
        about: ObjectReference {
            api_version: Some(format!("{GROUP}/v1")),
            kind: Some(id.kind.to_string()),
            name: Some(id.name.clone()),
            uid: Some(uid.clone()),
            resource_version: Some(resource_version.clone()),
            ..ObjectReference::default()
        },
        severity,
        reason: reason.to_owned(),
        message,
        component: id.kind.component(),
        node: None,
    })
}

fn target(id: &ProfileId) -> Target {
    Target {
        resource: id.kind.resource(),
        namespace: None,
        name: id.name.clone(),
    }
}

#[cfg(test)]
mod tests;

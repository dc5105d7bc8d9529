//! Pure. What to write about one SeccompProfile: the sum of the nodes, who uses it, its deletion.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use spo_api::condition::{self, IN_USE, READY};
use spo_api::node_status::ProfileState;
use spo_api::seccomp_profile::SeccompProfileStatus;
use spo_api::{GROUP, meta};
use spo_kube::event::{KubeEvent, Severity};
use spo_kube::step::{Part, Step, Target};
use spo_profile::layout;

use super::sum::{self, NodeFacts, Standing, Sum};

/// How long a state that is only waiting for nodes is not worth a write: they answer in a moment.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most pods that the status names.
const WORKLOADS_MAX: usize = 100;
/// The reason of a profile that the restrictions do not allow (contract 02a, 2.11).
const NOT_ALLOWED: &str = "ProfileNotAllowed";

/// Everything that the decision needs.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) profile: Profile,
    pub(super) nodes: Vec<NodeFacts>,
    /// Living nodes which still have a node status of the profile, whatever it says.
    pub(super) holders: Vec<String>,
    /// Pods which use the profile, as `namespace/name`, sorted.
    pub(super) users: Vec<String>,
    /// What the annotation with the effective syscalls has to say; `None` without a base profile.
    pub(super) effective_syscalls: Option<String>,
    /// The file of the profile, if its name can be the name of a file.
    pub(super) file: Option<String>,
    /// Whether profiles that are not allowed are deleted, as upstream does.
    pub(super) delete_not_allowed: bool,
    /// How long nodes have been waited for.
    pub(super) waited: Duration,
    pub(super) now: Time,
}

/// The object, as far as the manager acts on it.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) generation: Option<i64>,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
    /// Whether the label `profile-id` is there.
    pub(super) labeled: bool,
    /// Whether the annotation with the effective syscalls says what it has to.
    pub(super) annotated: bool,
    pub(super) status: SeccompProfileStatus,
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
    let sum = sum::sum(&inputs.nodes, inputs.profile.generation);
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
            target: target(&inputs.profile.name),
            uid: Some(inputs.profile.uid.clone()),
        });
    }
    Plan { steps, again: None }
}

/// Our finalizer instead of upstream's, the label by which node statuses are found, the annotation.
fn adopt(inputs: &Inputs) -> Option<Step> {
    let Profile {
        name,
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
        let id = meta::profile_id("SeccompProfile", name);
        metadata.insert("labels".to_owned(), json!({ meta::LABEL_PROFILE_ID: id }));
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
        target: target(name),
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

/// A deletion: held back by pods, then released, then let go when no living node has it.
fn remove(inputs: &Inputs) -> Vec<Step> {
    let Profile {
        name,
        resource_version,
        finalizers,
        ..
    } = &inputs.profile;
    if !inputs.users.is_empty() {
        let users = sum::list(&inputs.users);
        let message =
            format!("in use by {users}; the profile stays on the nodes until they are gone");
        let held = ("True", "ActiveWorkloads");
        let conditions = vec![
            next(
                inputs,
                READY,
                condition::ready(ProfileState::Terminating),
                &message,
            ),
            next(inputs, IN_USE, held, &message),
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
            target: target(name),
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

fn ready(inputs: &Inputs, sum: &Sum) -> Condition {
    next(inputs, READY, condition::ready(sum.state), &sum.message)
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
fn status(
    inputs: &Inputs,
    state: ProfileState,
    mut conditions: Vec<Condition>,
) -> SeccompProfileStatus {
    let old = &inputs.profile.status;
    let foreign = old
        .conditions
        .iter()
        .filter(|condition| ![READY, IN_USE].contains(&&*condition.type_));
    conditions.extend(foreign.cloned());
    let count = i32::try_from(inputs.users.len()).unwrap_or(i32::MAX);
    SeccompProfileStatus {
        status: Some(state),
        conditions,
        localhost_profile: inputs.file.as_deref().map(layout::localhost_profile),
        path: inputs.file.as_ref().map(|file| {
            format!(
                "/var/lib/kubelet/seccomp/{}",
                layout::localhost_profile(file)
            )
        }),
        active_workloads: inputs.users.iter().take(WORKLOADS_MAX).cloned().collect(),
        active_workloads_count: (count > 0 || old.active_workloads_count.is_some())
            .then_some(count),
    }
}

fn write_status(inputs: &Inputs, status: &SeccompProfileStatus) -> Vec<Step> {
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
    let target = target(&inputs.profile.name);
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
            let message = format!(
                "Successfully saved profile to disk on {}",
                sum::list(&sum.nodes)
            );
            (!was_installed)
                .then(|| publish(inputs, Severity::Normal, "SavedSeccompProfile", message))
        }
        (None, _) => None,
    }
}

fn publish(inputs: &Inputs, severity: Severity, reason: &str, message: String) -> Step {
    let Profile {
        name,
        uid,
        resource_version,
        ..
    } = &inputs.profile;
    Step::Publish(KubeEvent {
        about: ObjectReference {
            api_version: Some(format!("{GROUP}/v1")),
            kind: Some("SeccompProfile".to_owned()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            resource_version: Some(resource_version.clone()),
            ..ObjectReference::default()
        },
        severity,
        reason: reason.to_owned(),
        message,
        // The source that upstream's daemons give (contract 02a, 2.1).
        component: "profile",
        node: None,
    })
}

fn target(name: &str) -> Target {
    let gvk = GroupVersionKind::gvk(GROUP, "v1", "SeccompProfile");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "seccompprofiles");
    Target {
        resource,
        namespace: None,
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests;

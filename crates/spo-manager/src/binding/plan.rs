//! Pure. What to write about one ProfileBinding: who uses it, and that it stays as long.

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use spo_api::GROUP;
use spo_kube::step::{Part, Step, Target};

/// Keeps a binding while pods use it. Upstream's name (contract 01, 5.5): its bindings have it.
pub(super) const FINALIZER: &str = "active-workload-lock";
/// Most pods that the status names.
const WORKLOADS_MAX: usize = 100;

/// Everything that the decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inputs {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) resource_version: String,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
    /// As its status has them.
    pub(super) active_workloads: Vec<String>,
    /// Pods which use it, as `namespace/name`, sorted.
    pub(super) users: Vec<String>,
}

/// Plans.
pub(super) fn plan(inputs: &Inputs) -> Vec<Step> {
    let Inputs {
        finalizers,
        deleting,
        users,
        ..
    } = inputs;
    let locked = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    let used = !users.is_empty();
    let mut steps = Vec::new();
    // A finalizer can not be added to what is being deleted.
    if used && !locked && !deleting {
        let mut kept = finalizers.clone();
        kept.push(FINALIZER.to_owned());
        steps.push(write_finalizers(inputs, &kept));
    }
    if !used && locked {
        let others = finalizers.iter().filter(|&other| other != FINALIZER);
        let kept: Vec<String> = others.cloned().collect();
        steps.push(write_finalizers(inputs, &kept));
        if *deleting && kept.is_empty() {
            // With that it is gone.
            return steps;
        }
    }
    let named = users.get(..WORKLOADS_MAX).unwrap_or(users);
    if named != inputs.active_workloads {
        // A merge patch takes away only what it names.
        let named = if used { json!(named) } else { Value::Null };
        steps.push(Step::Patch {
            target: target(inputs),
            part: Part::Status,
            patch: json!({ "status": { "activeWorkloads": named } }),
        });
    }
    steps
}

/// The list of finalizers is replaced as a whole: only in the version that was read.
fn write_finalizers(inputs: &Inputs, finalizers: &[String]) -> Step {
    let version = &inputs.resource_version;
    Step::Patch {
        target: target(inputs),
        part: Part::Object,
        patch: json!({ "metadata": { "finalizers": finalizers, "resourceVersion": version } }),
    }
}

fn target(inputs: &Inputs) -> Target {
    let gvk = GroupVersionKind::gvk(GROUP, "v1", "ProfileBinding");
    Target {
        resource: ApiResource::from_gvk_with_plural(&gvk, "profilebindings"),
        namespace: Some(inputs.namespace.clone()),
        name: inputs.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: &str = "example.com/other";
    const LOCK: &str = "patch ProfileBinding/b {\"metadata\":{\"finalizers\":\
                        [\"example.com/other\",\"active-workload-lock\"],\"resourceVersion\":\"7\"}}";
    const UNLOCK: &str = "patch ProfileBinding/b {\"metadata\":{\"finalizers\":\
                          [\"example.com/other\"],\"resourceVersion\":\"7\"}}";
    const NAME: &str = "patch-status ProfileBinding/b {\"status\":{\"activeWorkloads\":[\"n/p\"]}}";
    const CLEAR: &str = "patch-status ProfileBinding/b {\"status\":{\"activeWorkloads\":null}}";

    fn inputs(locked: bool, deleting: bool, said: &[&str], users: &[&str]) -> Inputs {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let finalizers = if locked {
            &[OTHER, FINALIZER][..]
        } else {
            &[OTHER]
        };
        Inputs {
            namespace: "n".to_owned(),
            name: "b".to_owned(),
            resource_version: "7".to_owned(),
            deleting,
            finalizers: own(finalizers),
            active_workloads: own(said),
            users: own(users),
        }
    }

    fn texts(inputs: &Inputs) -> Vec<String> {
        plan(inputs).iter().map(Step::to_string).collect()
    }

    #[test]
    fn a_binding_is_locked_while_it_is_used() {
        let check = |locked, deleting, said: &[&str], users: &[&str], expected: &[&str]| {
            assert_eq!(texts(&inputs(locked, deleting, said, users)), expected);
        };
        check(false, false, &[], &[], &[]);
        check(false, false, &[], &["n/p"], &[LOCK, NAME]);
        check(true, false, &["n/p"], &["n/p"], &[]);
        check(true, false, &["n/p"], &[], &[UNLOCK, CLEAR]);
        check(true, true, &["n/p"], &["n/p"], &[]);
        check(true, true, &["n/p"], &[], &[UNLOCK, CLEAR]);
        check(false, true, &[], &["n/p"], &[NAME]);
        // Upstream has noted pods without a name.
        check(true, false, &["n/"], &[], &[UNLOCK, CLEAR]);
        check(true, false, &["n/", "n/p"], &["n/p"], &[NAME]);
    }

    #[test]
    fn nothing_is_written_to_what_goes_with_its_lock() {
        let mut inputs = inputs(true, true, &["n/p"], &[]);
        inputs.finalizers = vec![FINALIZER.to_owned()];
        let expected = "patch ProfileBinding/b {\"metadata\":{\"finalizers\":[],\
                        \"resourceVersion\":\"7\"}}";
        assert_eq!(texts(&inputs), [expected]);
    }

    #[test]
    fn a_hundred_pods_are_named() {
        let users: Vec<String> = (0..150).map(|number| format!("n/p{number:03}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let written = texts(&inputs(true, false, &[], &users));
        assert!(
            written[0].contains("p099") && !written[0].contains("p100"),
            "{written:?}"
        );
        assert!(texts(&inputs(true, false, &users[..100], &users)).is_empty());
    }
}

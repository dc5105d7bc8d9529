//! Plans as text.

use super::*;
use crate::kind::Kind;
use crate::profile::sum::Report;

/// A profile that nobody has looked at, in a cluster of two nodes.
fn new_profile() -> Inputs {
    Inputs {
        profile: Profile {
            id: ProfileId::new(Kind::Seccomp, "web"),
            uid: "u".to_owned(),
            resource_version: "7".to_owned(),
            generation: Some(1),
            deleting: false,
            finalizers: Vec::new(),
            labeled: false,
            annotated: true,
            initial: ProfileState::Pending,
            status: Status::default(),
        },
        nodes: vec![node("a", None), node("b", None)],
        holders: Vec::new(),
        users: Vec::new(),
        heirs: Vec::new(),
        effective_syscalls: None,
        switched_off: None,
        delete_not_allowed: false,
        waited: Duration::ZERO,
        now: now(),
    }
}

/// The same, adopted and reported by both nodes.
fn reported() -> Inputs {
    let mut inputs = new_profile();
    inputs.profile.finalizers = vec![meta::FINALIZER.to_owned()];
    inputs.profile.labeled = true;
    inputs.nodes = ["a", "b"]
        .map(|name| node(name, Some(ProfileState::Installed)))
        .into();
    inputs.holders = vec!["a".to_owned(), "b".to_owned()];
    inputs
}

/// The same, with the status written.
fn settled() -> Inputs {
    let mut inputs = reported();
    apply(&mut inputs);
    inputs
}

fn node(name: &str, state: Option<ProfileState>) -> NodeFacts {
    NodeFacts {
        name: name.to_owned(),
        standing: Standing::Expected,
        report: state.map(|state| Report {
            state,
            reason: None,
            message: None,
            observed_generation: Some(1),
        }),
    }
}

fn now() -> Time {
    Time("2026-11-21T00:00:00Z".parse().unwrap())
}

/// Makes the object say what the plan writes to its status.
fn apply(inputs: &mut Inputs) {
    for step in plan(inputs).steps {
        if let Step::Patch {
            part: Part::Status,
            patch,
            ..
        } = step
        {
            let mut status = patch["status"].clone();
            status
                .as_object_mut()
                .unwrap()
                .retain(|_, value| !value.is_null());
            inputs.profile.status = serde_json::from_value(status).unwrap();
        }
    }
}

fn steps(inputs: &Inputs) -> Vec<String> {
    plan(inputs).steps.iter().map(ToString::to_string).collect()
}

fn ready(inputs: &Inputs) -> (String, String) {
    let mut inputs = inputs.clone();
    apply(&mut inputs);
    let conditions = &inputs.profile.status.conditions;
    let ready = conditions.iter().find(|c| c.type_ == READY).unwrap();
    (
        format!("{} {}", ready.status, ready.reason),
        ready.message.clone(),
    )
}

#[test]
fn a_new_profile_is_adopted_in_one_write_and_waited_for() {
    let plan = plan(&new_profile());
    assert_eq!(
        plan.steps
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            r#"patch SeccompProfile/web {"metadata":{"finalizers":["spo.x-k8s.io/installed"],"labels":{"spo.x-k8s.io/profile-id":"SeccompProfile-web"},"resourceVersion":"7"}}"#
        ]
    );
    assert_eq!(plan.again, Some(PATIENCE));
}

#[test]
fn finalizers_of_upstream_are_replaced_and_others_kept() {
    let mut inputs = settled();
    inputs.profile.finalizers = [
        "node-1-deleted",
        "example.com/mine",
        "in-use-by-active-pods",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(
        steps(&inputs),
        [
            r#"patch SeccompProfile/web {"metadata":{"finalizers":["example.com/mine","spo.x-k8s.io/installed"],"resourceVersion":"7"}}"#
        ]
    );
}

#[test]
fn an_installed_profile_takes_one_status_write_and_one_event() {
    let inputs = reported();
    let steps = steps(&inputs);
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(
        steps[0].starts_with("patch-status SeccompProfile/web"),
        "{steps:?}"
    );
    assert_eq!(
        steps[1],
        "publish Normal SavedSeccompProfile \"Successfully saved profile to disk on a, b\""
    );
    assert_eq!(
        ready(&inputs),
        (
            "True Available".to_owned(),
            "installed on 2 of 2 nodes".to_owned()
        )
    );
}

#[test]
fn a_settled_profile_costs_nothing() {
    assert_eq!(
        plan(&settled()),
        Plan {
            steps: Vec::new(),
            again: None
        }
    );
}

#[test]
fn a_node_that_does_not_answer_shows_after_a_moment() {
    let mut inputs = settled();
    inputs.nodes.push(node("c", None));
    assert_eq!(plan(&inputs).again, Some(PATIENCE));
    inputs.waited = PATIENCE;
    assert_eq!(
        ready(&inputs),
        (
            "False Creating".to_owned(),
            "installed on 2 of 3 nodes; waiting for c".to_owned()
        )
    );
}

#[test]
fn an_error_on_a_node_is_told_once() {
    let mut inputs = settled();
    inputs.nodes[1].report = Some(Report {
        state: ProfileState::Error,
        reason: Some("ProfileNotAllowed".to_owned()),
        message: Some("syscall not allowed: bpf".to_owned()),
        observed_generation: Some(1),
    });
    let text = steps(&inputs);
    assert_eq!(
        text[1],
        "publish Warning ProfileNotAllowed \"installed on 1 of 2 nodes; on b: \
         ProfileNotAllowed: syscall not allowed: bpf\""
    );
    apply(&mut inputs);
    assert!(steps(&inputs).is_empty());

    inputs.delete_not_allowed = true;
    assert_eq!(steps(&inputs), ["delete SeccompProfile/web"]);
}

#[test]
fn pods_hold_a_deletion_back_and_are_named() {
    let mut inputs = settled();
    inputs.profile.deleting = true;
    inputs.users = vec!["default/web-0".to_owned()];
    let text = steps(&inputs);
    assert!(text[0].contains("default/web-0"), "{text:?}");
    assert!(
        text[1].starts_with("publish Warning ProfileInUse"),
        "{text:?}"
    );
    apply(&mut inputs);
    assert!(steps(&inputs).is_empty());
    let in_use = |inputs: &Inputs| {
        let conditions = &inputs.profile.status.conditions;
        conditions
            .iter()
            .find(|c| c.type_ == IN_USE)
            .map(|c| c.status.clone())
    };
    assert_eq!(in_use(&inputs).as_deref(), Some("True"));

    // The pod is gone: the nodes are told to remove the profile, in one write.
    inputs.users.clear();
    assert_eq!(steps(&inputs).len(), 1);
    apply(&mut inputs);
    assert_eq!(in_use(&inputs).as_deref(), Some("False"));
    assert!(steps(&inputs).is_empty(), "waits for the nodes");

    // The nodes have withdrawn their reports.
    inputs.holders.clear();
    assert_eq!(
        steps(&inputs),
        [r#"patch SeccompProfile/web {"metadata":{"finalizers":[],"resourceVersion":"7"}}"#]
    );
}

#[test]
fn a_node_that_is_down_holds_no_deletion_back() {
    let mut inputs = settled();
    inputs.profile.deleting = true;
    inputs.nodes[1].standing = Standing::Down;
    // The index lists living nodes only as holders.
    inputs.holders = vec!["a".to_owned()];
    assert!(steps(&inputs)[0].contains("not waiting for b, which is down"));
    inputs.holders.clear();
    assert!(steps(&inputs)[0].starts_with("patch SeccompProfile/web"));
}

#[test]
fn the_list_of_pods_is_bounded_and_their_number_is_not() {
    let mut inputs = settled();
    inputs.users = (0..150).map(|n| format!("ns/pod-{n:03}")).collect();
    apply(&mut inputs);
    let status = &inputs.profile.status;
    assert_eq!(status.active_workloads.len(), WORKLOADS_MAX);
    assert_eq!(status.active_workloads_count, Some(150));
    inputs.users.clear();
    apply(&mut inputs);
    assert_eq!(inputs.profile.status.active_workloads_count, Some(0));
    assert!(steps(&inputs).is_empty());
}

#[test]
fn effective_syscalls_are_annotated_when_there_is_a_base() {
    let mut inputs = settled();
    inputs.effective_syscalls = Some("[]".to_owned());
    inputs.profile.annotated = false;
    assert_eq!(
        steps(&inputs),
        [
            r#"patch SeccompProfile/web {"metadata":{"annotations":{"syscalls":"[]"},"resourceVersion":"7"}}"#
        ]
    );
}

#[test]
fn conditions_of_others_are_kept() {
    let mut inputs = settled();
    inputs.profile.status.conditions.push(Condition {
        type_: "Reviewed".to_owned(),
        status: "True".to_owned(),
        reason: "Somebody".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: now(),
    });
    inputs.nodes.push(node("c", Some(ProfileState::Installed)));
    apply(&mut inputs);
    let types: Vec<&str> = inputs
        .profile
        .status
        .conditions
        .iter()
        .map(|c| c.type_.as_str())
        .collect();
    assert_eq!(types, [READY, "Reviewed"]);
}

/// The same profile, of another kind.
fn of_kind(kind: Kind, mut inputs: Inputs) -> Inputs {
    inputs.profile.id.kind = kind;
    inputs
}

#[test]
fn every_kind_has_its_labels_events_and_fields() {
    let seccomp = json!({
        "localhostProfile": "operator/web.json",
        "path": "/var/lib/kubelet/seccomp/operator/web.json",
    });
    let usage = json!({ "usage": "web.process" });
    for (kind, fields, saved) in [
        (
            Kind::Seccomp,
            seccomp,
            "SavedSeccompProfile \"Successfully saved profile to disk on a, b\"",
        ),
        (
            Kind::Selinux,
            usage.clone(),
            "SavedSelinuxPolicy \"Successfully saved profile to disk on a, b\"",
        ),
        (
            Kind::RawSelinux,
            usage,
            "SavedSelinuxPolicy \"Successfully saved profile to disk on a, b\"",
        ),
        (
            Kind::AppArmor,
            json!({}),
            "LoadedAppArmorProfile \"Successfully loaded profile into node a, b\"",
        ),
    ] {
        assert_eq!(
            steps(&of_kind(kind, new_profile())),
            [format!(
                r#"patch {kind}/web {{"metadata":{{"finalizers":["spo.x-k8s.io/installed"],"labels":{{"spo.x-k8s.io/profile-id":"{kind}-web"}},"resourceVersion":"7"}}}}"#
            )]
        );
        let inputs = of_kind(kind, reported());
        let plan = plan(&inputs);
        let [Step::Patch { target, patch, .. }, Step::Publish(event)] = &plan.steps[..] else {
            panic!("{:?}", plan.steps);
        };
        assert_eq!(target.resource, kind.resource());
        let mut status = patch["status"].clone();
        status
            .as_object_mut()
            .unwrap()
            .retain(|name, _| !["status", "conditions"].contains(&&**name));
        assert_eq!(status, fields, "{kind}");
        assert_eq!(event.about.kind.as_deref(), Some(kind.as_str()));
        assert_eq!(
            Step::Publish(event.clone()).to_string(),
            format!("publish Normal {saved}")
        );
        assert_eq!(event.component, kind.component());
    }
}

#[test]
fn a_profile_that_no_node_can_have_says_why_and_what_to_do_once() {
    let mut inputs = of_kind(Kind::Selinux, reported());
    for node in &mut inputs.nodes {
        node.standing = Standing::NotApplicable("SELinux is disabled in the kernel".to_owned());
    }
    inputs.switched_off = Some(SwitchedOff {
        field: "spec.selinux.enable",
        why: "is false".to_owned(),
    });
    assert_eq!(
        plan(&inputs).again,
        Some(PATIENCE),
        "nodes may be about to say more"
    );
    inputs.waited = PATIENCE;
    let message = "no node offers SELinux: a, b (SELinux is disabled in the kernel); \
                   spec.selinux.enable is false";
    assert_eq!(
        ready(&inputs),
        ("False NotOffered".to_owned(), message.to_owned())
    );
    assert_eq!(
        steps(&inputs)[1],
        format!("publish Warning SelinuxNotSupportedOnNode \"{message}\"")
    );
    apply(&mut inputs);
    assert_eq!(inputs.profile.status.status, Some(ProfileState::Pending));
    assert_eq!(inputs.profile.status.usage.as_deref(), Some("web.process"));
    assert!(steps(&inputs).is_empty());
    // A node gets the mechanism.
    inputs.nodes[1].standing = Standing::Expected;
    assert_eq!(
        ready(&inputs),
        (
            "True Available".to_owned(),
            "installed on 1 of 1 nodes; 1 node does not offer SELinux: \
             a (SELinux is disabled in the kernel)"
                .to_owned()
        )
    );
}

#[test]
fn heirs_hold_a_deletion_back_like_pods() {
    let mut inputs = of_kind(Kind::Selinux, settled());
    inputs.profile.deleting = true;
    inputs.heirs = vec!["SelinuxProfile/child".to_owned()];
    let held = |inputs: &Inputs| {
        let mut inputs = inputs.clone();
        apply(&mut inputs);
        let conditions = inputs.profile.status.conditions;
        let held = conditions.into_iter().find(|c| c.type_ == IN_USE).unwrap();
        (format!("{} {}", held.status, held.reason), held.message)
    };
    let stays = "; the profile stays on the nodes until they are gone";
    assert_eq!(
        held(&inputs),
        (
            "True Inherited".to_owned(),
            format!("inherited by SelinuxProfile/child{stays}")
        )
    );
    assert!(steps(&inputs)[1].starts_with("publish Warning ProfileInUse"));
    inputs.users = vec!["default/web-0".to_owned()];
    assert_eq!(
        held(&inputs),
        (
            "True ActiveWorkloads".to_owned(),
            format!("in use by default/web-0; inherited by SelinuxProfile/child{stays}")
        )
    );
    inputs.users.clear();
    inputs.heirs.clear();
    assert_eq!(held(&inputs).0, "False NoActiveWorkloads");
}

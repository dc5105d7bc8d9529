//! What a pod becomes, binding by binding: exact patches and exact warnings.

use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use spo_api::node_status::ProfileState;
use spo_api::profile::ProfileKind;

use super::*;
use crate::admission::decision::Operation;
use crate::cache::{Binding, Profile, Seen};

const SECCOMP: ProfileKind = ProfileKind::SeccompProfile;
const SELINUX: ProfileKind = ProfileKind::SelinuxProfile;
const APPARMOR: ProfileKind = ProfileKind::AppArmorProfile;

/// A cluster that is known, with the profiles `p` and `q` of every kind installed.
fn cache() -> Cache {
    let mut cache = Cache::new("spod");
    for seen in Seen::all_listed() {
        cache.observe(seen);
    }
    for name in ["p", "q"] {
        let installed = Some(ProfileState::Installed);
        for (kind, value) in [
            (SECCOMP, format!("operator/{name}.json")),
            (SELINUX, format!("{name}.process")),
            (APPARMOR, name.to_owned()),
        ] {
            profile(&mut cache, kind, name, installed, Some(value));
        }
    }
    cache
}

fn profile(
    cache: &mut Cache,
    kind: ProfileKind,
    name: &str,
    state: Option<ProfileState>,
    value: Option<String>,
) {
    let profile = (name.to_owned(), Profile { state, value });
    cache.observe(Seen::Profile(kind, Event::Apply(profile)));
}

/// Adds a binding: name, kind, profile, image, selector.
fn bind(cache: &mut Cache, name: &str, kind: ProfileKind, profile: &str, image: &str) {
    bind_selected(cache, name, kind, (profile, image), Value::Null);
}

fn bind_selected(
    cache: &mut Cache,
    name: &str,
    kind: ProfileKind,
    (profile, image): (&str, &str),
    selector: Value,
) {
    let spec = json!({
        "image": image,
        "profileRef": {"kind": kind, "name": profile},
        "podSelector": selector,
    });
    let rule = rule::Rule::new(serde_json::from_value(spec).unwrap());
    see(cache, "ns", name, Some(Ok(rule)));
}

fn see(cache: &mut Cache, namespace: &str, name: &str, rule: Option<Result<rule::Rule, String>>) {
    let binding = Binding {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        rule,
    };
    cache.observe(Seen::Binding(Event::Apply(binding)));
}

fn ask(cache: &Cache, operation: &str, object: Value) -> Decision {
    let request = json!({
        "uid": "u1", "namespace": "ns", "name": "web",
        "operation": operation, "object": object,
    });
    decide(&serde_json::from_value(request).unwrap(), cache)
}

/// Checks what is patched, and what is warned of. A pod that was patched is as it should be: nothing
/// more is to be done if it is asked about again.
#[track_caller]
fn check(cache: &Cache, pod: &Value, patch: &Value, warnings: &[&str]) {
    let (operations, said) = match ask(cache, "CREATE", pod.clone()) {
        Decision::Allow { message, warnings } => {
            assert_eq!(message, "pod unchanged");
            (Vec::new(), warnings)
        }
        Decision::Patch {
            operations,
            message,
            warnings,
            ..
        } => {
            assert!(message.is_empty() && !operations.is_empty());
            (operations, warnings)
        }
        Decision::Deny { message, .. } => panic!("{message}"),
    };
    assert_eq!(json!(operations), *patch);
    assert_eq!(said, warnings);
    let again = ask(cache, "CREATE", patched(pod.clone(), &operations));
    assert!(matches!(again, Decision::Allow { .. }), "{again:?}");
}

/// What the API server makes of a patch: the parent of every path has to be there.
fn patched(mut object: Value, operations: &[Operation]) -> Value {
    for operation in operations {
        let (Operation::Add { path, .. } | Operation::Remove { path }) = operation;
        let (parent, member) = path.rsplit_once('/').unwrap();
        let member = member.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match operation {
            Operation::Add { value, .. } => parent.insert(member, value.clone()),
            Operation::Remove { .. } => Some(parent.remove(&member).unwrap()),
        };
    }
    object
}

fn add(path: &str, value: Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

fn localhost(profile: &str) -> Value {
    json!({"type": "Localhost", "localhostProfile": profile})
}

/// Containers with the images `foo` and `bar`, and the init container `foo`.
fn pod() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {
        "unknown": 1,
        "containers": [{"name": "a", "image": "foo"}, {"name": "b", "image": "bar"}],
        "initContainers": [{"name": "i", "image": "foo"}],
    }})
}

#[test]
fn an_image_is_bound_exactly_and_in_every_container() {
    for (kind, fields) in [
        (
            SECCOMP,
            json!({"seccompProfile": localhost("operator/p.json")}),
        ),
        (SELINUX, json!({"seLinuxOptions": {"type": "p.process"}})),
        (APPARMOR, json!({"appArmorProfile": localhost("p")})),
    ] {
        let mut cache = cache();
        bind(&mut cache, "b", kind, "p", "foo");
        for image in ["foo:latest", "docker.io/library/foo", "fo", ""] {
            bind(&mut cache, image, kind, "p", image);
        }
        let patch = json!([
            add("/spec/containers/0/securityContext", fields.clone()),
            add("/spec/initContainers/0/securityContext", fields.clone()),
        ]);
        check(&cache, &pod(), &patch, &[]);
        let mut again = pod();
        again["spec"]["containers"][0]["securityContext"] = fields.clone();
        again["spec"]["initContainers"][0]["securityContext"] = fields;
        check(&cache, &again, &json!([]), &[]);
    }
}

#[test]
fn every_image_is_bound_at_the_pod() {
    for (kind, fields) in [
        (
            SECCOMP,
            json!({"seccompProfile": localhost("operator/p.json")}),
        ),
        (SELINUX, json!({"seLinuxOptions": {"type": "p.process"}})),
        (APPARMOR, json!({"appArmorProfile": localhost("p")})),
    ] {
        let mut cache = cache();
        bind(&mut cache, "b", kind, "p", "*");
        let patch = json!([add("/spec/securityContext", fields.clone())]);
        check(&cache, &pod(), &patch, &[]);
        let mut again = pod();
        again["spec"]["securityContext"] = fields.clone();
        check(&cache, &again, &json!([]), &[]);
        // A profile of another kind is nothing to give way to.
        let (field, value) = fields.as_object().unwrap().iter().next().unwrap();
        let mut other = pod();
        other["spec"]["securityContext"] = json!({"runAsUser": 1});
        let path = format!("/spec/securityContext/{field}");
        check(&cache, &other, &json!([add(&path, value.clone())]), &[]);
    }
}

#[test]
fn an_image_wins_over_every_image_and_over_the_author() {
    let mut cache = cache();
    bind(&mut cache, "any", SECCOMP, "p", "*");
    bind(&mut cache, "one", SECCOMP, "q", "foo");
    bind(&mut cache, "two", SELINUX, "q", "foo");
    let mut pod = pod();
    pod["spec"]["initContainers"] = json!([]);
    let context = &mut pod["spec"]["containers"][0]["securityContext"];
    *context = json!({
        "seccompProfile": {"type": "Unconfined"},
        "seLinuxOptions": {"level": "s0:c1", "type": "spc_t"},
    });
    let patch = json!([
        add(
            "/spec/securityContext",
            json!({"seccompProfile": localhost("operator/p.json")})
        ),
        add(
            "/spec/containers/0/securityContext/seccompProfile",
            localhost("operator/q.json")
        ),
        add(
            "/spec/containers/0/securityContext/seLinuxOptions/type",
            json!("q.process")
        ),
    ]);
    check(&cache, &pod, &patch, &[]);
}

#[test]
fn every_image_gives_way_to_the_author() {
    let mut cache = cache();
    bind(&mut cache, "any", SECCOMP, "p", "*");
    let own = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    let warning = |whose: &str| {
        format!(
            "ProfileBinding \"any\" does not replace the seccompProfile that {whose} has of its \
             own: an image of \"*\" gives way"
        )
    };
    let mut whole = pod();
    whole["spec"]["securityContext"] = own.clone();
    check(&cache, &whole, &json!([]), &[&warning("the pod")]);
    let mut one = pod();
    one["spec"]["containers"][1]["securityContext"] = own;
    let context = json!({"seccompProfile": localhost("operator/p.json")});
    let patch = json!([add("/spec/securityContext", context)]);
    check(&cache, &one, &patch, &[&warning("the container \"b\"")]);
}

#[test]
fn other_options_of_selinux_are_kept() {
    let mut cache = cache();
    bind(&mut cache, "one", SELINUX, "p", "foo");
    let mut pod = pod();
    pod["spec"]["initContainers"] = Value::Null;
    pod["spec"]["securityContext"] = json!({"seLinuxOptions": {"level": "s0:c1", "type": "t"}});
    let context = json!({"seLinuxOptions": {"level": "s0:c1", "type": "p.process"}});
    let patch = json!([add("/spec/containers/0/securityContext", context)]);
    check(&cache, &pod, &patch, &[]);
    // Options without a type: everywhere where they are, they hide the ones of the pod.
    bind(&mut cache, "any", SELINUX, "q", "*");
    pod["spec"]["securityContext"] = json!({"seLinuxOptions": {"level": "s0:c1"}});
    pod["spec"]["containers"][1]["securityContext"] = json!({"seLinuxOptions": {"user": "u"}});
    let patch = json!([
        add(
            "/spec/securityContext/seLinuxOptions/type",
            json!("q.process")
        ),
        patch[0],
        add(
            "/spec/containers/1/securityContext/seLinuxOptions/type",
            json!("q.process")
        ),
    ]);
    check(&cache, &pod, &patch, &[]);
}

#[test]
fn an_annotation_names_an_apparmor_profile_too() {
    let key = "container.apparmor.security.beta.kubernetes.io/b";
    let path = "/metadata/annotations/container.apparmor.security.beta.kubernetes.io~1b";
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({key: "localhost/own"});
    let mut any = cache();
    bind(&mut any, "any", APPARMOR, "p", "*");
    let context = json!({"appArmorProfile": localhost("p")});
    let warning = "ProfileBinding \"any\" does not replace the appArmorProfile that the container \
                   \"b\" has of its own: an image of \"*\" gives way";
    let patch = json!([add("/spec/securityContext", context.clone())]);
    check(&any, &pod, &patch, &[warning]);
    let mut exact = cache();
    bind(&mut exact, "one", APPARMOR, "p", "bar");
    let added = add("/spec/containers/1/securityContext", context);
    let patch = json!([{"op": "remove", "path": path}, added]);
    check(&exact, &pod, &patch, &[]);
    pod["metadata"]["annotations"] = json!({key: "localhost/p"});
    check(&exact, &pod, &json!([added]), &[]);
}

#[test]
fn kinds_share_a_context() {
    let mut cache = cache();
    for kind in [SECCOMP, SELINUX, APPARMOR] {
        bind(&mut cache, kind.as_str(), kind, "p", "bar");
    }
    let context = json!({
        "seccompProfile": localhost("operator/p.json"),
        "seLinuxOptions": {"type": "p.process"},
        "appArmorProfile": localhost("p"),
    });
    let patch = json!([add("/spec/containers/1/securityContext", context)]);
    check(&cache, &pod(), &patch, &[]);
}

#[test]
fn of_two_bindings_the_first_by_name_applies() {
    let mut exact = cache();
    bind(&mut exact, "b", SECCOMP, "q", "bar");
    bind(&mut exact, "a", SECCOMP, "p", "bar");
    let context = json!({"seccompProfile": localhost("operator/p.json")});
    let patch = json!([add("/spec/containers/1/securityContext", context.clone())]);
    let warning = "ProfileBinding \"b\" is skipped: ProfileBinding \"a\" gives a SeccompProfile \
                   to the image \"bar\" already";
    check(&exact, &pod(), &patch, &[warning]);
    let mut any = cache();
    bind(&mut any, "b", SECCOMP, "q", "*");
    bind(&mut any, "a", SECCOMP, "p", "*");
    let patch = json!([add("/spec/securityContext", context)]);
    let warning = "ProfileBinding \"b\" is skipped: ProfileBinding \"a\" gives a SeccompProfile \
                   to every image already";
    check(&any, &pod(), &patch, &[warning]);
}

#[test]
fn the_selector_decides_which_pods() {
    let mut cache = cache();
    let binding = ("p", "bar");
    let labels = |app: &str| json!({"matchLabels": {"app": app}});
    bind_selected(&mut cache, "b", SECCOMP, binding, labels("db"));
    check(&cache, &pod(), &json!([]), &[]);
    bind_selected(&mut cache, "b", SECCOMP, binding, labels("web"));
    let context = json!({"seccompProfile": localhost("operator/p.json")});
    let patch = json!([add("/spec/containers/1/securityContext", context)]);
    check(&cache, &pod(), &patch, &[]);
    let invalid = json!({"matchExpressions": [{"key": "app", "operator": "Like"}]});
    bind_selected(&mut cache, "b", SECCOMP, binding, invalid);
    let warning = "ProfileBinding \"b\" is skipped: its podSelector is invalid: there is no \
                   operator \"Like\"";
    check(&cache, &pod(), &json!([]), &[warning]);
}

#[test]
fn a_profile_that_some_node_lacks_at_the_moment_is_bound() {
    for state in [
        ProfileState::Error,
        ProfileState::Pending,
        ProfileState::InProgress,
    ] {
        let mut cache = cache();
        bind(&mut cache, "b", SECCOMP, "x", "*");
        let file = Some("operator/x.json".to_owned());
        profile(&mut cache, SECCOMP, "x", Some(state), file);
        let context = json!({"seccompProfile": localhost("operator/x.json")});
        let warning = format!(
            "ProfileBinding \"b\": SeccompProfile \"x\" is {state}, not Installed: containers do \
             not start on nodes that lack it"
        );
        let patch = json!([add("/spec/securityContext", context)]);
        check(&cache, &pod(), &patch, &[&warning]);
    }
}

#[test]
fn a_profile_that_is_not_on_the_nodes_is_skipped() {
    let mut cache = cache();
    bind(&mut cache, "b", SECCOMP, "x", "bar");
    let mut check_state = |state: Option<Option<ProfileState>>, expected: &str| {
        if let Some(state) = state {
            profile(&mut cache, SECCOMP, "x", state, None);
        }
        let warning = format!("ProfileBinding \"b\" is skipped: {expected}");
        check(&cache, &pod(), &json!([]), &[&warning]);
    };
    check_state(None, "there is no SeccompProfile \"x\"");
    check_state(
        Some(None),
        "SeccompProfile \"x\" has no state yet, and is not Installed",
    );
    for state in [
        ProfileState::Terminating,
        ProfileState::Partial,
        ProfileState::Disabled,
    ] {
        let expected = format!("SeccompProfile \"x\" is {state}, not Installed");
        check_state(Some(Some(state)), &expected);
    }
    check_state(
        Some(Some(ProfileState::Installed)),
        "the status of SeccompProfile \"x\" does not say how a pod uses it",
    );
    // What is skipped stands in nobody's way.
    bind(&mut cache, "c", SECCOMP, "p", "*");
    let context = json!({"seccompProfile": localhost("operator/p.json")});
    let patch = json!([add("/spec/securityContext", context)]);
    let warning = "ProfileBinding \"b\" is skipped: the status of SeccompProfile \"x\" does not \
                   say how a pod uses it";
    check(&cache, &pod(), &patch, &[warning]);
}

#[test]
fn only_new_pods_of_the_namespace_are_bound() {
    let mut cache = cache();
    bind(&mut cache, "b", SECCOMP, "p", "*");
    let skipped = Decision::allow("pod update, skipping mutation");
    assert_eq!(ask(&cache, "UPDATE", pod()), skipped);
    assert_eq!(
        ask(&cache, "DELETE", Value::Null),
        Decision::allow("pod unchanged")
    );
    let mut windows = pod();
    windows["spec"]["os"] = json!({"name": "windows"});
    check(&cache, &windows, &json!([]), &[]);
    see(&mut cache, "ns-2", "b", Some(Err("odd".to_owned())));
    see(&mut cache, "ns", "b", None);
    check(&cache, &pod(), &json!([]), &[]);
}

#[test]
fn what_is_no_pod_is_refused() {
    let check = |object: Value, expected: &str| {
        let code = 400;
        let message = format!("unable to decode pod web: {expected}");
        let decision = ask(&cache(), "CREATE", object);
        assert_eq!(decision, Decision::Deny { code, message });
    };
    check(Value::Null, "it is not an object");
    check(json!({}), "spec is missing");
    check(json!({"spec": 1}), "spec is not an object");
    check(
        json!({"spec": {"containers": 1}}),
        "spec.containers is not a list",
    );
    check(
        json!({"spec": {"initContainers": [1]}}),
        "spec.initContainers[0] is not an object",
    );
    check(
        json!({"spec": {"containers": [{"securityContext": []}]}}),
        "spec.containers[0].securityContext is not an object",
    );
    check(
        json!({"spec": {"securityContext": {"seLinuxOptions": "x"}}}),
        "spec.securityContext.seLinuxOptions is not an object",
    );
    check(
        json!({"metadata": {"labels": 1}, "spec": {}}),
        "metadata.labels is not an object",
    );
}

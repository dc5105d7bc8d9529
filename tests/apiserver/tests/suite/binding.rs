//! ProfileBindings: what new pods get, what they are told, and how long a binding stays.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spo_api::GROUP;
use spo_api::profile_binding::ProfileBinding;
use spo_test_apiserver::cluster::{self, DEFAULT, NAMESPACE};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};
use spo_test_apiserver::{env, profile};

/// Keeps a binding while it is used.
const LOCK: &str = "active-workload-lock";

/// An operator with one node and a webhook, in a cluster whose default namespace wants bindings.
async fn rig() -> Rig {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.make_node("node-1").await;
    rig.start_manager("manager-0").await;
    rig.start_daemon("node-1");
    rig.daemon_is_ready("node-1").await;
    rig.start_webhook().await;
    label(&rig, Some("")).await;
    rig
}

/// Labels the default namespace, or takes the label away: whoever does not bind must not wait for a
/// webhook.
async fn label(rig: &Rig, value: Option<&str>) {
    let namespaces: Api<Namespace> = Api::all(rig.client.clone());
    let labels = json!({ "spo.x-k8s.io/enable-binding": value });
    let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
    let params = PatchParams::default();
    namespaces.patch(DEFAULT, &params, &patch).await.unwrap();
}

fn bindings(rig: &Rig, namespace: &str) -> Api<ProfileBinding> {
    Api::namespaced(rig.client.clone(), namespace)
}

/// Makes a binding: name, kind and name of the profile, image, selector.
async fn bind(
    rig: &Rig,
    namespace: &str,
    name: &str,
    (kind, profile): (&str, &str),
    image: &str,
    selector: Value,
) {
    let binding = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ProfileBinding",
        "metadata": { "name": name },
        "spec": {
            "image": image,
            "podSelector": selector,
            "profileRef": { "kind": kind, "name": profile },
        },
    });
    let binding = serde_json::from_value(binding).unwrap();
    let api = bindings(rig, namespace);
    api.create(&PostParams::default(), &binding).await.unwrap();
}

/// Makes a profile of a kind that no node of the rig offers, with a status as if all did.
async fn make_installed(rig: &Rig, kind: &str, plural: &str, name: &str, usage: Value) {
    let gvk = GroupVersionKind::gvk(GROUP, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    let api: Api<DynamicObject> = Api::all_with(rig.client.clone(), &resource);
    let mut object = DynamicObject::new(name, &resource);
    object.data = json!({ "spec": {} });
    api.create(&PostParams::default(), &object).await.unwrap();
    let status = json!({ "status": { "status": "Installed", "usage": usage } });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

/// A pod on the node, with a container of each image.
fn pod(name: &str, images: &[&str]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(number, image)| json!({ "name": format!("c{number}"), "image": image }))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "spo.test/rig": "true" } },
        "spec": {
            "nodeName": "node-1",
            "terminationGracePeriodSeconds": 0,
            "containers": containers,
        },
    })
}

/// Creates a pod as soon as one like it would be as `look` wants it: the API server and the webhook
/// take a moment to learn of things.
async fn create(rig: &Rig, pod: &Value, what: &str, look: impl Fn(&Value) -> bool) -> Value {
    let object: Pod = serde_json::from_value(pod.clone()).unwrap();
    let try_it = async |dry_run| {
        let params = PostParams {
            dry_run,
            ..PostParams::default()
        };
        let created = rig.pods().create(&params, &object).await;
        created
            .map(|pod| serde_json::to_value(pod).unwrap())
            .map_err(|error| error.to_string())
    };
    eventually(SOON, what, async || {
        let pod = try_it(true).await?;
        if look(&pod) {
            Ok(())
        } else {
            Err(pod["spec"].to_string())
        }
    })
    .await;
    let created = try_it(false).await.unwrap();
    assert!(look(&created), "{what}: {}", created["spec"]);
    created
}

/// Waits until a binding is as `look` wants it.
async fn until(
    rig: &Rig,
    name: &str,
    what: &str,
    look: impl Fn(&ProfileBinding) -> bool,
) -> ProfileBinding {
    let api = bindings(rig, DEFAULT);
    eventually(SOON, &format!("the binding {name} {what}"), async || {
        let binding = api.get(name).await.map_err(|error| error.to_string())?;
        if look(&binding) {
            Ok(binding)
        } else {
            Err(format!("{:?} {:?}", binding.metadata, binding.status))
        }
    })
    .await
}

fn workloads(binding: &ProfileBinding) -> Vec<&str> {
    let status = binding.status.iter();
    let names = status.flat_map(|status| &status.active_workloads);
    names.map(String::as_str).collect()
}

/// Waits until exactly these pods of the default namespace use a binding, and it is locked by them.
async fn used_by(rig: &Rig, name: &str, pods: &[&str]) {
    let expected: Vec<String> = pods.iter().map(|pod| format!("{DEFAULT}/{pod}")).collect();
    until(rig, name, &format!("is used by {pods:?}"), |binding| {
        let locked = binding
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == LOCK);
        workloads(binding) == expected && locked != pods.is_empty()
    })
    .await;
}

async fn gone(rig: &Rig, name: &str) {
    let api = bindings(rig, DEFAULT);
    eventually(
        SOON,
        &format!("the binding {name} is gone"),
        async || match api.get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(binding) => Err(format!("{:?}", binding.metadata)),
        },
    )
    .await;
}

fn localhost(profile: &str) -> Value {
    json!({ "type": "Localhost", "localhostProfile": profile })
}

#[tokio::test(flavor = "multi_thread")]
async fn new_pods_get_profiles_of_every_kind() {
    let rig = rig().await;
    for name in ["web", "rest"] {
        rig.create(&profile::allowing(name, &["read"])).await;
        rig.ready(name).await;
    }
    make_installed(
        &rig,
        "SelinuxProfile",
        "selinuxprofiles",
        "sel",
        json!("sel.process"),
    )
    .await;
    make_installed(
        &rig,
        "SelinuxProfile",
        "selinuxprofiles",
        "all",
        json!("all.process"),
    )
    .await;
    make_installed(
        &rig,
        "AppArmorProfile",
        "apparmorprofiles",
        "aa",
        Value::Null,
    )
    .await;
    make_installed(
        &rig,
        "AppArmorProfile",
        "apparmorprofiles",
        "any",
        Value::Null,
    )
    .await;
    let selector = json!({ "matchExpressions": [
        { "key": "app", "operator": "In", "values": ["shop"] },
    ] });
    for (name, profile, image, selector) in [
        ("any-seccomp", ("SeccompProfile", "rest"), "*", Value::Null),
        (
            "one-seccomp",
            ("SeccompProfile", "web"),
            "nginx:1",
            Value::Null,
        ),
        (
            "one-selinux",
            ("SelinuxProfile", "sel"),
            "nginx:1",
            Value::Null,
        ),
        (
            "one-apparmor",
            ("AppArmorProfile", "aa"),
            "nginx:1",
            selector.clone(),
        ),
        (
            "any-selinux",
            ("SelinuxProfile", "all"),
            "*",
            selector.clone(),
        ),
        ("any-apparmor", ("AppArmorProfile", "any"), "*", selector),
    ] {
        bind(&rig, DEFAULT, name, profile, image, selector).await;
    }

    let mut shop = pod("shop", &["nginx:1", "nginx"]);
    shop["metadata"]["labels"]["app"] = json!("shop");
    shop["spec"]["initContainers"] = json!([{ "name": "i", "image": "nginx:1" }]);
    // What the author says: gives way to an exact image, and is kept by its options.
    shop["spec"]["containers"][0]["securityContext"] = json!({
        "runAsUser": 7,
        "seccompProfile": { "type": "Unconfined" },
        "seLinuxOptions": { "level": "s0:c1" },
    });
    let whole = json!({
        "seccompProfile": localhost("operator/rest.json"),
        "seLinuxOptions": { "type": "all.process" },
        "appArmorProfile": localhost("any"),
    });
    let first = json!({
        "runAsUser": 7,
        "seccompProfile": localhost("operator/web.json"),
        "seLinuxOptions": { "type": "sel.process", "level": "s0:c1" },
        "appArmorProfile": localhost("aa"),
    });
    let init = json!({
        "seccompProfile": localhost("operator/web.json"),
        "seLinuxOptions": { "type": "sel.process" },
        "appArmorProfile": localhost("aa"),
    });
    create(&rig, &shop, "every kind, exact and not", |pod| {
        let spec = &pod["spec"];
        spec["securityContext"] == whole
            && spec["containers"][0]["securityContext"] == first
            && spec["containers"][1]["securityContext"].is_null()
            && spec["initContainers"][0]["securityContext"] == init
    })
    .await;
    // Not selected by those with a selector.
    create(
        &rig,
        &pod("plain", &["nginx:1"]),
        "without a label",
        |pod| {
            let spec = &pod["spec"];
            let mut expected = init.clone();
            expected.as_object_mut().unwrap().remove("appArmorProfile");
            spec["securityContext"] == json!({ "seccompProfile": localhost("operator/rest.json") })
                && spec["containers"][0]["securityContext"] == expected
        },
    )
    .await;
    for name in ["one-seccomp", "one-selinux", "any-seccomp"] {
        used_by(&rig, name, &["plain", "shop"]).await;
    }
    for name in ["one-apparmor", "any-apparmor", "any-selinux"] {
        used_by(&rig, name, &["shop"]).await;
    }
    // A pod of a deployment has no name yet when it is admitted.
    let mut generated = pod("", &["nginx:1"]);
    generated["metadata"]["name"] = Value::Null;
    generated["metadata"]["generateName"] = json!("made-");
    let made = create(&rig, &generated, "a made-up name", |pod| {
        let context = &pod["spec"]["containers"][0]["securityContext"];
        context["seccompProfile"] == localhost("operator/web.json")
    })
    .await;
    let made = made["metadata"]["name"].as_str().unwrap();
    used_by(&rig, "one-selinux", &[made, "plain", "shop"]).await;
    label(&rig, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_bound_is_said() {
    let rig = rig().await;
    rig.create(&profile::allowing("web", &["read"])).await;
    rig.ready("web").await;
    let web = ("SeccompProfile", "web");
    for (namespace, name, profile, image, selector) in [
        (DEFAULT, "any", web, "*", Value::Null),
        (
            DEFAULT,
            "missing",
            ("SeccompProfile", "none"),
            "one",
            Value::Null,
        ),
        (
            DEFAULT,
            "no-kind",
            ("SelinuxProfile", "web"),
            "one",
            Value::Null,
        ),
        (DEFAULT, "second", web, "*", Value::Null),
        (NAMESPACE, "any", web, "*", Value::Null),
        (
            DEFAULT,
            "wrong",
            web,
            "one",
            json!({ "matchExpressions": [{ "key": "app", "operator": "Like" }] }),
        ),
    ] {
        bind(&rig, namespace, name, profile, image, selector).await;
    }
    let warnings = async |namespace: &str, pod: &Value, more: &[&str]| {
        let file = rig.directory().join("pod.json");
        std::fs::write(&file, pod.to_string()).unwrap();
        let file = file.to_str().unwrap();
        let args = [&["create", "--namespace", namespace, "-f", file], more].concat();
        env::kubectl_warnings(&args)
    };
    let mut own = pod("own", &["one"]);
    let context = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    own["spec"]["securityContext"] = context.clone();
    let expected = [
        "ProfileBinding \"any\" does not replace the seccompProfile that the pod has of its own",
        "ProfileBinding \"missing\" is skipped: there is no SeccompProfile \"none\"",
        "ProfileBinding \"no-kind\" is skipped: there is no SelinuxProfile \"web\"",
        "ProfileBinding \"second\" is skipped: ProfileBinding \"any\" gives a SeccompProfile to every \
         image already",
        "ProfileBinding \"wrong\" is skipped: its podSelector is invalid: there is no operator \"Like\"",
    ];
    eventually(SOON, "the webhook knows of all bindings", async || {
        let said = warnings(DEFAULT, &own, &["--dry-run=server"]).await?;
        let missing = expected.iter().find(|text| !said.contains(**text));
        missing.map_or(Ok(()), |text| Err(format!("no {text:?} in {said}")))
    })
    .await;
    let said = warnings(DEFAULT, &own, &[]).await.unwrap();
    assert!(said.contains("Warning: ProfileBinding"), "{said}");
    let own: Value = serde_json::to_value(rig.pods().get("own").await.unwrap()).unwrap();
    assert_eq!(own["spec"]["securityContext"], context);
    // Where there is no label, nothing is bound and nobody is warned.
    let mut other = pod("other", &["one"]);
    other["metadata"]["namespace"] = json!(NAMESPACE);
    let said = warnings(NAMESPACE, &other, &[]).await.unwrap();
    assert!(!said.contains("ProfileBinding"), "{said}");
    let pods: Api<Pod> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let other: Value = serde_json::to_value(pods.get("other").await.unwrap()).unwrap();
    assert_eq!(other["spec"]["securityContext"], json!({}));
    // A profile that is taken off the nodes is not given to pods any more.
    create(
        &rig,
        &pod("bound", &["two"]),
        "a profile that is there",
        |pod| pod["spec"]["securityContext"]["seccompProfile"] == localhost("operator/web.json"),
    )
    .await;
    cluster::delete_pod(&rig.client, "bound").await;
    rig.patch("web", json!({ "spec": { "state": "Disabled" } }))
        .await;
    create(
        &rig,
        &pod("late", &["two"]),
        "a profile that is not there",
        |pod| pod["spec"]["securityContext"] == json!({}),
    )
    .await;
    let again = pod("again", &["two"]);
    let said = warnings(DEFAULT, &again, &[]).await.unwrap();
    let text =
        "ProfileBinding \"any\" is skipped: SeccompProfile \"web\" is Disabled, not Installed";
    assert!(said.contains(text), "{said}");
    label(&rig, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_stays_as_long_as_it_is_used() {
    let mut rig = rig().await;
    rig.create(&profile::allowing("web", &["read"])).await;
    rig.ready("web").await;
    let web = ("SeccompProfile", "web");
    // It was there before the binding, and runs with what that gives: it is protected, too.
    cluster::make_pod(&rig.client, "early", "node-1", "operator/web.json").await;
    bind(&rig, DEFAULT, "b", web, "nginx", Value::Null).await;
    used_by(&rig, "b", &["early"]).await;
    let bound = |pod: &Value| {
        let context = &pod["spec"]["containers"][0]["securityContext"];
        context["seccompProfile"] == localhost("operator/web.json")
    };
    create(&rig, &pod("late", &["nginx"]), "a bound pod", bound).await;
    create(&rig, &pod("other", &["other"]), "another image", |pod| {
        !bound(pod)
    })
    .await;
    used_by(&rig, "b", &["early", "late"]).await;
    // A pod that has ended uses nothing.
    let ended = Patch::Strategic(json!({ "status": { "phase": "Succeeded" } }));
    let params = PatchParams::default();
    rig.pods()
        .patch_status("early", &params, &ended)
        .await
        .unwrap();
    used_by(&rig, "b", &["late"]).await;
    cluster::delete_pod(&rig.client, "late").await;
    used_by(&rig, "b", &[]).await;
    create(&rig, &pod("again", &["nginx"]), "a bound pod", bound).await;
    used_by(&rig, "b", &["again"]).await;

    // Deleted while it is used: it waits, gets no more pods, and goes with its last one, whoever
    // leads then.
    let api = bindings(&rig, DEFAULT);
    api.delete("b", &DeleteParams::default()).await.unwrap();
    create(
        &rig,
        &pod("unbound", &["nginx"]),
        "a pod that is not bound",
        |pod| !bound(pod),
    )
    .await;
    assert!(rig.take_manager("manager-0").terminate().await.success());
    rig.start_manager("manager-1").await;
    let waiting = until(&rig, "b", "waits", |b| {
        b.metadata.deletion_timestamp.is_some()
    })
    .await;
    assert_eq!(workloads(&waiting), ["default/again"]);
    cluster::delete_pod(&rig.client, "again").await;
    gone(&rig, "b").await;
    // One that nobody uses goes at once.
    bind(&rig, DEFAULT, "b", web, "unused", Value::Null).await;
    api.delete("b", &DeleteParams::default()).await.unwrap();
    gone(&rig, "b").await;
    label(&rig, None).await;
}

//! `security-profiles-operator uninstall` leaves nothing behind, whoever else is dead.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spo_api::GROUP;
use spo_api::spod::SpodState;
use spo_test_apiserver::cluster::{self, DEFAULT, NAMESPACE};
use spo_test_apiserver::profile::allowing;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};
use spo_test_apiserver::{env, files};

const KINDS: [(&str, &str); 8] = [
    ("AppArmorProfile", "apparmorprofiles"),
    ("ProfileBinding", "profilebindings"),
    ("ProfileRecording", "profilerecordings"),
    ("RawSelinuxProfile", "rawselinuxprofiles"),
    ("SeccompProfile", "seccompprofiles"),
    ("SecurityProfileNodeStatus", "securityprofilenodestatuses"),
    (
        "SecurityProfilesOperatorDaemon",
        "securityprofilesoperatordaemons",
    ),
    ("SelinuxProfile", "selinuxprofiles"),
];

/// Runs it as the administrator: whether it ended well, and what it printed.
fn uninstall(args: &[&str]) -> (bool, String) {
    let start = Instant::now();
    let output = Command::new(env::binary())
        .env_clear()
        .env("KUBECONFIG", env::kubeconfig())
        .arg("uninstall")
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    println!("uninstall {args:?}: {:.1?}\n{out}{err}", start.elapsed());
    (output.status.success(), out)
}

/// The same, while kubelets end the pods that are deleted, and so the daemons.
async fn uninstall_with_kubelets(rig: &mut Rig, args: &[&'static str]) -> (bool, String) {
    let args = args.to_vec();
    let run = tokio::task::spawn_blocking(move || uninstall(&args));
    let pods: Api<Pod> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let mut daemons = BTreeSet::from(["node-1", "node-2"]);
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    while !run.is_finished() {
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            if pod.metadata.deletion_timestamp.is_none() {
                continue;
            }
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            if pod.labels().get("name").map(String::as_str) == Some("spod")
                && let Some(node) = node.and_then(|node| daemons.take(node))
            {
                rig.terminate_daemon(node).await;
            }
            // It may be gone already.
            pods.delete(&pod.name_any(), &now).await.ok();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    run.await.unwrap()
}

fn api(rig: &Rig, kind: &str) -> Api<DynamicObject> {
    let plural = KINDS.iter().find(|known| known.0 == kind).unwrap().1;
    let gvk = GroupVersionKind::gvk(GROUP, "v1", kind);
    Api::all_with(
        rig.client.clone(),
        &ApiResource::from_gvk_with_plural(&gvk, plural),
    )
}

/// Everything of ours that is in the cluster.
async fn left(rig: &Rig) -> Vec<String> {
    let all = ListParams::default();
    let mut left = Vec::new();
    for (kind, _) in KINDS {
        let found = api(rig, kind).list_metadata(&all).await.unwrap();
        left.extend(found.iter().map(|o| format!("{kind} {}", o.name_any())));
    }
    let sets: Api<DaemonSet> = Api::all(rig.client.clone());
    let sets = sets.list(&all).await.unwrap();
    left.extend(
        sets.iter()
            .map(|set| format!("DaemonSet {}", set.name_any())),
    );
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(rig.client.clone());
    let mutating = mutating.list(&all).await.unwrap();
    left.extend(
        mutating
            .iter()
            .map(|c| format!("mutating {}", c.name_any())),
    );
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(rig.client.clone());
    let validating = validating.list(&all).await.unwrap();
    left.extend(
        validating
            .iter()
            .map(|c| format!("validating {}", c.name_any())),
    );
    left
}

async fn nothing_is_left(rig: &Rig) {
    let left = left(rig).await;
    assert!(left.is_empty(), "{left:?}");
}

fn no_files(rig: &Rig) {
    for node in rig.nodes() {
        let names = files::names(&node.directory());
        assert!(names.is_empty(), "{}: {names:?}", node.name);
    }
}

/// An object with the finalizers that upstream and others put on it.
async fn create(rig: &Rig, kind: &str, name: &str, finalizers: &[&str], spec: Value) {
    let plural = KINDS.iter().find(|known| known.0 == kind).unwrap().1;
    let gvk = GroupVersionKind::gvk(GROUP, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    let namespaced: Api<DynamicObject> =
        Api::namespaced_with(rig.client.clone(), DEFAULT, &resource);
    let api = match kind {
        "ProfileBinding" | "ProfileRecording" => namespaced,
        _ => api(rig, kind),
    };
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": { "name": name, "finalizers": finalizers },
        "spec": spec,
    });
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// The operator, running on two nodes, with profiles on them.
async fn installed() -> Rig {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.start_manager("manager-0").await;
    for node in ["node-1", "node-2"] {
        rig.make_node(node).await;
        rig.start_daemon(node);
        rig.daemon_is_ready(node).await;
    }
    rig.spod("runs", true, |spod| {
        let status = spod.status.as_ref();
        status.and_then(|status| status.state) == Some(SpodState::Running)
    })
    .await;
    for name in ["web", "db"] {
        rig.create(&allowing(name, &["read"])).await;
        rig.ready(name).await;
    }
    let binding =
        json!({ "image": "nginx", "profileRef": { "kind": "SeccompProfile", "name": "web" } });
    create(
        &rig,
        "ProfileBinding",
        "b",
        &["active-workload-lock"],
        binding,
    )
    .await;
    rig
}

/// Puts back what the rig expects to find.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        let folder = |name: &str| env::repository().join(name);
        let apply = |path: &Path, more: &[&str]| {
            let path = path.to_str().unwrap();
            let args = [&["apply", "-f", path], more].concat();
            let start = Instant::now();
            // What is still being deleted has to go first.
            while let Err(error) = env::kubectl(&args) {
                println!("{error}");
                assert!(start.elapsed() < Duration::from_secs(60), "{error}");
                std::thread::sleep(Duration::from_secs(1));
            }
        };
        let crds = folder("deploy/crds");
        apply(&crds, &["--server-side", "--force-conflicts"]);
        apply(&folder("deploy/base/namespace.yaml"), &[]);
        apply(&folder("deploy/base"), &[]);
        let established = [
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "-f",
            crds.to_str().unwrap(),
        ];
        env::kubectl(&established).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_in_the_cluster_and_on_the_nodes() {
    let mut rig = installed().await;
    let (ended_well, out) = uninstall(&["--dry-run"]);
    assert!(
        ended_well && out.contains("would delete SeccompProfile web"),
        "{out}"
    );
    rig.ready("web").await;

    let (ended_well, out) = uninstall_with_kubelets(&mut rig, &["--timeout=30s"]).await;
    assert!(ended_well && out.ends_with("nothing is left\n"), "{out}");
    assert!(!out.contains("is held"), "{out}");
    nothing_is_left(&rig).await;
    no_files(&rig);

    let (ended_well, out) = uninstall(&[]);
    assert!(ended_well, "{out}");
    assert_eq!(out, "there is nothing to uninstall\n");

    let _restore = Restore;
    let (ended_well, out) = uninstall(&["--crds"]);
    assert!(ended_well && out.ends_with("nothing is left\n"), "{out}");
    let crds: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    let crds = crds.list_metadata(&ListParams::default()).await.unwrap();
    let ours = crds.iter().filter(|crd| crd.name_any().ends_with(GROUP));
    assert_eq!(ours.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_operator_holds_nothing() {
    let mut rig = installed().await;
    rig.take_manager("manager-0").kill();
    rig.kill_daemon("node-1");
    rig.kill_daemon("node-2");
    // Nobody ends the pods of a node that does not answer.
    for node in ["node-1", "node-2"] {
        cluster::set_node_ready(&rig.client, node, "Unknown").await;
    }
    let raw = json!({ "policy": "(allow process process (tcp_socket (listen)))" });
    // Nobody serves the webhook that would have to be asked: it was created before there was one.
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(rig.client.clone());
    let name = "spo-validating-webhook-configuration";
    let before = validating.get(name).await.unwrap();
    validating.delete(name, &Default::default()).await.unwrap();
    eventually(SOON, "a raw policy can be created", async || {
        let object = json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "RawSelinuxProfile",
            "metadata": { "name": "raw", "finalizers": ["node-1-deleted"] },
            "spec": raw,
        });
        let object = serde_json::from_value(object).unwrap();
        let raws = api(&rig, "RawSelinuxProfile");
        let created = raws.create(&PostParams::default(), &object).await;
        created.map_err(|error| error.to_string())
    })
    .await;
    // As upstream registers it: whatever is written asks it.
    let mut upstream = before;
    upstream.metadata = Default::default();
    upstream.metadata.name = Some(name.to_owned());
    for webhook in upstream.webhooks.iter_mut().flatten() {
        webhook.match_conditions = None;
        webhook.failure_policy = Some("Fail".to_owned());
    }
    validating
        .create(&PostParams::default(), &upstream)
        .await
        .unwrap();
    let (ended_well, out) = uninstall(&["--timeout=30s"]);
    assert!(ended_well && out.ends_with("nothing is left\n"), "{out}");
    assert!(
        out.contains("SeccompProfile web is held: no operator runs that would let go of it"),
        "{out}"
    );
    nothing_is_left(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_in_use_is_deleted_by_force_only() {
    let mut rig = installed().await;
    cluster::make_pod(&rig.client, "user", "node-1", "operator/web.json").await;
    let (ended_well, out) = uninstall(&[]);
    assert!(!ended_well);
    assert!(
        out.starts_with("SeccompProfile web is in use by default/user\nnothing was changed"),
        "{out}"
    );
    for name in ["web", "db"] {
        let profile = rig.get(name).await;
        assert!(profile.metadata.deletion_timestamp.is_none(), "{name}");
    }
    let (ended_well, out) = uninstall_with_kubelets(&mut rig, &["--force", "--timeout=30s"]).await;
    assert!(ended_well && out.ends_with("nothing is left\n"), "{out}");
    assert!(out.contains("is held: in use by default/user"), "{out}");
    nothing_is_left(&rig).await;
    no_files(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_holds_is_named_and_left() {
    let rig = Rig::empty().await;
    let spec = json!({ "defaultAction": "SCMP_ACT_ERRNO" });
    let finalizers = ["node-1-deleted", "example.com/somebody-else"];
    create(&rig, "SeccompProfile", "theirs", &finalizers, spec).await;
    let (ended_well, out) = uninstall(&["--timeout=2s"]);
    assert!(!ended_well);
    let line = "left: SeccompProfile theirs (finalizers: example.com/somebody-else)\n";
    assert!(out.ends_with(line), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_an_old_version_that_nobody_converts_go() {
    let rig = Rig::empty().await;
    let _restore = Restore;
    let crds: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    let name = "profilebindings.security-profiles-operator.x-k8s.io";
    let shipped = crds.get(name).await.unwrap();
    store_in(
        &crds,
        &shipped,
        "v1alpha1",
        json!({ "strategy": "None", "webhook": null }),
    )
    .await;
    let gvk = GroupVersionKind::gvk(GROUP, "v1alpha1", "ProfileBinding");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "profilebindings");
    let old: Api<DynamicObject> = Api::namespaced_with(rig.client.clone(), DEFAULT, &resource);
    let object = json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "ProfileBinding",
        "metadata": { "name": "old", "finalizers": ["active-workload-lock"] },
        "spec": { "image": "nginx", "profileRef": { "kind": "SeccompProfile", "name": "p" } },
    });
    let object = serde_json::from_value(object).unwrap();
    old.create(&PostParams::default(), &object).await.unwrap();
    let service = json!({ "namespace": NAMESPACE, "name": "nobody", "path": "/convert" });
    let dead = json!({
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": ["v1"],
            "clientConfig": { "service": service, "caBundle": null },
        },
    });
    store_in(&crds, &shipped, "v1", dead).await;
    eventually(SOON, "nobody can read it", async || {
        let bindings = api(&rig, "ProfileBinding");
        let all = ListParams::default();
        let list = tokio::time::timeout(Duration::from_secs(5), bindings.list(&all)).await;
        println!("{:?}", list.as_ref().map(|list| list.as_ref().err()));
        match list {
            Ok(Ok(_)) => Err("somebody can".to_owned()),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    })
    .await;
    let (ended_well, out) = uninstall(&["--timeout=10s"]);
    assert!(ended_well && out.ends_with("nothing is left\n"), "{out}");
    assert!(
        out.contains("nobody converts profilebindings any more: switching conversion off"),
        "{out}"
    );
    nothing_is_left(&rig).await;
}

/// Changes the version in which a kind is stored, and how it is converted.
async fn store_in(
    crds: &Api<CustomResourceDefinition>,
    shipped: &CustomResourceDefinition,
    version: &str,
    conversion: Value,
) {
    let versions = shipped.spec.versions.iter().map(|served| {
        let mut served = serde_json::to_value(served).unwrap();
        served["storage"] = json!(served["name"] == version);
        served
    });
    let versions: Vec<Value> = versions.collect();
    let patch = json!({ "spec": { "versions": versions, "conversion": conversion } });
    crds.patch(
        &shipped.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await
    .unwrap();
    // The API server takes a moment to act on a definition.
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// What somebody does who has not read docs/uninstall.md.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_manifests_were_deleted_it_ends_what_hangs() {
    let rig = Rig::with_nodes(2).await;
    let _restore = Restore;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    // All but the namespace, which takes long to come back.
    let folder = |name: &str| std::fs::read_dir(env::repository().join(name)).unwrap();
    let files = folder("deploy/crds").chain(folder("deploy/base"));
    let files = files.map(|file| file.unwrap().path().to_str().unwrap().to_owned());
    let files: Vec<String> = files
        .filter(|file| !file.ends_with("namespace.yaml"))
        .flat_map(|file| ["-f".to_owned(), file])
        .collect();
    let mut args = vec!["delete", "--wait=false"];
    args.extend(files.iter().map(String::as_str));
    env::kubectl(&args).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    let found = definitions
        .list_metadata(&ListParams::default())
        .await
        .unwrap();
    for crd in &found {
        println!(
            "10 s after kubectl delete there is still {}",
            crd.name_any()
        );
    }
    for node in rig.nodes() {
        println!(
            "and on {}: {:?}",
            node.name,
            files::names(&node.directory())
        );
    }
    let (ended_well, out) = uninstall(&["--crds", "--timeout=30s"]);
    assert!(ended_well, "{out}");
    let found = definitions
        .list_metadata(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(found.items.len(), 0);
}

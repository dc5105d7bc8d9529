//! The namespace that the operator is in, and the namespaces that it looks at.

use std::path::PathBuf;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use spo_api::GROUP;
use spo_test_apiserver::cluster::{self, DEFAULT, NAMESPACE};
use spo_test_apiserver::env;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

/// Puts `deploy/base` back, and takes away what a test has applied besides.
struct Restore(Vec<PathBuf>);

impl Drop for Restore {
    fn drop(&mut self) {
        for extra in &self.0 {
            let path = extra.to_str().unwrap();
            if let Err(error) = env::kubectl(&["delete", "--ignore-not-found", "-f", path]) {
                println!("{error}");
            }
        }
        let base = env::repository().join("deploy/base");
        env::kubectl(&["apply", "-f", base.to_str().unwrap()]).unwrap();
    }
}

/// A manifest of ours with a text replaced, in a file of the rig.
fn edited(rig: &Rig, path: &str, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(env::repository().join(path)).unwrap();
    assert!(text.contains(from), "{path} does not contain {from}");
    let file = rig.directory().join(path.replace('/', "-"));
    std::fs::write(&file, text.replace(from, to)).unwrap();
    file
}

fn apply(file: &std::path::Path) {
    env::kubectl(&["apply", "-f", file.to_str().unwrap()]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_other_namespaces_are_neither_seen_nor_asked_for() {
    const ELSEWHERE: &str = "spo-elsewhere";
    let mut rig = Rig::empty().await;
    // The permission for all pods is taken away, and given for two namespaces.
    let role = edited(
        &rig,
        "deploy/base/rbac-manager.yaml",
        "resources: [nodes, pods]",
        "resources: [nodes]",
    );
    let roles = rig.directory().join("roles.yaml");
    let in_namespace = |namespace: &str| {
        format!(
            "---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: spo-pods, namespace: {namespace}}}
rules:
- {{apiGroups: [''], resources: [pods], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: spo-pods, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: spo-pods}}
subjects:
- {{kind: ServiceAccount, name: {NAMESPACE}, namespace: {NAMESPACE}}}
"
        )
    };
    std::fs::write(&roles, in_namespace(DEFAULT) + &in_namespace(NAMESPACE)).unwrap();
    let _restore = Restore(vec![roles.clone()]);
    apply(&role);
    apply(&roles);
    let namespaces: Api<Namespace> = Api::all(rig.client.clone());
    let elsewhere: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": ELSEWHERE } })).unwrap();
    // It may be there already: nothing of it matters.
    namespaces
        .create(&PostParams::default(), &elsewhere)
        .await
        .ok();

    rig.manager_env
        .insert("RESTRICT_TO_NAMESPACE", format!(" {DEFAULT} ,,"));
    rig.start_manager("manager-0").await;
    rig.make_node("node-1").await;
    rig.start_daemon("node-1");
    rig.daemon_is_ready("node-1").await;
    for name in ["seen", "unseen"] {
        rig.create(&allowing(name, &["read"])).await;
        rig.ready(name).await;
    }
    cluster::make_pod(&rig.client, "user", "node-1", "operator/seen.json").await;
    let security = json!({ "type": "Localhost", "localhostProfile": "operator/unseen.json" });
    let pod = json!({
        "metadata": { "name": "user" },
        "spec": { "nodeName": "node-1", "containers": [
            { "name": "c", "image": "i", "securityContext": { "seccompProfile": security } },
        ] },
    });
    let pods: Api<Pod> = Api::namespaced(rig.client.clone(), ELSEWHERE);
    pods.create(
        &PostParams::default(),
        &serde_json::from_value(pod).unwrap(),
    )
    .await
    .unwrap();
    // The pod is seen half a second after it was made.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    rig.delete("unseen").await;
    rig.gone("unseen").await;
    rig.delete("seen").await;
    rig.until(SOON, "seen", "is held by its pod", |found| {
        profile::condition(found, "InUse").is_some_and(|in_use| {
            in_use.status == "True" && in_use.message.contains("default/user")
        })
    })
    .await;
    cluster::delete_pod(&rig.client, "user").await;
    rig.gone("seen").await;
    let log = rig.manager("manager-0").log();
    assert!(log.contains("watching multiple namespaces"), "{log}");
    assert!(!log.contains("pods is forbidden"), "{log}");
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    pods.delete("user", &now).await.unwrap();
    namespaces
        .delete(ELSEWHERE, &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_works_in_any_namespace() {
    const HOME: &str = "spo-lives-here";
    let mut rig = Rig::empty().await;
    let mut extra = Vec::new();
    let mut manifests = Vec::new();
    // As docs/uninstall.md and kustomize do it: the namespace is replaced wherever it is one.
    let folder = std::fs::read_dir(env::repository().join("deploy/base")).unwrap();
    let mut files: Vec<String> = folder
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "namespace.yaml")
        .collect();
    files.sort_unstable();
    let home: Namespace = serde_json::from_value(json!({ "metadata": { "name": HOME } })).unwrap();
    let namespaces: Api<Namespace> = Api::all(rig.client.clone());
    namespaces.create(&PostParams::default(), &home).await.ok();
    let from = format!("namespace: {NAMESPACE}");
    for name in files.iter().chain([&"../manager/manager.yaml".to_owned()]) {
        let path = format!("deploy/base/{name}").replace("base/../", "");
        let text = std::fs::read_to_string(env::repository().join(&path)).unwrap();
        if text.contains(&from) {
            manifests.push(edited(&rig, &path, &from, &format!("namespace: {HOME}")));
        }
    }
    extra.extend(manifests.iter().cloned());
    let restore = Restore(extra);
    manifests.iter().for_each(|manifest| apply(manifest));

    rig.manager_env
        .insert("OPERATOR_NAMESPACE", HOME.to_owned());
    rig.start_manager("manager-0").await;
    let gvk = GroupVersionKind::gvk(GROUP, "v1beta1", "SeccompProfile");
    let old: Api<DynamicObject> = Api::all_with(
        rig.client.clone(),
        &ApiResource::from_gvk_with_plural(&gvk, "seccompprofiles"),
    );
    let object = json!({
        "apiVersion": format!("{GROUP}/v1beta1"),
        "kind": "SeccompProfile",
        "metadata": { "name": "old" },
        "spec": { "defaultAction": "SCMP_ACT_ERRNO", "disabled": true },
    });
    let object = serde_json::from_value(object).unwrap();
    eventually(SOON, "conversion works", async || {
        let created = old.create(&PostParams::default(), &object).await;
        created.map_err(|error| error.to_string())
    })
    .await;
    let crds: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    for name in spo_api::crd::converted_kinds() {
        let crd = crds.get(&name).await.unwrap();
        let text = serde_json::to_value(&crd.spec.conversion).unwrap();
        let service = &text["webhook"]["clientConfig"]["service"];
        assert_eq!(service["namespace"], HOME, "{name}: {text}");
    }
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(rig.client.clone());
    let found = eventually(SOON, "there are webhooks", async || {
        let found = configurations
            .get("spo-mutating-webhook-configuration")
            .await;
        found.map_err(|error| error.to_string())
    })
    .await;
    for webhook in found.webhooks.iter().flatten() {
        let service = webhook.client_config.service.as_ref();
        assert_eq!(
            service.map(|s| s.namespace.as_str()),
            Some(HOME),
            "{}",
            webhook.name
        );
    }
    let secrets: Api<Secret> = Api::namespaced(rig.client.clone(), HOME);
    for (secret, service) in [
        ("conversion-server-cert", "conversion-service"),
        ("webhook-server-cert", "webhook-service"),
    ] {
        let found = eventually(SOON, "there are certificates", async || {
            secrets.get(secret).await.map_err(|error| error.to_string())
        })
        .await;
        let file = rig.directory().join(secret);
        std::fs::write(&file, &found.data.unwrap()["tls.crt"].0).unwrap();
        let pem = std::fs::read_to_string(&file).unwrap();
        assert!(
            names(&pem).contains(&format!("{service}.{HOME}.svc")),
            "{secret}"
        );
    }
    let log = rig.manager("manager-0").log();
    assert!(!log.contains("forbidden"), "{log}");
    rig.take_manager("manager-0").kill();
    drop(restore);
    namespaces
        .delete(HOME, &DeleteParams::default())
        .await
        .unwrap();
}

/// The text of a certificate without what is not text: its names are IA5 strings.
fn names(pem: &str) -> String {
    let first = pem.split("-----END").next().unwrap_or_default();
    let body: String = first.lines().skip(1).collect();
    let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(body)).unwrap();
    String::from_utf8_lossy(&bytes.0).into_owned()
}

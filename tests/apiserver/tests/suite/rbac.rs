//! What the accounts of the components may not do.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use spo_api::meta;
use spo_api::node_status::{SecurityProfileNodeStatus, report_resource};
use spo_api::seccomp_profile::SeccompProfile;
use spo_test_apiserver::cluster::{self, DEFAULT, NAMESPACE};
use spo_test_apiserver::profile::allowing;
use spo_test_apiserver::rig::Rig;

/// The code and text of a refusal.
fn refused<T>(what: &str, result: Result<T, kube::Error>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} was not refused"),
    }
}

/// What RBAC says.
fn forbidden<T>(what: &str, result: Result<T, kube::Error>) {
    let (code, message) = refused(what, result);
    assert_eq!(code, 403, "{what}: {message}");
    assert!(message.contains("is forbidden: User"), "{what}: {message}");
}

/// What the policy `spod-reports-own-node` says.
fn denied<T>(what: &str, result: Result<T, kube::Error>) {
    let (code, message) = refused(what, result);
    assert!((400..500).contains(&code), "{what}: {code} {message}");
    let expected = "a daemon on node node-1 may write the node statuses of that node only";
    assert!(message.contains(expected), "{what}: {message}");
}

fn reports(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &report_resource())
}

fn report(name: &str, node: &str) -> DynamicObject {
    let object = json!({
        "apiVersion": format!("{}/v1report", spo_api::GROUP),
        "kind": "SecurityProfileNodeStatus",
        "metadata": { "name": name },
        "spec": { "nodeName": node },
        "status": { "status": "Installed" },
    });
    serde_json::from_value(object).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_may_change_no_profile_and_no_pod() {
    let mut rig = Rig::with_nodes(1).await;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    cluster::make_pod(&rig.client, "user", "node-1", "operator/web.json").await;
    let daemon = cluster::client(&rig.node("node-1").kubeconfig).await;

    let profiles: Api<SeccompProfile> = Api::all(daemon.clone());
    let (params, merge) = (PatchParams::default(), |patch: Value| Patch::Merge(patch));
    let spec = merge(json!({ "spec": { "defaultAction": "SCMP_ACT_ALLOW" } }));
    forbidden(
        "patching a profile",
        profiles.patch("web", &params, &spec).await,
    );
    let status = merge(json!({ "status": { "status": "Error" } }));
    forbidden(
        "patching a status",
        profiles.patch_status("web", &params, &status).await,
    );
    let delete = DeleteParams::default();
    forbidden("deleting a profile", profiles.delete("web", &delete).await);
    forbidden(
        "creating a profile",
        profiles
            .create(&PostParams::default(), &allowing("mine", &["read"]))
            .await,
    );

    let pods: Api<Pod> = Api::namespaced(daemon.clone(), DEFAULT);
    forbidden("deleting a pod", pods.delete("user", &delete).await);
    forbidden("listing pods", pods.list(&ListParams::default()).await);
    let secrets: Api<Secret> = Api::namespaced(daemon.clone(), NAMESPACE);
    forbidden(
        "listing secrets",
        secrets.list(&ListParams::default()).await,
    );
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(daemon.clone());
    let label = merge(json!({ "metadata": { "labels": { "x": "y" } } }));
    forbidden(
        "patching a node",
        nodes.patch("node-1", &params, &label).await,
    );
    let statuses: Api<SecurityProfileNodeStatus> = Api::all(daemon);
    let all = ListParams::default();
    forbidden(
        "deleting all node statuses",
        statuses.delete_collection(&delete, &all).await,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_may_write_the_node_statuses_of_its_own_node_only() {
    let mut rig = Rig::with_nodes(2).await;
    rig.create(&allowing("web", &["read"])).await;
    rig.ready("web").await;
    let daemon = reports(&cluster::client(&rig.node("node-1").kubeconfig).await);
    let create = PostParams::default();
    denied(
        "a report for another node",
        daemon.create(&create, &report("x", "node-2")).await,
    );
    // Its own, which is about nothing.
    daemon
        .create(&create, &report("own", "node-1"))
        .await
        .unwrap();
    let params = PatchParams::default();
    let error = Patch::Merge(json!({ "status": { "status": "Error" } }));
    daemon.patch("own", &params, &error).await.unwrap();
    let moved = Patch::Merge(json!({ "spec": { "nodeName": "node-2" } }));
    denied(
        "moving a report",
        daemon.patch("own", &params, &moved).await,
    );
    let delete = DeleteParams::default();
    daemon.delete("own", &delete).await.unwrap();

    for status in rig.statuses_of("web").await {
        let name = status.name_any();
        if status.spec.node_name == "node-2" {
            denied(
                "changing the report of another",
                daemon.patch(&name, &params, &error).await,
            );
            denied(
                "deleting the report of another",
                daemon.delete(&name, &delete).await,
            );
            let mine = Patch::Merge(json!({ "spec": { "nodeName": "node-1" } }));
            denied(
                "taking the report of another",
                daemon.patch(&name, &params, &mine).await,
            );
        }
    }
    let registration = meta::node_status_name(meta::KIND_NODE, "node", "node-2");
    denied(
        "unregistering another node",
        daemon.delete(&registration, &delete).await,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_may_read_no_secrets_and_write_no_pods() {
    let rig = Rig::with_nodes(0).await;
    let manager = cluster::client(&rig.manager_kubeconfig("other").await).await;
    let all = ListParams::default();
    for namespace in [NAMESPACE, "kube-system"] {
        let secrets: Api<Secret> = Api::namespaced(manager.clone(), namespace);
        forbidden("listing secrets", secrets.list(&all).await);
        forbidden("reading a secret", secrets.get("x").await);
    }
    let pods: Api<Pod> = Api::all(manager.clone());
    pods.list(&all).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(manager.clone(), DEFAULT);
    forbidden(
        "deleting a pod",
        pods.delete("x", &DeleteParams::default()).await,
    );
    let profiles: Api<SeccompProfile> = Api::all(manager.clone());
    forbidden(
        "creating a profile",
        profiles
            .create(&PostParams::default(), &allowing("mine", &["read"]))
            .await,
    );
    forbidden(
        "writing a report",
        reports(&manager)
            .create(&PostParams::default(), &report("x", "node-1"))
            .await,
    );
}

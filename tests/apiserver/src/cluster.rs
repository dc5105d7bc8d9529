//! The cluster as the administrator sees it: clients, accounts, objects, and wiping it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spo_api::node_status::SecurityProfileNodeStatus;
use spo_api::seccomp_profile::SeccompProfile;
use spo_api::spod::SecurityProfilesOperatorDaemon;
use tokio::task::JoinSet;

use crate::proxy::Proxy;
use crate::wait::{SOON, eventually};
use crate::{env, role, service};

/// The operator's namespace, as in `deploy/base`.
pub const NAMESPACE: &str = "security-profiles-operator";
/// Where pods of tests are, and the events about objects without a namespace.
pub const DEFAULT: &str = "default";
/// The lease of the manager.
pub const LEASE: &str = "security-profiles-operator-lock";
/// On every node and pod that a test makes.
const LABEL: &str = "spo.test/rig";

/// A client with a kubeconfig.
pub async fn client(kubeconfig: &Path) -> Client {
    spo_process::tls::install_provider();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// Writes a kubeconfig with a token of a ServiceAccount, as a pod of it would have; bound to a Node,
/// if one is given.
pub async fn kubeconfig_for(
    client: &Client,
    file: PathBuf,
    account: &str,
    node: Option<&Node>,
) -> PathBuf {
    kubeconfig_in(client, NAMESPACE, file, account, node).await
}

/// The same, of a ServiceAccount in some namespace.
pub async fn kubeconfig_in(
    client: &Client,
    namespace: &str,
    file: PathBuf,
    account: &str,
    node: Option<&Node>,
) -> PathBuf {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let bound_object_ref = node.map(|node| BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: node.metadata.name.clone(),
        uid: node.metadata.uid.clone(),
    });
    let spec = TokenRequestSpec {
        bound_object_ref,
        expiration_seconds: Some(2 * 60 * 60),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec: Some(spec),
        ..TokenRequest::default()
    };
    let answer = api
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .unwrap();
    let mut kubeconfig = admin_kubeconfig().clone();
    let token = answer.status.unwrap().token;
    kubeconfig["users"] = json!([{ "name": account, "user": { "token": token } }]);
    for context in kubeconfig["contexts"].as_array_mut().unwrap() {
        context["context"]["user"] = json!(account);
    }
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    file
}

/// A proxy before the API server, and the kubeconfig of `file` changed to go through it.
pub async fn through_proxy(file: &Path) -> Proxy {
    let mut kubeconfig: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let server = &mut kubeconfig["clusters"][0]["cluster"]["server"];
    let port = server
        .as_str()
        .and_then(|url| url.rsplit_once(':'))
        .unwrap()
        .1;
    let proxy = Proxy::start(port.parse().unwrap()).await;
    *server = json!(format!("https://127.0.0.1:{}", proxy.port()));
    std::fs::write(file, kubeconfig.to_string()).unwrap();
    proxy
}

/// The administrator's kubeconfig, with certificates in it.
fn admin_kubeconfig() -> &'static Value {
    static ADMIN: OnceLock<Value> = OnceLock::new();
    ADMIN.get_or_init(|| {
        let args = [
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "--output=json",
        ];
        serde_json::from_str(&env::kubectl(&args).unwrap()).unwrap()
    })
}

/// Makes a Node object that answers.
pub async fn make_node(client: &Client, name: &str) -> Node {
    let node = json!({
        "metadata": { "name": name, "labels": { LABEL: "true", "kubernetes.io/os": "linux" } },
        "status": {
            "allocatable": {
                "cpu": "8", "memory": "16Gi", "ephemeral-storage": "64Gi", "pods": "100",
            },
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    });
    let api: Api<Node> = Api::all(client.clone());
    api.create(
        &PostParams::default(),
        &serde_json::from_value(node).unwrap(),
    )
    .await
    .unwrap()
}

/// Sets the condition `Ready` of a node, as the node lifecycle controller or a kubelet does.
pub async fn set_node_ready(client: &Client, name: &str, status: &str) {
    let api: Api<Node> = Api::all(client.clone());
    let patch = json!({ "status": { "conditions": [{ "type": "Ready", "status": status }] } });
    api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .unwrap();
}

/// Makes a pod on a node that uses a file in the operator directory.
pub async fn make_pod(client: &Client, name: &str, node: &str, localhost_profile: &str) -> Pod {
    let seccomp = json!({ "type": "Localhost", "localhostProfile": localhost_profile });
    let pod = json!({
        "metadata": { "name": name, "labels": { LABEL: "true" } },
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "app",
                "image": "nginx",
                "securityContext": { "seccompProfile": seccomp },
            }],
        },
    });
    let api: Api<Pod> = Api::namespaced(client.clone(), DEFAULT);
    api.create(
        &PostParams::default(),
        &serde_json::from_value(pod).unwrap(),
    )
    .await
    .unwrap()
}

/// Deletes a pod as a kubelet would end it: at once.
pub async fn delete_pod(client: &Client, name: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), DEFAULT);
    api.delete(name, &now()).await.unwrap();
}

fn now() -> DeleteParams {
    DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    }
}

/// Takes away everything that a test may have left, whatever holds it back.
pub async fn wipe(client: &Client) {
    let all = ListParams::default();
    let ours = ListParams::default().labels(LABEL);
    let delete = DeleteParams::default();
    let profiles: Api<SeccompProfile> = Api::all(client.clone());
    let statuses: Api<SecurityProfileNodeStatus> = Api::all(client.clone());
    let spods: Api<SecurityProfilesOperatorDaemon> = Api::namespaced(client.clone(), NAMESPACE);
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::namespaced(client.clone(), DEFAULT);
    let events: Api<Event> = Api::namespaced(client.clone(), DEFAULT);
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);

    role::restore(client).await;
    // First of all: without their server they would refuse what follows.
    wipe_operator(client).await;
    service::wipe(client).await;
    wipe_other_kinds(client).await;
    strip_finalizers(&profiles).await;
    profiles.delete_collection(&delete, &all).await.unwrap();
    statuses.delete_collection(&delete, &all).await.unwrap();
    spods.delete_collection(&delete, &all).await.unwrap();
    pods.delete_collection(&now(), &ours).await.unwrap();
    nodes.delete_collection(&delete, &ours).await.unwrap();
    events.delete_collection(&delete, &all).await.unwrap();
    match leases.delete(LEASE, &delete).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => panic!("cannot delete the lease: {error}"),
    }
    eventually(SOON, "the cluster is empty", async || {
        let left = [
            profiles.list_metadata(&all).await.unwrap().items.len(),
            statuses.list_metadata(&all).await.unwrap().items.len(),
            spods.list_metadata(&all).await.unwrap().items.len(),
            pods.list_metadata(&ours).await.unwrap().items.len(),
            nodes.list_metadata(&ours).await.unwrap().items.len(),
        ];
        if left.iter().sum::<usize>() == 0 {
            Ok(())
        } else {
            Err(format!("{left:?} are left"))
        }
    })
    .await;
}

/// Takes away what a manager has rendered, and the Deployment that tells it what to render with.
async fn wipe_operator(client: &Client) {
    let delete = DeleteParams::default();
    let ours = ListParams::default().labels("app=security-profiles-operator");
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let daemons: Api<DaemonSet> = Api::namespaced(client.clone(), NAMESPACE);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    mutating.delete_collection(&delete, &ours).await.unwrap();
    validating.delete_collection(&delete, &ours).await.unwrap();
    let all = ListParams::default();
    daemons.delete_collection(&delete, &all).await.unwrap();
    deployments.delete_collection(&delete, &all).await.unwrap();
    budgets.delete_collection(&delete, &all).await.unwrap();
    pods.delete_collection(&now(), &all).await.unwrap();
}

/// Takes away the objects of the kinds that only some tests use.
async fn wipe_other_kinds(client: &Client) {
    let delete = DeleteParams::default();
    let all = ListParams::default();
    for (kind, plural, namespaced) in [
        ("AppArmorProfile", "apparmorprofiles", false),
        ("RawSelinuxProfile", "rawselinuxprofiles", false),
        ("SelinuxProfile", "selinuxprofiles", false),
        ("ProfileBinding", "profilebindings", true),
        ("ProfileRecording", "profilerecordings", true),
    ] {
        let gvk = GroupVersionKind::gvk(spo_api::GROUP, "v1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        let apis: Vec<Api<DynamicObject>> = if namespaced {
            [NAMESPACE, DEFAULT]
                .map(|namespace| Api::namespaced_with(client.clone(), namespace, &resource))
                .into()
        } else {
            vec![Api::all_with(client.clone(), &resource)]
        };
        for api in apis {
            strip_finalizers(&api).await;
            api.delete_collection(&delete, &all).await.unwrap();
        }
    }
}

async fn strip_finalizers<K>(objects: &Api<K>)
where
    K: Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut patches = JoinSet::new();
    for object in objects.list_metadata(&ListParams::default()).await.unwrap() {
        if object.metadata.finalizers.unwrap_or_default().is_empty() {
            continue;
        }
        let (objects, name) = (objects.clone(), object.metadata.name.unwrap());
        patches.spawn(async move {
            let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
            // It may go at this moment.
            objects
                .patch_metadata(&name, &PatchParams::default(), &patch)
                .await
                .ok();
        });
    }
    patches.join_all().await;
}

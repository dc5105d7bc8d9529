//! Kinds that only some clusters have: cert-manager's and Prometheus'. What their operators would do
//! with the objects is not played; that the right ones are there is what counts.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use spo_test_apiserver::cluster::NAMESPACE;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

const KINDS: [(&str, &str, &str); 3] = [
    ("cert-manager.io", "Issuer", "issuers"),
    ("cert-manager.io", "Certificate", "certificates"),
    ("monitoring.coreos.com", "ServiceMonitor", "servicemonitors"),
];

/// Definitions with the names of the real ones, that take anything.
async fn define(rig: &Rig) {
    let crds: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    for (group, kind, plural) in KINDS {
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{group}") },
            "spec": {
                "group": group,
                "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") },
                "scope": "Namespaced",
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    } },
                }],
            },
        });
        let crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
        crds.create(&PostParams::default(), &crd).await.unwrap();
    }
    for (group, kind, plural) in KINDS {
        eventually(SOON, &format!("{kind} is served"), async || {
            let listed = api(rig, group, kind, plural)
                .list(&Default::default())
                .await;
            listed.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
    }
}

async fn undefine(rig: &Rig) {
    let crds: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    for (group, _, plural) in KINDS {
        let name = format!("{plural}.{group}");
        crds.delete(&name, &DeleteParams::default()).await.unwrap();
        eventually(SOON, &format!("{name} is gone"), async || {
            match crds.get_opt(&name).await.unwrap() {
                None => Ok(()),
                Some(_) => Err("it is there".to_owned()),
            }
        })
        .await;
    }
}

fn api(rig: &Rig, group: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
    Api::namespaced_with(rig.client.clone(), NAMESPACE, &resource)
}

async fn exist(rig: &Rig, wanted: &[(usize, &str)], exist: bool) {
    for (number, name) in wanted {
        let (group, kind, plural) = KINDS[*number];
        eventually(SOON, &format!("{kind} {name}: {exist}"), async || {
            let found = api(rig, group, kind, plural).get_opt(name).await.unwrap();
            if found.is_some() == exist {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cert_manager_and_prometheus_get_their_objects_where_they_are() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    define(&rig).await;
    // Nobody uses cert-manager for us yet: the manager makes the certificates.
    rig.start_manager("manager-0").await;
    exist(&rig, &[(2, "security-profiles-operator-monitor")], true).await;
    exist(
        &rig,
        &[(0, "selfsigned-issuer"), (1, "webhook-cert")],
        false,
    )
    .await;
    assert!(rig.take_manager("manager-0").terminate().await.success());

    // A cluster that ran upstream with cert-manager: it goes on.
    let (group, kind, plural) = KINDS[1];
    let certificate = json!({
        "apiVersion": "cert-manager.io/v1", "kind": kind,
        "metadata": { "name": "webhook-cert", "namespace": NAMESPACE },
        "spec": { "secretName": "webhook-server-cert" },
    });
    let certificate: DynamicObject = serde_json::from_value(certificate).unwrap();
    api(&rig, group, kind, plural)
        .create(&PostParams::default(), &certificate)
        .await
        .unwrap();
    rig.start_manager("manager-1").await;
    let cert_manager = [
        (0, "selfsigned-issuer"),
        (1, "webhook-cert"),
        (1, "metrics-cert"),
    ];
    exist(&rig, &cert_manager, true).await;
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(rig.client.clone());
    let annotated = async |expected: bool| {
        eventually(
            SOON,
            &format!("cert-manager is asked to inject: {expected}"),
            async || {
                let found = mutating.get("spo-mutating-webhook-configuration").await;
                let annotations = found
                    .map_err(|error| error.to_string())?
                    .metadata
                    .annotations;
                let value = annotations
                    .unwrap_or_default()
                    .remove("cert-manager.io/inject-ca-from");
                let wanted = expected.then(|| format!("{NAMESPACE}/webhook-cert"));
                if value == wanted {
                    Ok(())
                } else {
                    Err(format!("{value:?}"))
                }
            },
        )
        .await;
    };
    annotated(true).await;
    assert!(rig.take_manager("manager-1").terminate().await.success());

    // The administrator decides otherwise: its objects go.
    rig.start_manager_with_args("manager-2", &["--certificate-provider", "self-managed"])
        .await;
    exist(&rig, &cert_manager, false).await;
    annotated(false).await;
    assert!(rig.take_manager("manager-2").terminate().await.success());
    undefine(&rig).await;
    // The API server forgets the groups a moment later.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

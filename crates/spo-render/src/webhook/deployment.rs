//! The pods which serve the webhooks, and how many of them may be away at once.

use serde_json::{Value, json};

use crate::object::{self, More};
use crate::{Context, names};

const REPLICAS: u32 = 3;
const SERVICE_ACCOUNT: &str = "spo-webhook";
/// Where the server looks for `tls.crt` and `tls.key`.
const CERTIFICATE_DIR: &str = "/tmp/k8s-webhook-server/serving-certs";
const CERTIFICATE_VOLUME: &str = "cert";

/// The Deployment and its PodDisruptionBudget.
pub(crate) fn render(context: Context<'_>) -> Vec<Value> {
    let Some(webhook) = &context.settings.webhook else {
        return vec![];
    };
    let metadata = || object::namespaced(context.facts, names::WEBHOOK, More::default());
    let labels = || object::labels(&[("name", names::WEBHOOK)]);
    let selector = || json!({"matchLabels": labels()});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(),
        "spec": {
            "replicas": REPLICAS,
            "selector": selector(),
            "template": {
                "metadata": {"labels": labels()},
                "spec": {
                    "serviceAccountName": SERVICE_ACCOUNT,
                    "securityContext": {
                        "runAsNonRoot": true,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container(context)],
                    "volumes": [{
                        "name": CERTIFICATE_VOLUME,
                        "secret": {"secretName": names::WEBHOOK_SECRET},
                    }],
                    "tolerations": webhook.tolerations,
                    "imagePullSecrets": context.settings.image_pull_secrets,
                    // A preference: a cluster of one node gets its three replicas, too.
                    "topologySpreadConstraints": [{
                        "topologyKey": "kubernetes.io/hostname",
                        "maxSkew": 1,
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": selector(),
                    }],
                },
            },
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(),
        "spec": {"minAvailable": 1, "selector": selector()},
    });
    vec![deployment, budget]
}

fn container(context: Context<'_>) -> Value {
    let probe = |path: &str, failures: u32| {
        json!({
            "httpGet": {"path": path, "port": names::HEALTH_PORT_NAME},
            "periodSeconds": 10,
            "timeoutSeconds": 1,
            "failureThreshold": failures,
        })
    };
    json!({
        "name": names::OPERATOR,
        "image": context.facts.image,
        "imagePullPolicy": context.facts.image_pull_policy,
        "args": ["webhook"],
        "env": [{
            "name": "OPERATOR_NAMESPACE",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        }],
        "ports": [
            {"name": "webhook", "containerPort": names::TLS_PORT, "protocol": "TCP"},
            {
                "name": names::WEBHOOK_METRICS,
                "containerPort": names::OWN_METRICS_PORT,
                "protocol": "TCP",
            },
            {
                "name": names::HEALTH_PORT_NAME,
                "containerPort": names::HEALTH_PORT,
                "protocol": "TCP",
            },
        ],
        "livenessProbe": probe("/healthz", 3),
        // Out of the Service at the first failure: the API server does not try another replica.
        "readinessProbe": probe("/readyz", 1),
        "resources": {
            "requests": {"memory": "32Mi", "cpu": "250m"},
            "limits": {"memory": "64Mi"},
        },
        "securityContext": {
            "runAsUser": names::ROOTLESS,
            "runAsGroup": names::ROOTLESS,
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": CERTIFICATE_VOLUME, "mountPath": CERTIFICATE_DIR, "readOnly": true},
        ],
    })
}

//! When the API server calls which webhook.
//!
//! Names, paths, rules, selectors and failure policies are upstream's (contract 04, 2), but for the
//! operations of binding and recording: admission writes nothing, and a pod that is changed or goes
//! away is left as it is, so that only the creation of a pod is asked about (decision 10).

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::facts::Certificates;
use crate::object::{self, More};
use crate::settings::Webhook;
use crate::{Context, names};

const BINDING: &str = "binding.spo.io";
const RECORDING: &str = "recording.spo.io";
const EXEC_METADATA: &str = "execmetadata.spo.io";
const NODE_DEBUGGING_POD: &str = "nodedebuggingpod.spo.io";
const RAW_SELINUX: &str = "rawselinuxprofile-validation.spo.io";

/// The webhooks which `spec.webhook.options` can tune.
pub(crate) const NAMES: [&str; 5] = [
    BINDING,
    RECORDING,
    EXEC_METADATA,
    NODE_DEBUGGING_POD,
    RAW_SELINUX,
];

/// Longer than our answers take; while a replica goes away, one of two attempts may be waited for.
const TIMEOUT_SECONDS: u32 = 5;

/// The mutating and the validating configuration.
pub(crate) fn render(context: Context<'_>) -> Vec<Value> {
    let Some(webhook) = &context.settings.webhook else {
        return vec![];
    };
    let configuration = |kind: &str, name: &str, webhooks: Vec<Value>| {
        let inject = inject(context);
        let annotations: Vec<(&str, &str)> = inject
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let more = More {
            annotations: &annotations,
            ..More::default()
        };
        let webhooks: Vec<Value> = webhooks
            .into_iter()
            .map(|rendered| override_options(rendered, webhook))
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": object::cluster_scoped(context.facts, name, more),
            "webhooks": webhooks,
        })
    };
    vec![
        configuration(
            "MutatingWebhookConfiguration",
            "spo-mutating-webhook-configuration",
            mutating(context, webhook),
        ),
        configuration(
            "ValidatingWebhookConfiguration",
            "spo-validating-webhook-configuration",
            vec![raw_selinux(context)],
        ),
    ]
}

/// The order is public.
fn mutating(context: Context<'_>, webhook: &Webhook) -> Vec<Value> {
    let mut webhooks = vec![
        pods(
            context,
            BINDING,
            "/mutate-v1-pod-binding",
            "spo.x-k8s.io/enable-binding",
        ),
        pods(
            context,
            RECORDING,
            "/mutate-v1-pod-recording",
            "spo.x-k8s.io/enable-recording",
        ),
    ];
    if webhook.exec_metadata {
        webhooks.extend([exec_metadata(context), node_debugging_pod(context)]);
    }
    webhooks
}

/// A webhook for new pods in namespaces with a label, whatever its value.
fn pods(context: Context<'_>, name: &str, path: &str, label: &str) -> Value {
    json!({
        "name": name,
        "clientConfig": client(context, path),
        "rules": [rule("", &["v1"], &["CREATE"], &["pods"])],
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchExpressions": [{"key": label, "operator": "Exists"}]},
        // Our own pods come up without us.
        "objectSelector": {"matchExpressions": [{
            "key": "name",
            "operator": "NotIn",
            "values": [names::OPERATOR, names::WEBHOOK],
        }]},
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
        "admissionReviewVersions": review_versions(),
    })
}

fn exec_metadata(context: Context<'_>) -> Value {
    json!({
        "name": EXEC_METADATA,
        "clientConfig": client(context, "/mutate-v1-exec-metadata"),
        "rules": [rule("", &["v1"], &["*"], &["pods/exec", "pods/ephemeralcontainers"])],
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
        "admissionReviewVersions": review_versions(),
    })
}

fn node_debugging_pod(context: Context<'_>) -> Value {
    json!({
        "name": NODE_DEBUGGING_POD,
        "clientConfig": client(context, "/mutate-v1-exec-metadata"),
        "rules": [rule("", &["v1"], &["CREATE"], &["pods"])],
        "failurePolicy": "Ignore",
        "objectSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "kubectl-debug"}},
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
        "admissionReviewVersions": review_versions(),
    })
}

fn raw_selinux(context: Context<'_>) -> Value {
    json!({
        "name": RAW_SELINUX,
        "clientConfig": client(context, "/validate-rawselinuxprofile"),
        "rules": [rule(
            spo_api::GROUP,
            &["v1", "v1alpha2"],
            &["CREATE", "UPDATE"],
            &["rawselinuxprofiles"],
        )],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
        "admissionReviewVersions": review_versions(),
    })
}

fn rule(group: &str, versions: &[&str], operations: &[&str], resources: &[&str]) -> Value {
    json!({
        "apiGroups": [group],
        "apiVersions": versions,
        "operations": operations,
        "resources": resources,
    })
}

fn review_versions() -> Value {
    json!(["v1", "v1beta1"])
}

/// Where the webhook is, and whom to trust. An injector of certificates writes the bundle itself,
/// and a field which we do not apply stays what the injector made of it.
fn client(context: Context<'_>, path: &str) -> Value {
    let bundle = match &context.facts.certificates {
        Certificates::SelfManaged { ca_bundle } => ca_bundle
            .as_ref()
            .map(|pem| object::to_json(&ByteString(pem.clone().into_bytes()))),
        Certificates::CertManager | Certificates::OpenShift => None,
    };
    json!({
        "service": {
            "namespace": context.facts.namespace,
            "name": names::WEBHOOK_SERVICE,
            "path": path,
            "port": 443,
        },
        "caBundle": bundle,
    })
}

/// The annotation which asks for the bundle.
fn inject(context: Context<'_>) -> Option<(&'static str, String)> {
    match context.facts.certificates {
        Certificates::SelfManaged { .. } => None,
        Certificates::CertManager => Some((
            "cert-manager.io/inject-ca-from",
            format!("{}/{}", context.facts.namespace, names::WEBHOOK_CERTIFICATE),
        )),
        Certificates::OpenShift => Some((
            "service.beta.openshift.io/inject-cabundle",
            "true".to_owned(),
        )),
    }
}

/// Replaces what the options of the same name set; nothing is merged.
fn override_options(mut rendered: Value, webhook: &Webhook) -> Value {
    let options = webhook
        .options
        .iter()
        .filter(|options| rendered["name"] == options.name);
    let mut replacements = vec![];
    for options in options {
        replacements.extend([
            (
                "failurePolicy",
                options.failure_policy.as_ref().map(object::to_json),
            ),
            (
                "namespaceSelector",
                options.namespace_selector.as_ref().map(object::to_json),
            ),
            (
                "objectSelector",
                options.object_selector.as_ref().map(object::to_json),
            ),
        ]);
    }
    for (field, value) in replacements {
        if let Some(value) = value {
            rendered[field] = value;
        }
    }
    rendered
}

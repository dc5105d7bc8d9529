//! What cert-manager is asked for: an issuer, and the certificates of the webhook and the metrics.

use serde_json::{Value, json};

use crate::facts::Certificates;
use crate::object::{self, More};
use crate::{Context, names};

const API_VERSION: &str = "cert-manager.io/v1";
const ISSUER: &str = "selfsigned-issuer";
const METRICS_CERTIFICATE: &str = "metrics-cert";

/// The objects, if cert-manager is who issues.
pub(crate) fn render(context: Context<'_>) -> Vec<Value> {
    match context.facts.certificates {
        Certificates::CertManager => vec![issuer(context), metrics(context), webhook(context)],
        Certificates::SelfManaged { .. } | Certificates::OpenShift => vec![],
    }
}

fn issuer(context: Context<'_>) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Issuer",
        "metadata": object::namespaced(context.facts, ISSUER, More::default()),
        "spec": {"selfSigned": {}},
    })
}

fn metrics(context: Context<'_>) -> Value {
    let name = format!("{}.{}", names::METRICS_SERVICE, context.facts.namespace);
    certificate(
        context,
        METRICS_CERTIFICATE,
        json!({
            "secretName": names::METRICS_SECRET,
            "dnsNames": [name, format!("{name}.svc"), format!("{name}.svc.cluster.local")],
            "issuerRef": issuer_ref(),
            "subject": {"organizations": [names::OPERATOR]},
        }),
    )
}

fn webhook(context: Context<'_>) -> Value {
    let name = format!("{}.{}", names::WEBHOOK_SERVICE, context.facts.namespace);
    certificate(
        context,
        names::WEBHOOK_CERTIFICATE,
        json!({
            "secretName": names::WEBHOOK_SECRET,
            "dnsNames": [format!("{name}.svc"), format!("{name}.svc.cluster.local")],
            "issuerRef": issuer_ref(),
        }),
    )
}

fn certificate(context: Context<'_>, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Certificate",
        "metadata": object::namespaced(context.facts, name, More::default()),
        "spec": spec,
    })
}

fn issuer_ref() -> Value {
    json!({"kind": "Issuer", "name": ISSUER})
}

//! The Service which the API server calls.

use serde_json::{Value, json};

use crate::facts::Certificates;
use crate::object::{self, More};
use crate::{Context, names};

/// The Service in front of the webhook's pods.
pub(crate) fn render(context: Context<'_>) -> Vec<Value> {
    if context.settings.webhook.is_none() {
        return vec![];
    }
    let serving_cert = [(names::OPENSHIFT_SERVING_CERT, names::WEBHOOK_SECRET)];
    let annotations: &[_] = match context.facts.certificates {
        Certificates::OpenShift => &serving_cert,
        Certificates::SelfManaged { .. } | Certificates::CertManager => &[],
    };
    let more = More {
        annotations,
        ..More::default()
    };
    vec![json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": object::namespaced(context.facts, names::WEBHOOK_SERVICE, more),
        "spec": {
            "selector": object::labels(&[("name", names::WEBHOOK)]),
            // Not `https`: that is what the ServiceMonitor looks for.
            "ports": [
                {
                    "name": "webhook",
                    "port": 443,
                    "protocol": "TCP",
                    "targetPort": names::TLS_PORT,
                },
                {
                    "name": names::WEBHOOK_METRICS,
                    "port": names::OWN_METRICS_PORT,
                    "protocol": "TCP",
                    "targetPort": names::OWN_METRICS_PORT,
                },
            ],
        },
    })]
}

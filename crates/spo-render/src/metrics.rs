//! How metrics are reached: a Service, and a ServiceMonitor for Prometheus.
//!
//! The name of the port of the Service says whether it speaks TLS, and the ServiceMonitor selects
//! it by that name.

use serde_json::{Value, json};

use crate::facts::{Certificates, Facts};
use crate::object::{self, More};
use crate::settings::Metrics;
use crate::{Context, names};

const MONITOR: &str = "security-profiles-operator-monitor";
const SCRAPE_INTERVAL: &str = "10s";
/// Secret of the static manifests with the token which the daemon asks for.
const TOKEN_SECRET: &str = "metrics-token";
/// Where the monitoring of OpenShift itself has the bundle of the service CA.
const OPENSHIFT_CA_FILE: &str = "/etc/prometheus/configmaps/serving-certs-ca-bundle/service-ca.crt";

/// The Service in front of all daemons.
pub(crate) fn render_service(context: Context<'_>) -> Vec<Value> {
    let serving_cert = [(names::OPENSHIFT_SERVING_CERT, names::METRICS_SECRET)];
    let annotations: &[_] = match (&context.facts.certificates, context.settings.metrics) {
        (Certificates::OpenShift, Metrics::Secure) => &serving_cert,
        _ => &[],
    };
    let more = More {
        labels: &[("name", names::DAEMON)],
        annotations,
    };
    vec![json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": object::namespaced(context.facts, names::METRICS_SERVICE, more),
        "spec": {
            "selector": object::labels(&[("name", names::DAEMON)]),
            "ports": [{
                "name": scheme(context.settings.metrics),
                "port": 443,
                "protocol": "TCP",
                "targetPort": names::TLS_PORT,
            }],
        },
    })]
}

/// The ServiceMonitor, where the kind is served.
pub(crate) fn render_monitor(context: Context<'_>) -> Vec<Value> {
    if !context.facts.service_monitors {
        return vec![];
    }
    let endpoint = |path: &str| endpoint(context.facts, context.settings.metrics, path);
    vec![json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": object::namespaced(context.facts, MONITOR, More::default()),
        "spec": {
            "endpoints": [endpoint("/metrics"), endpoint("/metrics-spod")],
            "selector": {"matchExpressions": [
                {"key": "app", "operator": "In", "values": [names::OPERATOR]},
            ]},
        },
    })]
}

fn endpoint(facts: &Facts, metrics: Metrics, path: &str) -> Value {
    let scheme = scheme(metrics);
    let (authorization, tls) = match metrics {
        Metrics::Insecure => (None, None),
        Metrics::Secure => (
            Some(json!({"credentials": {"name": TOKEN_SECRET, "key": "token"}})),
            Some(tls(facts)),
        ),
    };
    json!({
        "path": path,
        "interval": SCRAPE_INTERVAL,
        "port": scheme,
        "scheme": scheme,
        "authorization": authorization,
        "tlsConfig": tls,
    })
}

fn scheme(metrics: Metrics) -> &'static str {
    match metrics {
        Metrics::Secure => "https",
        Metrics::Insecure => "http",
    }
}

fn tls(facts: &Facts) -> Value {
    let server_name = format!("{}.{}.svc", names::METRICS_SERVICE, facts.namespace);
    // The Secrets of cert-manager's self-signed issuer are their own authority; ours have one.
    let key = match facts.certificates {
        Certificates::OpenShift if facts.namespace.starts_with("openshift-") => {
            return json!({"serverName": server_name, "caFile": OPENSHIFT_CA_FILE});
        }
        Certificates::OpenShift | Certificates::CertManager => "tls.crt",
        Certificates::SelfManaged { .. } => "ca.crt",
    };
    json!({
        "serverName": server_name,
        "ca": {"secret": {"name": names::METRICS_SECRET, "key": key}},
    })
}

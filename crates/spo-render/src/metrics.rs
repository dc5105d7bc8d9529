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

/// The ServiceMonitor, where the kind is served. Its first two endpoints, the daemons, are
/// upstream's; those of the managers and of the webhook need no switch, and have none.
pub(crate) fn render_monitor(context: Context<'_>) -> Vec<Value> {
    if !context.facts.service_monitors {
        return vec![];
    }
    let facts = context.facts;
    let issued = authority(&facts.certificates);
    let daemon = |path: &str| match context.settings.metrics {
        Metrics::Secure => secure(
            facts,
            path,
            scheme(Metrics::Secure),
            (names::METRICS_SERVICE, names::METRICS_SECRET, issued),
        ),
        Metrics::Insecure => endpoint(path, scheme(Metrics::Insecure)),
    };
    let manager = (
        names::MANAGER_SERVICE,
        names::MANAGER_SECRET,
        Authority::Own,
    );
    let webhook = (names::WEBHOOK_SERVICE, names::WEBHOOK_SECRET, issued);
    let webhook = context
        .settings
        .webhook
        .as_ref()
        .map(|_| secure(facts, "/metrics", names::WEBHOOK_METRICS, webhook));
    let mut endpoints = vec![
        daemon("/metrics"),
        daemon("/metrics-spod"),
        secure(facts, "/metrics", names::MANAGER_METRICS, manager),
    ];
    endpoints.extend(webhook);
    vec![json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": object::namespaced(context.facts, MONITOR, More::default()),
        "spec": {
            "endpoints": endpoints,
            "selector": {"matchExpressions": [
                {"key": "app", "operator": "In", "values": [names::OPERATOR]},
            ]},
        },
    })]
}

/// An endpoint that everybody may read. Two paths of one pod would be the same target to
/// Prometheus, with samples of `up` and of the process that contradict each other; the label tells
/// them apart.
fn endpoint(path: &str, port: &str) -> Value {
    json!({
        "path": path,
        "interval": SCRAPE_INTERVAL,
        "port": port,
        "scheme": "http",
        "relabelings": [{"sourceLabels": ["__metrics_path__"], "targetLabel": "metrics_path"}],
    })
}

/// Whose certificate a server shows.
#[derive(Clone, Copy)]
enum Authority {
    /// Ours.
    Own,
    /// cert-manager's self-signed issuer: a certificate is its own authority.
    Itself,
    /// The service CA of OpenShift.
    Service,
}

fn authority(certificates: &Certificates) -> Authority {
    match certificates {
        Certificates::SelfManaged { .. } => Authority::Own,
        Certificates::CertManager => Authority::Itself,
        Certificates::OpenShift => Authority::Service,
    }
}

/// An endpoint for who has a right to it, and is what it says it is.
fn secure(
    facts: &Facts,
    path: &str,
    port: &str,
    (service, secret, authority): (&str, &str, Authority),
) -> Value {
    let server_name = format!("{service}.{}.svc", facts.namespace);
    let ca = |key: &str| {
        json!({
            "serverName": server_name,
            "ca": {"secret": {"name": secret, "key": key}},
        })
    };
    let tls = match authority {
        Authority::Own => ca("ca.crt"),
        Authority::Service if facts.namespace.starts_with("openshift-") => {
            json!({"serverName": server_name, "caFile": OPENSHIFT_CA_FILE})
        }
        Authority::Itself | Authority::Service => ca("tls.crt"),
    };
    let mut endpoint = endpoint(path, port);
    endpoint["scheme"] = "https".into();
    endpoint["authorization"] = json!({"credentials": {"name": TOKEN_SECRET, "key": "token"}});
    endpoint["tlsConfig"] = tls;
    endpoint
}

fn scheme(metrics: Metrics) -> &'static str {
    match metrics {
        Metrics::Secure => "https",
        Metrics::Insecure => "http",
    }
}

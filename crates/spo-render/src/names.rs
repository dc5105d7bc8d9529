//! Names which more than one object uses, all of them public (contract 03, 2.5 and 4; 04, 2).

/// Value of the label `app` on everything, and name of the main container of each pod.
pub(crate) const OPERATOR: &str = "security-profiles-operator";
/// Value of the label `name` on the pods of the daemon, whatever the SPOD is called.
pub(crate) const DAEMON: &str = "spod";
/// Deployment of the webhook, and value of the label `name` on its pods.
pub(crate) const WEBHOOK: &str = "security-profiles-operator-webhook";
/// Service in front of the webhook.
pub(crate) const WEBHOOK_SERVICE: &str = "webhook-service";
/// Secret with the serving certificate of the webhook.
pub(crate) const WEBHOOK_SECRET: &str = "webhook-server-cert";
/// Service in front of the metrics of the daemons.
pub(crate) const METRICS_SERVICE: &str = "metrics";
/// Secret with the serving certificate of the metrics.
pub(crate) const METRICS_SECRET: &str = "metrics-server-cert";
/// cert-manager's certificate for the webhook.
pub(crate) const WEBHOOK_CERTIFICATE: &str = "webhook-cert";
/// ConfigMap with the policies for the nodes, from the static manifests.
pub(crate) const PROFILES_CONFIG_MAP: &str = "security-profiles-operator-profile";
/// Annotation of a Service whose certificate OpenShift's service CA writes into a Secret.
pub(crate) const OPENSHIFT_SERVING_CERT: &str =
    "service.beta.openshift.io/serving-cert-secret-name";
/// Port, also its number in the pod, where the webhook and the metrics listen.
pub(crate) const TLS_PORT: u16 = 9443;
/// Port, also its number in the pod, where manager and webhook serve their metrics.
pub(crate) const OWN_METRICS_PORT: u16 = 8080;
/// Service in front of the managers, from the static manifests.
pub(crate) const MANAGER_SERVICE: &str = "conversion-service";
/// Secret with the serving certificate of the managers, which is always ours.
pub(crate) const MANAGER_SECRET: &str = "conversion-server-cert";
/// Name of the port of metrics in the Service of the managers.
pub(crate) const MANAGER_METRICS: &str = "manager-metrics";
/// Name of the port of metrics in the Service and the pods of the webhook.
pub(crate) const WEBHOOK_METRICS: &str = "webhook-metrics";
/// Port of health.
pub(crate) const HEALTH_PORT: u16 = 8085;
/// Name of the port of health.
pub(crate) const HEALTH_PORT_NAME: &str = "liveness-port";
/// User and group of containers which need no root.
pub(crate) const ROOTLESS: u32 = 65535;

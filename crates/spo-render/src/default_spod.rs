//! The SPOD which the operator creates when there is none.

use serde_json::{Value, json};

use crate::names;

/// The SPOD of contract 03, 3.
///
/// `static_webhook` says that the webhook configurations are deployed by hand. It names no trusted
/// signers, as upstream: naming them is for the manifests that we ship (decision 12).
pub fn default_spod(namespace: &str, static_webhook: bool) -> Value {
    let tolerated =
        |key: &str, effect: &str| json!({"key": key, "operator": "Exists", "effect": effect});
    json!({
        "apiVersion": format!("{}/v1", spo_api::GROUP),
        "kind": "SecurityProfilesOperatorDaemon",
        "metadata": {
            "name": names::DAEMON,
            "namespace": namespace,
            "labels": {"app": names::OPERATOR},
        },
        "spec": {
            "enableProfiling": false,
            "enableMemoryOptimization": false,
            "enableInsecureMetricsAccess": false,
            "enableAppArmor": false,
            "hostProcVolumePath": "/proc",
            // `enable` stays unset, because what that means depends on the platform.
            "selinux": {"options": {"allowedSystemProfiles": ["container"]}},
            "enricher": {
                "enableLogEnricher": false,
                "enableJsonEnricher": false,
                "enableBpfRecorder": false,
                "logEnricherSource": "Auditd",
            },
            "webhook": {"staticConfig": static_webhook},
            "security": {"disableOciArtifactSignatureVerification": false},
            "scheduling": {
                "priorityClassName": "system-node-critical",
                "tolerations": [
                    tolerated("node-role.kubernetes.io/master", "NoSchedule"),
                    tolerated("node-role.kubernetes.io/control-plane", "NoSchedule"),
                    tolerated("node.kubernetes.io/not-ready", "NoExecute"),
                ],
            },
        },
    })
}

//! Pure. The state of the operator as its SPOD tells it: from what the DaemonSet and the Deployment
//! of the webhooks really look like.

use serde_json::Value;
use spo_api::spod::SpodState;

/// A state, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) state: SpodState,
    /// What is missing; what runs if nothing is.
    pub(super) message: String,
}

impl Verdict {
    /// The status and the reason of the condition `Ready` (contract 03, 4.9).
    pub(super) fn ready(&self) -> (&'static str, &'static str) {
        match self.state {
            SpodState::Running => ("True", "Available"),
            SpodState::Pending => ("False", "Pending"),
            SpodState::Creating => ("False", "Creating"),
            SpodState::Updating => ("False", "Updating"),
            SpodState::Error => ("False", "Unavailable"),
        }
    }
}

/// Judges a roll-out. `before` is the state so far; `webhook` is `None` if there is none to be.
pub(super) fn judge(
    before: Option<SpodState>,
    daemon: Option<&Value>,
    webhook: Option<Option<&Value>>,
) -> Verdict {
    let (daemon_done, daemon_says) = match daemon {
        None => (false, "the DaemonSet does not exist yet".to_owned()),
        Some(daemon) => daemon_progress(daemon),
    };
    let (webhook_done, webhook_says) = match webhook {
        None => (true, None),
        Some(None) => (
            false,
            Some("the Deployment of the webhooks does not exist yet".to_owned()),
        ),
        Some(Some(webhook)) => {
            let (done, says) = webhook_progress(webhook);
            (done, Some(says))
        }
    };
    let state = match before {
        _ if daemon_done && webhook_done => SpodState::Running,
        None | Some(SpodState::Pending | SpodState::Creating) => SpodState::Creating,
        Some(_) => SpodState::Updating,
    };
    let message = [Some(daemon_says), webhook_says];
    let message: Vec<String> = message.into_iter().flatten().collect();
    Verdict {
        state,
        message: message.join("; "),
    }
}

/// Whether the controller has seen the object as it is.
fn observed(object: &Value) -> bool {
    let generation = object["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default();
    object["status"]["observedGeneration"].as_i64() >= Some(generation)
}

fn number(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or_default()
}

/// A DaemonSet runs when every node it is meant for has a ready pod of the present template.
fn daemon_progress(daemon: &Value) -> (bool, String) {
    if !observed(daemon) {
        return (
            false,
            "the DaemonSet has just been written, and nobody has acted on it yet".to_owned(),
        );
    }
    let desired = number(daemon, "desiredNumberScheduled");
    let updated = number(daemon, "updatedNumberScheduled");
    let ready = number(daemon, "numberReady");
    if desired == 0 {
        return (
            false,
            "no node is meant to run the daemon: see spec.scheduling and the labels of the nodes"
                .to_owned(),
        );
    }
    let mut text = format!("the daemon is ready on {ready} of {desired} nodes");
    if updated < desired {
        text.push_str(&format!(", up to date on {updated}"));
    }
    (ready == desired && updated == desired, text)
}

/// The webhooks work as soon as one pod of the present template does.
fn webhook_progress(webhook: &Value) -> (bool, String) {
    if !observed(webhook) {
        return (
            false,
            "the Deployment of the webhooks has just been written, and nobody has acted on it yet"
                .to_owned(),
        );
    }
    let replicas = webhook["spec"]["replicas"].as_i64().unwrap_or(1);
    let available = number(webhook, "availableReplicas");
    let updated = number(webhook, "updatedReplicas");
    let mut text = format!("webhooks: {available} of {replicas} replicas available");
    if updated < replicas {
        text.push_str(&format!(", {updated} up to date"));
    }
    (available > 0 && updated == replicas, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    const READY: &str = "{metadata: {generation: 2}, status: {observedGeneration: 2, \
        desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberReady: 3}}";
    const WEBHOOK: &str = "{metadata: {generation: 1}, spec: {replicas: 3}, status: \
        {observedGeneration: 1, availableReplicas: 2, updatedReplicas: 3}}";

    #[test]
    fn running_means_that_every_node_runs_what_was_rendered() {
        let verdict = judge(
            Some(SpodState::Creating),
            Some(&yaml(READY)),
            Some(Some(&yaml(WEBHOOK))),
        );
        assert_eq!(verdict.state, SpodState::Running);
        assert_eq!(
            verdict.message,
            "the daemon is ready on 3 of 3 nodes; webhooks: 2 of 3 replicas available"
        );
        for (daemon, expected) in [
            (
                "{metadata: {generation: 2}, status: {observedGeneration: 1, \
                 desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberReady: 3}}",
                "the DaemonSet has just been written, and nobody has acted on it yet",
            ),
            (
                "{metadata: {generation: 2}, status: {observedGeneration: 2, \
                 desiredNumberScheduled: 3, updatedNumberScheduled: 1, numberReady: 2}}",
                "the daemon is ready on 2 of 3 nodes, up to date on 1",
            ),
            (
                "{metadata: {generation: 2}, status: {observedGeneration: 2}}",
                "no node is meant to run the daemon: see spec.scheduling and the labels of the \
                 nodes",
            ),
        ] {
            let verdict = judge(Some(SpodState::Running), Some(&yaml(daemon)), None);
            assert_eq!(verdict.state, SpodState::Updating);
            assert_eq!(verdict.message, expected);
        }
    }

    #[test]
    fn before_it_has_run_once_it_is_being_created() {
        let verdict = judge(Some(SpodState::Pending), None, Some(None));
        assert_eq!(verdict.state, SpodState::Creating);
        assert_eq!(
            verdict.message,
            "the DaemonSet does not exist yet; the Deployment of the webhooks does not exist yet"
        );
        let without_webhook = judge(Some(SpodState::Error), Some(&yaml(READY)), Some(None));
        assert_eq!(without_webhook.state, SpodState::Updating);
    }
}

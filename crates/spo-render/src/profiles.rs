//! The profile which recordings of logs need.

use serde_json::{Value, json};

use crate::{Context, object};

/// Lets everything happen and logs it: workloads run under it while they are recorded.
const LOG_ENRICHER_TRACE: &str = "log-enricher-trace";

/// The profile, whenever the log enricher runs, no matter what switched it on.
pub(crate) fn render(context: Context<'_>) -> Vec<Value> {
    if context.settings.log_enricher.is_none() {
        return vec![];
    }
    vec![json!({
        "apiVersion": format!("{}/v1", spo_api::GROUP),
        "kind": "SeccompProfile",
        "metadata": {"name": LOG_ENRICHER_TRACE, "labels": object::labels(&[])},
        "spec": {"defaultAction": "SCMP_ACT_LOG"},
    })]
}

//! The metric families of a webhook: every request, by path and by how it ended, and every warning.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::http::Outcome;

/// Seconds. An API server waits ten by default; an answer from memory takes less than one
/// thousandth.
const BUCKETS: [f64; 10] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 10.0,
];

/// What is counted.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    warnings: IntCounterVec,
}

impl Metrics {
    /// Registers the families.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let labels = ["path", "outcome"];
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "security_profiles_operator_webhook_requests_total",
                    "Counter about webhook requests.",
                ),
                &labels,
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "security_profiles_operator_webhook_request_duration_seconds",
                    "Time from the head of a webhook request to its answer.",
                )
                .buckets(BUCKETS.to_vec()),
                &labels,
            )?,
            warnings: IntCounterVec::new(
                Opts::new(
                    "security_profiles_operator_webhook_warnings_total",
                    "Counter about warnings in answers of webhooks.",
                ),
                &["path"],
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.warnings.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn count(&self, path: &'static str, Outcome(outcome): Outcome, took: Duration) {
        let labels = [path, outcome];
        self.requests.with_label_values(&labels).inc();
        self.durations
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
    }

    pub(crate) fn count_warnings(&self, path: &'static str, warnings: usize) {
        let counter = self.warnings.with_label_values(&[path]);
        counter.inc_by(u64::try_from(warnings).unwrap_or(u64::MAX));
    }
}

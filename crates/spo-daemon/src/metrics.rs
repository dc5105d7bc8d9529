//! The metric families of a node. Names and labels are public (contract 02, 10.2).

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use crate::profile::Operation;

/// What is counted.
#[derive(Clone)]
pub(crate) struct Metrics {
    operations: IntCounterVec,
    errors: IntCounterVec,
    /// Profiles that this node knows.
    pub(crate) profiles: IntGauge,
}

impl Metrics {
    /// Registers the families.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            operations: IntCounterVec::new(
                Opts::new(
                    "security_profiles_operator_seccomp_profile_total",
                    "Counter about seccomp profile operations.",
                ),
                &["operation"],
            )?,
            errors: IntCounterVec::new(
                Opts::new(
                    "security_profiles_operator_seccomp_profile_error_total",
                    "Counter about seccomp profile errors.",
                ),
                &["reason"],
            )?,
            profiles: IntGauge::new(
                "security_profiles_operator_seccomp_profiles",
                "Number of seccomp profiles known to this node.",
            )?,
        };
        registry.register(Box::new(metrics.operations.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.profiles.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn count_operation(&self, operation: Operation) {
        self.operations
            .with_label_values(&[operation.as_str()])
            .inc();
    }

    pub(crate) fn count_error(&self, reason: &str) {
        self.errors.with_label_values(&[reason]).inc();
    }
}

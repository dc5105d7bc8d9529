//! The metric families of a node. Names, labels and help are public (contract 02, 10.2).

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use crate::profile::Operation;

/// What is counted about the profiles of one mechanism.
#[derive(Clone)]
pub(crate) struct Counters {
    operations: IntCounterVec,
    errors: IntCounterVec,
    /// Whether errors are counted by profile, too.
    by_profile: bool,
    /// Profiles that this node knows.
    pub(crate) profiles: IntGauge,
}

impl Counters {
    /// Registers the families of `mechanism`: `seccomp`, `selinux` or `apparmor`.
    pub(crate) fn register(
        registry: &Registry,
        mechanism: &str,
    ) -> Result<Self, prometheus::Error> {
        let family = |name: &str| format!("security_profiles_operator_{mechanism}_{name}");
        let by_profile = mechanism == "apparmor";
        let error_labels: &[&str] = if by_profile {
            &["profile", "reason"]
        } else {
            &["reason"]
        };
        let counters = Self {
            operations: IntCounterVec::new(
                Opts::new(
                    family("profile_total"),
                    format!("Counter about {mechanism} profile operations."),
                ),
                &["operation"],
            )?,
            errors: IntCounterVec::new(
                Opts::new(
                    family("profile_error_total"),
                    format!("Counter about {mechanism} profile errors."),
                ),
                error_labels,
            )?,
            by_profile,
            profiles: IntGauge::new(
                family("profiles"),
                format!("Number of {mechanism} profiles known to this node."),
            )?,
        };
        registry.register(Box::new(counters.operations.clone()))?;
        registry.register(Box::new(counters.errors.clone()))?;
        registry.register(Box::new(counters.profiles.clone()))?;
        Ok(counters)
    }

    pub(crate) fn count_operation(&self, operation: Operation) {
        self.operations
            .with_label_values(&[operation.as_str()])
            .inc();
    }

    pub(crate) fn count_error(&self, profile: &str, reason: &str) {
        let counter = if self.by_profile {
            self.errors.with_label_values(&[profile, reason])
        } else {
            self.errors.with_label_values(&[reason])
        };
        counter.inc();
    }
}

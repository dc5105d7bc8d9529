//! What the controllers of a process have done.
//!
//! A process has one set of controllers, and says one thing about them; so this is kept by the
//! process, as [`crate::reach`] is.

use std::sync::OnceLock;

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::queue::Outcome;

static FAMILIES: OnceLock<Families> = OnceLock::new();

struct Families {
    reconciles: IntCounterVec,
    waiting: IntGaugeVec,
    last_success: GaugeVec,
}

/// Registers the families. Nothing is counted before.
pub fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    let families = Families {
        reconciles: IntCounterVec::new(
            Opts::new(
                "security_profiles_operator_reconciles_total",
                "Counter about reconciles by how they ended.",
            ),
            &["controller", "outcome"],
        )?,
        waiting: IntGaugeVec::new(
            Opts::new(
                "security_profiles_operator_reconciles_waiting",
                "Number of objects that are to be reconciled, now or later.",
            ),
            &["controller"],
        )?,
        last_success: GaugeVec::new(
            Opts::new(
                "security_profiles_operator_last_successful_reconcile_timestamp_seconds",
                "Time of the last reconcile that did not fail, since unix epoch in seconds.",
            ),
            &["controller"],
        )?,
    };
    registry.register(Box::new(families.reconciles.clone()))?;
    registry.register(Box::new(families.waiting.clone()))?;
    registry.register(Box::new(families.last_success.clone()))?;
    // An error means that there are some already, which a process does not do.
    FAMILIES
        .set(families)
        .map_err(|_twice| prometheus::Error::AlreadyReg)
}

/// The series of one controller.
pub(super) struct Counters {
    name: String,
    reconciles: IntCounterVec,
    waiting: IntGauge,
    last_success: Gauge,
}

impl Counters {
    /// `None` where nothing is counted.
    pub(super) fn of(name: &str) -> Option<Self> {
        let families = FAMILIES.get()?;
        Some(Self {
            name: name.to_owned(),
            reconciles: families.reconciles.clone(),
            waiting: families.waiting.with_label_values(&[name]),
            last_success: families.last_success.with_label_values(&[name]),
        })
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let text = match outcome {
            Outcome::Settled => "settled",
            Outcome::Again(_) => "again",
            Outcome::Failed => "failed",
        };
        self.reconciles
            .with_label_values(&[self.name.as_str(), text])
            .inc();
        if outcome != Outcome::Failed {
            // Exact to the second: a float holds more, and nobody needs it.
            let now = jiff::Timestamp::now().as_second();
            self.last_success.set(now as f64);
        }
    }

    pub(super) fn set_waiting(&self, waiting: usize) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

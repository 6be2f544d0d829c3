//! Metrics of payments.

use std::sync::atomic::AtomicU64;

use chrono::Utc;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::providers::provider::{Outcome, RefundOutcome, Unknown};
use crate::store::{ChargeOutcome, TaskKind, TaskMetrics};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByCall {
    call: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByOutcome {
    call: &'static str,
    outcome: &'static str,
}

const UNKNOWN: &str = "unknown";

/// What was measured. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Metrics {
    asked: Family<ByOutcome, Counter>,
    waiting: Family<ByCall, Gauge>,
    oldest: Family<ByCall, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    /// Registers the metrics, with every series at zero: Prometheus sees an increase only in a series that was there before.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let made = Self::default();
        let asked = "What the payment provider was asked for, by outcome";
        registry.register("payment_calls", asked, made.asked.clone());
        let waiting = "What the payment provider is to be asked for, without an outcome yet";
        registry.register("payment_calls_waiting", waiting, made.waiting.clone());
        let oldest = "Age of the oldest of these in seconds; 0 if there is none";
        registry.register("payment_calls_oldest_seconds", oldest, made.oldest.clone());
        for kind in TaskKind::ALL {
            made.waiting(kind, TaskMetrics::default());
            let outcomes: &[&str] = match kind {
                TaskKind::Charge | TaskKind::Cancel => &["charged", "declined", "cancelled", UNKNOWN],
                TaskKind::Refund => &["refunded", "refused", UNKNOWN],
            };
            for outcome in outcomes {
                let _at_zero = made.asked.get_or_create(&ByOutcome { call: kind.as_str(), outcome });
            }
        }
        made
    }

    /// The provider was asked.
    pub(crate) fn asked(&self, kind: TaskKind, outcome: &Result<Outcome, Unknown>) {
        let outcome = match outcome {
            Ok(Outcome::Charge(ChargeOutcome::Charged)) => "charged",
            Ok(Outcome::Charge(ChargeOutcome::Declined)) => "declined",
            Ok(Outcome::Charge(ChargeOutcome::Cancelled)) => "cancelled",
            Ok(Outcome::Refund(RefundOutcome::Refunded)) => "refunded",
            Ok(Outcome::Refund(RefundOutcome::Refused)) => "refused",
            Err(_) => UNKNOWN,
        };
        self.asked.get_or_create(&ByOutcome { call: kind.as_str(), outcome }).inc();
    }

    /// What waits now.
    pub(crate) fn waiting(&self, kind: TaskKind, waiting: TaskMetrics) {
        let call = ByCall { call: kind.as_str() };
        self.waiting.get_or_create(&call).set(waiting.waiting);
        let age = waiting.oldest.map_or(0, |oldest| (Utc::now() - oldest).num_milliseconds().max(0));
        self.oldest.get_or_create(&call).set(age as f64 / 1000.0);
    }
}

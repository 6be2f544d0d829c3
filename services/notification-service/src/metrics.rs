//! Metrics of notifications.

use std::sync::atomic::AtomicU64;

use chrono::Utc;
use notification_service_api::Channel;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::outcome::Outcome;
use crate::store::Backlog;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByChannel {
    channel: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByOutcome {
    channel: &'static str,
    outcome: &'static str,
}

/// What was measured. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Metrics {
    attempts: Family<ByOutcome, Counter>,
    queued: Family<ByChannel, Gauge>,
    oldest: Family<ByChannel, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    /// Registers the metrics, with every series at zero: Prometheus sees an increase only in a series that was there before.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let made = Self::default();
        registry.register(
            "notification_attempts",
            "Attempts to send a notification, by channel and outcome",
            made.attempts.clone(),
        );
        registry.register("notifications_queued", "Notifications that wait to be sent", made.queued.clone());
        registry.register(
            "notifications_oldest_seconds",
            "Age of the oldest notification that waits to be sent",
            made.oldest.clone(),
        );
        for channel in Channel::ALL {
            for outcome in Outcome::LABELS {
                drop(made.attempts.get_or_create(&ByOutcome { channel: channel.as_str(), outcome }));
            }
            made.backlog(channel, Backlog::default());
        }
        made
    }

    /// Counts an attempt on `channel`.
    pub(crate) fn attempted(&self, channel: Channel, outcome: &Outcome) {
        self.attempts.get_or_create(&ByOutcome { channel: channel.as_str(), outcome: outcome.label() }).inc();
    }

    /// Takes what waits on `channel`.
    pub(crate) fn backlog(&self, channel: Channel, backlog: Backlog) {
        let labels = ByChannel { channel: channel.as_str() };
        let age = backlog.oldest.map(|oldest| (Utc::now() - oldest).as_seconds_f64().max(0.0));
        self.queued.get_or_create(&labels).set(backlog.queued);
        self.oldest.get_or_create(&labels).set(age.unwrap_or_default());
    }
}

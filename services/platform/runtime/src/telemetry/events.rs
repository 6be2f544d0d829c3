//! Metrics and spans of events.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use chrono::{DateTime, Utc};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::trace::TraceContext;

use super::spans::{Span, Spans};

/// Seconds. An event is handled by one transaction; longer means that it waits for a database or a service.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What was measured of the events of a service. Clones share it.
#[derive(Clone)]
pub(crate) struct EventMetrics {
    published: Family<Type, Counter>,
    handled: Family<Type, Histogram, fn() -> Histogram>,
    redelivered: Family<Type, Counter>,
    retried: Family<Type, Counter>,
    dead: Family<Type, Counter>,
    /// Events that came again after they were handled.
    pub(crate) duplicates: Counter,
    rows: Gauge,
    oldest: Gauge<f64, AtomicU64>,
    spans: Spans,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Type {
    r#type: String,
}

impl EventMetrics {
    /// Registers the metrics.
    pub(super) fn new(registry: &mut Registry, spans: Spans) -> Self {
        let made = Self {
            published: Family::default(),
            handled: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            redelivered: Family::default(),
            retried: Family::default(),
            dead: Family::default(),
            duplicates: Counter::default(),
            rows: Gauge::default(),
            oldest: Gauge::default(),
            spans,
        };
        registry.register("events_published", "Events that the transport has confirmed", made.published.clone());
        registry.register(
            "event_handling_duration_seconds",
            "Duration of handling an event to its end, retries included",
            made.handled.clone(),
        );
        registry.register("events_redelivered", "Events delivered before", made.redelivered.clone());
        registry.register("event_retries", "Repeated attempts to handle an event", made.retried.clone());
        registry.register("events_dead", "Events moved to the dead letters", made.dead.clone());
        registry.register("events_duplicate", "Events that were handled already", made.duplicates.clone());
        registry.register("outbox_rows", "Events that wait to be published", made.rows.clone());
        registry.register("outbox_oldest_seconds", "Age of the oldest event that waits", made.oldest.clone());
        made
    }

    /// Starts the series of the types that the service publishes and consumes at zero. Prometheus sees an increase only in
    /// a series that was there before: not the first dead letter, otherwise.
    pub(crate) fn begin<'a>(&self, published: impl Iterator<Item = &'a str>, consumed: impl Iterator<Item = &'a str>) {
        for name in published {
            drop(self.published.get_or_create(&Type { r#type: name.to_owned() }));
        }
        for name in consumed {
            let labels = Type { r#type: name.to_owned() };
            drop(self.handled.get_or_create(&labels));
            for counter in [&self.redelivered, &self.retried, &self.dead] {
                drop(counter.get_or_create(&labels));
            }
        }
    }

    /// Takes the size of the outbox, and the time of its oldest event.
    pub(crate) fn outbox(&self, rows: i64, oldest: Option<DateTime<Utc>>) {
        self.rows.set(rows);
        let age = oldest.map(|oldest| (Utc::now() - oldest).as_seconds_f64().max(0.0));
        self.oldest.set(age.unwrap_or_default());
    }

    pub(crate) fn published(&self, r#type: &str) {
        self.published.get_or_create(&Type { r#type: r#type.to_owned() }).inc();
    }

    pub(crate) fn redelivered(&self, r#type: &str) {
        self.redelivered.get_or_create(&Type { r#type: r#type.to_owned() }).inc();
    }

    pub(crate) fn retried(&self, r#type: &str) {
        self.retried.get_or_create(&Type { r#type: r#type.to_owned() }).inc();
    }

    pub(crate) fn dead(&self, r#type: &str) {
        self.dead.get_or_create(&Type { r#type: r#type.to_owned() }).inc();
    }

    /// Ends the handling of an event that began at `began`.
    pub(crate) fn ended(&self, r#type: &str, trace: &TraceContext, began: Instant, dead: bool) {
        let duration = began.elapsed();
        if dead {
            self.dead(r#type);
        }
        self.handled.get_or_create(&Type { r#type: r#type.to_owned() }).observe(duration.as_secs_f64());
        if self.spans.are_exported() {
            let name = format!("handle {}", r#type);
            let attributes = vec![
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", r#type.to_owned()),
            ];
            self.spans.export(Span { trace, kind: SpanKind::Consumer, name, duration, failed: dead, attributes });
        }
    }
}

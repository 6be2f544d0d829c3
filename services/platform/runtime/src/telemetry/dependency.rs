//! Metrics and spans of calls to other services.

use std::fmt;
use std::time::Instant;

use client_policy::{Circuit, Snapshot};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::trace::TraceContext;

use super::encode::Encode;
use super::spans::{Span, Spans};

/// Seconds. A healthy service on the same network answers in a few milliseconds, and by default a call times out after
/// 900 ms; a mail server may take a minute.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 10.0, 60.0];

/// The outcome of a call that was dropped before it ended, for example at the deadline of its request.
const ABANDONED: &str = "abandoned";

pub(super) type CallDurations = Family<CallLabels, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CallLabels {
    dependency: &'static str,
    outcome: &'static str,
}

pub(super) fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// A service that this one calls.
#[derive(Clone)]
pub struct DependencyCalls {
    name: &'static str,
    durations: CallDurations,
    spans: Spans,
}

/// A call in progress. It is recorded when it [succeeds](Self::succeed), [fails](Self::fail) or is dropped.
pub struct Call {
    /// The trace context of the call; its headers go to the other service.
    pub trace: TraceContext,
    dependency: DependencyCalls,
    operation: &'static str,
    started: Instant,
    outcome: &'static str,
    failed: bool,
}

impl DependencyCalls {
    pub(super) fn new(name: &'static str, durations: CallDurations, spans: Spans) -> Self {
        Self { name, durations, spans }
    }

    /// Starts the series of successful calls at zero.
    pub(super) fn at_zero(self) -> Self {
        drop(self.durations.get_or_create(&CallLabels { dependency: self.name, outcome: "success" }));
        self
    }

    /// Starts a call of `operation` for the request in `trace`.
    pub fn begin(&self, operation: &'static str, trace: &TraceContext) -> Call {
        let (trace, dependency, started) = (trace.child(), self.clone(), Instant::now());
        Call { trace, dependency, operation, started, outcome: ABANDONED, failed: true }
    }
}

impl Call {
    /// Ends the call as answered. `outcome` is a metric label: use a small, fixed set.
    pub fn succeed(mut self, outcome: &'static str) {
        self.outcome = outcome;
        self.failed = false;
    }

    /// Ends the call as failed. `outcome` is a metric label: use a small, fixed set.
    pub fn fail(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let DependencyCalls { name, durations, spans } = &self.dependency;
        let duration = self.started.elapsed();
        durations
            .get_or_create(&CallLabels { dependency: name, outcome: self.outcome })
            .observe(duration.as_secs_f64());
        if !spans.are_exported() {
            return;
        }
        spans.export(Span {
            trace: &self.trace,
            kind: SpanKind::Client,
            name: format!("{name} {}", self.operation),
            duration,
            failed: self.failed,
            attributes: vec![
                KeyValue::new("peer.service", *name),
                KeyValue::new("operation", self.operation),
                KeyValue::new("outcome", self.outcome),
            ],
        });
    }
}

type ReadSnapshot = Box<dyn Fn() -> Option<Snapshot> + Send + Sync>;

/// The client counters of all dependencies, read on each scrape.
#[derive(Default)]
pub(super) struct AttemptMetrics(pub(super) Vec<(&'static str, ReadSnapshot)>);

impl fmt::Debug for AttemptMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Collector for AttemptMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = self.0.iter().filter_map(|(name, read)| Some(([("dependency", *name)], read()?))).collect();
        macro_rules! each {
            (|$seen:ident| $value:expr) => {
                all.iter().map(|(labels, $seen)| (labels.as_slice(), $value))
            };
        }
        let refused: Vec<_> = all
            .iter()
            .flat_map(|([dependency], seen)| {
                [("circuit_open", seen.short_circuited), ("too_many_calls", seen.shed)]
                    .map(|(reason, calls)| ([*dependency, ("reason", reason)], calls))
            })
            .collect();
        encoder.counters("dependency_calls", "Calls, including refused ones.", each!(|seen| seen.calls))?;
        encoder.counters("dependency_attempts", "Requests sent.", each!(|seen| seen.attempts))?;
        encoder.counters(
            "dependency_retries",
            "Requests sent after the first one of a call.",
            each!(|seen| seen.retries),
        )?;
        encoder.counters(
            "dependency_calls_refused",
            "Calls refused by the client policy.",
            refused.iter().map(|(labels, calls)| (labels.as_slice(), *calls)),
        )?;
        encoder.gauges("dependency_active_attempts", "Requests in flight.", each!(|seen| seen.in_flight))?;
        encoder.gauges(
            "dependency_active_attempts_limit",
            "The maximum number of requests in flight.",
            each!(|seen| seen.concurrency),
        )?;
        encoder.gauges(
            "dependency_circuit_open",
            "1 while the circuit is open.",
            each!(|seen| i64::from(seen.circuit == Circuit::Open)),
        )
    }
}

//! Calls to other services.

use std::fmt;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;

use crate::trace::TraceContext;

use super::Encode;
use super::spans::{Span, Spans};

/// Seconds. A healthy service next door answers in a few milliseconds; nobody waits longer than two seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

/// How a call ended that was given up before it did: its request ran out of time.
const ABANDONED: &str = "abandoned";

pub(super) type Durations = Family<CallLabels, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CallLabels {
    dependency: &'static str,
    outcome: &'static str,
}

pub(super) fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// Another service that this one calls.
#[derive(Clone, Debug)]
pub struct Dependency {
    name: &'static str,
    durations: Durations,
    spans: Spans,
}

/// A call that is being made, until it [succeeds](Self::succeed), [fails](Self::fail), or is dropped.
#[derive(Debug)]
pub struct Call {
    /// Where the call stands in its trace: its headers are for the other service.
    pub trace: TraceContext,
    dependency: Dependency,
    operation: &'static str,
    began: Instant,
    outcome: &'static str,
    failed: bool,
}

impl Dependency {
    pub(super) fn new(name: &'static str, durations: Durations, spans: Spans) -> Self {
        Self { name, durations, spans }
    }

    /// Begins a call of `operation` that is made in the context `trace`.
    pub fn begin(&self, operation: &'static str, trace: &TraceContext) -> Call {
        let (trace, dependency, began) = (trace.child(), self.clone(), Instant::now());
        Call { trace, dependency, operation, began, outcome: ABANDONED, failed: true }
    }
}

impl Call {
    /// Says that it was answered, and how: one of a few words, for it is a label.
    pub fn succeed(mut self, outcome: &'static str) {
        self.outcome = outcome;
        self.failed = false;
    }

    /// Says why it failed: one of a few words, for it is a label.
    pub fn fail(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Dependency { name, durations, spans } = &self.dependency;
        let took = self.began.elapsed();
        durations.get_or_create(&CallLabels { dependency: name, outcome: self.outcome }).observe(took.as_secs_f64());
        if !spans.are_sent() {
            return;
        }
        spans.add(Span {
            trace: &self.trace,
            kind: SpanKind::Client,
            name: format!("{name} {}", self.operation),
            took,
            failed: self.failed,
            attributes: vec![
                KeyValue::new("peer.service", *name),
                KeyValue::new("operation", self.operation),
                KeyValue::new("outcome", self.outcome),
            ],
        });
    }
}

/// What the client of another service has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Calls, refused ones included.
    pub calls: u64,
    /// Requests sent.
    pub attempts: u64,
    /// Requests sent after the first of a call.
    pub retries: u64,
    /// Calls not made because the circuit was open.
    pub refused_circuit_open: u64,
    /// Calls not made because too many were under way.
    pub refused_too_many: u64,
    /// Requests under way now.
    pub in_flight: usize,
    /// The most requests under way at a time.
    pub in_flight_limit: usize,
    /// Whether only probes are let through.
    pub circuit_open: bool,
}

type Ask = Box<dyn Fn() -> Attempts + Send + Sync>;

/// Those of all dependencies.
#[derive(Default)]
pub(super) struct AllAttempts(pub(super) Vec<(&'static str, Ask)>);

impl fmt::Debug for AllAttempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Collector for AllAttempts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = self.0.iter().map(|(name, ask)| ([("dependency", *name)], ask())).collect();
        macro_rules! each {
            ($value:expr) => {
                all.iter().map(|(labels, attempts)| (labels.as_slice(), $value(attempts)))
            };
        }
        let refused: Vec<_> = self
            .0
            .iter()
            .zip(&all)
            .flat_map(|((name, _), (_, attempts))| {
                [("circuit_open", attempts.refused_circuit_open), ("too_many_calls", attempts.refused_too_many)]
                    .map(|(reason, number)| ([("dependency", *name), ("reason", reason)], number))
            })
            .collect();
        encoder.counters("dependency_calls", "Calls, refused ones included.", each!(|a: &Attempts| a.calls))?;
        encoder.counters("dependency_attempts", "Requests sent.", each!(|a: &Attempts| a.attempts))?;
        encoder.counters("dependency_retries", "Requests sent again.", each!(|a: &Attempts| a.retries))?;
        encoder.counters(
            "dependency_calls_refused",
            "Calls not made.",
            refused.iter().map(|(labels, number)| (labels.as_slice(), *number)),
        )?;
        encoder.gauges("dependency_active_attempts", "Requests under way.", each!(|a: &Attempts| a.in_flight))?;
        encoder.gauges(
            "dependency_active_attempts_limit",
            "The most requests under way at a time.",
            each!(|a: &Attempts| a.in_flight_limit),
        )?;
        encoder.gauges(
            "dependency_circuit_open",
            "1 while only probes are let through.",
            each!(|a: &Attempts| i64::from(a.circuit_open)),
        )
    }
}

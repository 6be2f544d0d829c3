//! What became of a run on one kind of platform.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use harness::measurements::{Counts, Latencies, ms, short};

use super::books::Books;
use super::faults::Step;
use crate::customers::Ordered;

/// The figures.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) faults: Counts,
    pub(super) kills: usize,
    /// How many events waited for the first queue.
    pub(super) unroutable: usize,
    /// Orders and events while there was no way to publish, and how long it took to handle them afterwards.
    pub(super) backlog: Option<(usize, usize, Duration)>,
    /// From the acknowledgement of an order until its reservation is bound, while nothing else happens.
    pub(super) latency: Latencies,
    /// How many events were published again, and how many were recognised.
    pub(super) repeated: (u64, u64),
    /// The ids of what can never be handled.
    pub(super) poison: BTreeSet<String>,
    pub(super) dead_letters: BTreeSet<String>,
    pub(super) books: Books,
    failures: Counts,
    given_up: Counts,
}

impl Outcome {
    pub(super) fn suffered(&mut self, step: &Step) {
        self.faults.add(format!("{:?}", step.fault));
        self.kills += 1 + usize::from(step.during.is_some());
    }

    pub(super) fn ordered(&mut self, ordered: Ordered) {
        self.failures.merge(ordered.failures);
        self.given_up.merge(ordered.given_up);
    }

    /// Why the promise is broken, if it is.
    pub(super) fn failures(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let mut failures: Vec<_> = self.books.wrong.iter().take(SHOWN).cloned().collect();
        if self.given_up.total() > 0 {
            failures.push(format!("requests were given up: {}", self.given_up));
        }
        if self.dead_letters != self.poison {
            let (dead, poison) = (&self.dead_letters, &self.poison);
            failures.push(format!("the dead letters are {dead:?}, the poison is {poison:?}"));
        }
        let (repeated, recognised) = self.repeated;
        if recognised < repeated {
            failures.push(format!("{recognised} of {repeated} repeated events are recognised"));
        }
        failures
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, kills, unroutable, books, poison, failures, .. } = self;
        write!(f, "{kills} kills of services; of the broker: {faults}; {books}")?;
        if *unroutable > 0 {
            write!(f, "; {unroutable} events waited for the first queue")?;
        }
        if let Some((orders, events, duration)) = self.backlog {
            let seconds = duration.as_secs_f64();
            let rate = short(events as f64 / seconds);
            write!(f, "; a backlog of {orders} orders, {events} events, handled in {seconds:.1} s ({rate}/s)")?;
        }
        let [half, most] = [50.0, 99.0].map(|percent| ms(self.latency.percentile(percent)));
        write!(f, "; idle, an order is bound {half} after its 201 (p99 {most})")?;
        let (repeated, recognised) = self.repeated;
        write!(f, "; {repeated} events published again, {recognised} recognised")?;
        write!(f, "; {} poisoned; attempts repeated after: {failures}", poison.len())
    }
}

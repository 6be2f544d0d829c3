//! The circuit breaker: stops calls to a failing service, except for one probe a second.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::window::Window;

/// Consecutive failures that open the circuit. One attempt may serve a hundred callers, so a larger number would take too
/// long to reach.
const MAX_CONSECUTIVE_FAILURES: u32 = 10;
/// With at least this many attempts within ten seconds, the circuit opens when half of them failed.
const MIN_ATTEMPTS: u32 = 20;
/// From opening to the first probe, and between probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Delay after a probe whose outcome says nothing about the service.
const INCONCLUSIVE_PROBE_DELAY: Duration = Duration::from_millis(50);

/// Whether attempts are admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Circuit {
    /// All attempts are admitted.
    Closed,
    /// One attempt a second is admitted, as a probe; a success closes the circuit.
    Open,
}

/// An admitted attempt. One that is never recorded, because its call was dropped, changes nothing.
#[must_use]
#[derive(Debug)]
pub(crate) struct Admitted {
    period: u64,
}

/// Callers pass the time, so tests need no clock.
#[derive(Debug)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Counts transitions: an attempt of an earlier period says nothing about this one.
    period: u64,
    consecutive_failures: u32,
    /// Attempts and failures.
    window: Window,
    /// Set while the circuit is open: when the next attempt is admitted.
    next_probe: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { period: 0, consecutive_failures: 0, window: Window::new(now), next_probe: None }))
    }

    pub(crate) fn circuit(&self) -> Circuit {
        if self.state().next_probe.is_some() { Circuit::Open } else { Circuit::Closed }
    }

    /// Whether [`Self::admit`] would refuse now.
    pub(crate) fn refuses(&self, now: Instant) -> bool {
        self.state().next_probe.is_some_and(|next| now < next)
    }

    /// Admits an attempt, or refuses it.
    pub(crate) fn admit(&self, now: Instant) -> Option<Admitted> {
        let mut state = self.state();
        if let Some(next_probe) = &mut state.next_probe {
            if now < *next_probe {
                return None;
            }
            // Set the next probe now: this one may be dropped without an outcome.
            *next_probe = now + PROBE_INTERVAL;
        }
        Some(Admitted { period: state.period })
    }

    /// Discards an attempt that says nothing about the service; another probe follows soon.
    pub(crate) fn forget(&self, admitted: Admitted, now: Instant) {
        let mut state = self.state();
        if admitted.period == state.period
            && let Some(next_probe) = &mut state.next_probe
        {
            *next_probe = (*next_probe).min(now + INCONCLUSIVE_PROBE_DELAY);
        }
    }

    /// Records the outcome of an attempt; returns the new state if it changed.
    pub(crate) fn record(&self, admitted: Admitted, succeeded: bool, now: Instant) -> Option<Circuit> {
        let mut state = self.state();
        if admitted.period != state.period {
            return None;
        }
        if state.next_probe.is_some() {
            if !succeeded {
                return None;
            }
            *state =
                State { period: state.period + 1, consecutive_failures: 0, window: Window::new(now), next_probe: None };
            return Some(Circuit::Closed);
        }
        state.window.add((1, u32::from(!succeeded)), now);
        state.consecutive_failures = if succeeded { 0 } else { state.consecutive_failures + 1 };
        let (attempts, failures) = state.window.sums(now);
        let half_failed = attempts >= MIN_ATTEMPTS && failures * 2 >= attempts;
        if succeeded || !(half_failed || state.consecutive_failures >= MAX_CONSECUTIVE_FAILURES) {
            return None;
        }
        state.period += 1;
        state.next_probe = Some(now + PROBE_INTERVAL);
        Some(Circuit::Open)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

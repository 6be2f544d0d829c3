//! The circuit breaker: a dependency that fails is left alone, but for a probe a second.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::window::Window;

/// So many failures in a row open the circuit. An attempt may ask for a hundred callers, so more would take long to come.
const FAILURES_IN_A_ROW: u32 = 10;
/// With at least so many attempts within ten seconds, the circuit opens when half of them failed.
const ATTEMPTS_TO_JUDGE: u32 = 20;
/// From the opening to the first probe, and from one probe to the next.
const BETWEEN_PROBES: Duration = Duration::from_secs(1);
/// How long it is left alone after a probe that proved nothing.
const AFTER_NO_PROOF: Duration = Duration::from_millis(50);

/// Whether attempts are let through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Circuit {
    /// All are.
    Closed,
    /// One a second is, as a probe: if it succeeds the circuit closes.
    Open,
}

/// An attempt that was let through. One that is never recorded, because its call was dropped, changes nothing.
#[must_use]
#[derive(Debug)]
pub(super) struct Permit {
    period: u64,
}

/// Times are given to it, so that tests need no clock.
#[derive(Debug)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Counts openings and closings: what began in another period says nothing about this one.
    period: u64,
    failures_in_a_row: u32,
    /// Attempts, and failures among them.
    window: Window,
    /// When the circuit is open: the time from which the next attempt is let through.
    next_probe: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { period: 0, failures_in_a_row: 0, window: Window::new(now), next_probe: None }))
    }

    pub(super) fn circuit(&self) -> Circuit {
        if self.state().next_probe.is_some() { Circuit::Open } else { Circuit::Closed }
    }

    /// Whether [`Self::admit`] would let nothing through now.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.state().next_probe.is_some_and(|next| now < next)
    }

    /// Lets an attempt through, or not.
    pub(super) fn admit(&self, now: Instant) -> Option<Permit> {
        let mut state = self.state();
        if let Some(next_probe) = &mut state.next_probe {
            if now < *next_probe {
                return None;
            }
            // Whatever becomes of this probe, even nothing, there is another in a second.
            *next_probe = now + BETWEEN_PROBES;
        }
        Some(Permit { period: state.period })
    }

    /// Takes note of an attempt that says nothing of the dependency: its turn to probe goes to another, soon.
    pub(super) fn forget(&self, permit: Permit, now: Instant) {
        let mut state = self.state();
        if permit.period == state.period
            && let Some(next_probe) = &mut state.next_probe
        {
            *next_probe = (*next_probe).min(now + AFTER_NO_PROOF);
        }
    }

    /// Takes note of how an attempt ended; gives the new state if that changed it.
    pub(super) fn record(&self, permit: Permit, succeeded: bool, now: Instant) -> Option<Circuit> {
        let mut state = self.state();
        if permit.period != state.period {
            return None;
        }
        if state.next_probe.is_some() {
            if !succeeded {
                return None;
            }
            *state =
                State { period: state.period + 1, failures_in_a_row: 0, window: Window::new(now), next_probe: None };
            return Some(Circuit::Closed);
        }
        state.window.add((1, u32::from(!succeeded)), now);
        state.failures_in_a_row = if succeeded { 0 } else { state.failures_in_a_row + 1 };
        let (attempts, failures) = state.window.sums(now);
        let half_failed = attempts >= ATTEMPTS_TO_JUDGE && failures * 2 >= attempts;
        if succeeded || !(half_failed || state.failures_in_a_row >= FAILURES_IN_A_ROW) {
            return None;
        }
        state.period += 1;
        state.next_probe = Some(now + BETWEEN_PROBES);
        Some(Circuit::Open)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: f64) -> Duration {
        Duration::from_secs_f64(number)
    }

    /// A breaker and the time of its making.
    fn closed() -> (Breaker, Instant) {
        let start = Instant::now();
        (Breaker::new(start), start)
    }

    fn attempt(breaker: &Breaker, succeeded: bool, now: Instant) -> Option<Circuit> {
        let permit = breaker.admit(now).expect("let through");
        breaker.record(permit, succeeded, now)
    }

    /// A breaker that opened at the time given with it.
    fn open() -> (Breaker, Instant) {
        let (breaker, start) = closed();
        for _ in 1..FAILURES_IN_A_ROW {
            assert_eq!(attempt(&breaker, false, start), None);
        }
        assert_eq!(attempt(&breaker, false, start), Some(Circuit::Open));
        (breaker, start)
    }

    #[test]
    fn ten_failures_in_a_row_open_it_however_far_apart() {
        let (breaker, start) = closed();
        for number in 1..10 {
            assert_eq!(attempt(&breaker, false, start + seconds(60.0) * number), None);
        }
        assert_eq!(attempt(&breaker, false, start + seconds(60.0) * 10), Some(Circuit::Open));
        assert_eq!(breaker.circuit(), Circuit::Open);
    }

    #[test]
    fn a_success_begins_the_row_anew() {
        let (breaker, start) = closed();
        for number in 0..100 {
            // More than half succeed, so that only the row could open it.
            let now = start + seconds(60.0) * number;
            assert_eq!(attempt(&breaker, number % 10 == 0, now), None, "{number}");
        }
    }

    #[test]
    fn half_of_at_least_twenty_attempts_within_ten_seconds_open_it() {
        let (breaker, start) = closed();
        for _ in 0..9 {
            assert_eq!(attempt(&breaker, false, start), None);
            assert_eq!(attempt(&breaker, true, start), None);
        }
        // More than half of nineteen.
        assert_eq!(attempt(&breaker, false, start), None);
        assert_eq!(attempt(&breaker, false, start + seconds(9.9)), Some(Circuit::Open));
    }

    #[test]
    fn less_than_half_does_not_open_it() {
        let (breaker, start) = closed();
        for number in 0..1000 {
            let now = start + seconds(0.01) * number;
            // Two of five fail.
            assert_eq!(attempt(&breaker, number % 5 > 1, now), None, "{number}");
        }
    }

    #[test]
    fn what_is_older_than_ten_seconds_does_not_count() {
        // The next failure would open it: half of twenty failed, and only a failure looks.
        for (silence, circuit) in
            [(0.0, Circuit::Open), (9.0, Circuit::Open), (10.0, Circuit::Closed), (1e6, Circuit::Closed)]
        {
            let (breaker, start) = closed();
            for _ in 0..10 {
                assert_eq!(attempt(&breaker, false, start), None);
                assert_eq!(attempt(&breaker, true, start), None);
            }
            attempt(&breaker, false, start + seconds(silence));
            assert_eq!(breaker.circuit(), circuit, "{silence}");
        }
    }

    #[test]
    fn while_it_is_open_one_probe_a_second_goes_through() {
        let (breaker, opened) = open();
        let mut probes = Vec::new();
        for tenth in 0..=45 {
            let now = opened + Duration::from_millis(100) * tenth;
            assert_eq!(breaker.refuses(now), tenth == 0 || tenth % 10 != 0, "{tenth}");
            // Many at once.
            for _ in 0..5 {
                if let Some(permit) = breaker.admit(now) {
                    probes.push(tenth);
                    assert_eq!(breaker.record(permit, false, now), None);
                }
            }
        }
        assert_eq!(probes, [10, 20, 30, 40]);
    }

    #[test]
    fn a_probe_that_succeeds_closes_it_and_the_past_is_forgotten() {
        let (breaker, opened) = open();
        let now = opened + seconds(1.0);
        assert_eq!(attempt(&breaker, true, now), Some(Circuit::Closed));
        assert_eq!(breaker.circuit(), Circuit::Closed);
        for _ in 1..FAILURES_IN_A_ROW {
            assert_eq!(attempt(&breaker, false, now), None);
        }
        assert_eq!(attempt(&breaker, false, now), Some(Circuit::Open));
    }

    #[test]
    fn a_probe_that_proves_nothing_gives_its_turn_to_another() {
        let (breaker, opened) = open();
        let probe = breaker.admit(opened + seconds(1.0)).unwrap();
        breaker.forget(probe, opened + seconds(1.1));
        assert!(breaker.admit(opened + seconds(1.14)).is_none());
        assert!(breaker.admit(opened + seconds(1.15)).is_some());
        assert!(breaker.admit(opened + seconds(1.16)).is_none(), "again one a second");
    }

    #[test]
    fn a_probe_that_is_dropped_does_not_leave_it_stuck() {
        let (breaker, opened) = open();
        drop(breaker.admit(opened + seconds(1.0)).expect("the probe"));
        assert!(breaker.admit(opened + seconds(1.9)).is_none());
        assert_eq!(attempt(&breaker, true, opened + seconds(2.0)), Some(Circuit::Closed));
    }

    #[test]
    fn what_began_before_it_opened_or_closed_does_not_count() {
        let (breaker, start) = closed();
        let early = breaker.admit(start).expect("let through");
        let late = breaker.admit(start).expect("let through");
        for _ in 0..FAILURES_IN_A_ROW {
            attempt(&breaker, false, start);
        }
        assert_eq!(breaker.record(early, true, start), None);
        assert_eq!(breaker.circuit(), Circuit::Open);
        let (first, second) = (breaker.admit(start + seconds(1.0)), breaker.admit(start + seconds(2.0)));
        assert_eq!(breaker.record(first.expect("a probe"), true, start + seconds(2.5)), Some(Circuit::Closed));
        assert_eq!(breaker.record(second.expect("another"), true, start + seconds(2.5)), None);
        assert_eq!(breaker.record(late, false, start + seconds(2.5)), None);
        assert_eq!(breaker.circuit(), Circuit::Closed);
    }
}

//! The retry budget: retries must not keep a struggling service down.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::window::Window;

/// Calls that allow one retry.
const CALLS_PER_RETRY: u32 = 10;
/// Retries that are always allowed: as many as a single call needs.
const MIN_RETRIES: u32 = 2;

/// The calls and retries of the last ten seconds.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Window>);

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Window::new(now)))
    }

    pub(crate) fn add_call(&self, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add((1, 0), now);
    }

    /// Takes one retry from the budget; `false` if it is used up.
    pub(crate) fn take_retry(&self, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, retries) = window.sums(now);
        // The maximum, not the sum: a busy client stays within its share.
        let allowed = (calls / CALLS_PER_RETRY).max(MIN_RETRIES);
        if retries >= allowed {
            return false;
        }
        window.add((0, 1), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn retries(budget: &Budget, now: Instant) -> usize {
        (0..1000).filter(|_| budget.take_retry(now)).count()
    }

    #[test]
    fn two_retries_in_ten_seconds_are_always_allowed() {
        let start = Instant::now();
        let budget = Budget::new(start);
        for (seconds, allowed) in [(0, 2), (5, 0), (9, 0), (10, 2), (19, 0), (100, 2)] {
            assert_eq!(retries(&budget, start + Duration::from_secs(seconds)), allowed, "{seconds}");
        }
    }

    #[test]
    fn a_busy_client_retries_at_most_a_tenth_of_its_calls() {
        let start = Instant::now();
        let budget = Budget::new(start);
        for _ in 0..509 {
            budget.add_call(start);
        }
        assert_eq!(retries(&budget, start), 50);
        assert_eq!(retries(&budget, start + Duration::from_secs(10)), 2, "old calls add nothing");
    }
}

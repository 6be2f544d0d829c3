//! How many retries there may be, whatever fails: they must not be what keeps a struggling service down.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::window::Window;

/// One retry for so many calls.
const CALLS_FOR_A_RETRY: u32 = 10;
/// So many retries are allowed lately in any case: all that a lone call can need.
const LEAST: u32 = 2;

/// The calls and the retries lately.
#[derive(Debug)]
pub(super) struct Budget(Mutex<Window>);

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Window::new(now)))
    }

    pub(super) fn add_call(&self, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add((1, 0), now);
    }

    /// Whether there may be another retry; counts it if so.
    pub(super) fn take_retry(&self, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, retries) = window.sums(now);
        // The greater of both, not their sum: a busy client keeps to the share.
        let allowed = (calls / CALLS_FOR_A_RETRY).max(LEAST);
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
    fn two_in_ten_seconds_are_allowed_in_any_case() {
        let start = Instant::now();
        let budget = Budget::new(start);
        for (seconds, allowed) in [(0, 2), (5, 0), (9, 0), (10, 2), (19, 0), (100, 2)] {
            assert_eq!(retries(&budget, start + Duration::from_secs(seconds)), allowed, "{seconds}");
        }
    }

    #[test]
    fn a_busy_client_keeps_to_a_tenth() {
        let start = Instant::now();
        let budget = Budget::new(start);
        for _ in 0..509 {
            budget.add_call(start);
        }
        assert_eq!(retries(&budget, start), 50);
        assert_eq!(retries(&budget, start + Duration::from_secs(10)), 2, "calls of long ago give nothing");
    }
}

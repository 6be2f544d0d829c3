//! Pauses a channel while what it needs does not work, so that it is not asked in vain for each message.

use std::time::{Duration, Instant};

/// So many messages that failed in a row are not to blame.
const FAILURES: u32 = 3;
/// The first pause; it doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What the last attempts on a channel have shown of its server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outage {
    failures: u32,
    /// The message that failed last.
    last: Option<i64>,
    paused_until: Option<Instant>,
}

impl Outage {
    /// The server has taken a message, or has refused it for a reason of the message.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// The server did not work at the time `now` for the message with this id. What was already under way during a pause says
    /// nothing new, and neither does a message that fails again: it may be to blame after all. Returns the pause that begins.
    pub(crate) fn failed(&mut self, message: i64, now: Instant) -> Option<Duration> {
        if self.paused_until.is_some_and(|until| now < until) || self.last.replace(message) == Some(message) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.checked_sub(FAILURES)?;
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(MAX_PAUSE);
        self.paused_until = Some(now + pause);
        Some(pause)
    }

    /// Whether the server is only being tried, by one message at a time.
    pub(crate) fn is_tried(&self) -> bool {
        self.failures >= FAILURES
    }

    /// When the current pause ends, if there is one at the time `now`.
    pub(crate) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_pauses_from_the_third_failure_in_a_row_and_longer_each_time() {
        let (mut outage, mut now) = (Outage::default(), Instant::now());
        assert_eq!((outage.failed(1, now), outage.failed(2, now)), (None, None));
        for (message, expected) in (3..).zip([1, 2, 4, 8, 16, 30, 30]) {
            assert_eq!(outage.failed(message, now), Some(Duration::from_secs(expected)));
            // What was under way.
            assert_eq!(outage.failed(0, now), None);
            now = outage.paused_until(now).unwrap();
            assert!(outage.paused_until(now).is_none() && outage.is_tried());
        }
    }

    #[test]
    fn a_failure_between_successes_pauses_nothing() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!((outage.failed(1, now), outage.failed(2, now)), (None, None));
            outage.answered();
        }
        assert!(!outage.is_tried());
    }

    #[test]
    fn one_message_that_fails_again_and_again_pauses_nothing() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(outage.failed(7, now), None);
        }
        assert!(!outage.is_tried());
    }
}

//! How long to wait before what failed is tried again.

use std::time::Duration;

/// The first pause.
const MIN: Duration = Duration::from_millis(100);
/// The longest one.
const MAX: Duration = Duration::from_secs(5);

/// Pauses that double from 100 ms to 5 s, each up to half shorter by chance: what failed together does not try again
/// together.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(MIN)
    }

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0.mul_f64(1.0 - fastrand::f64() / 2.0);
        self.0 = (self.0 * 2).min(MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let mut backoff = Backoff::new();
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let (pause, expected) = (backoff.next(), Duration::from_millis(expected));
            assert!(pause <= expected && pause >= expected / 2, "{pause:?} of {expected:?}");
        }
    }
}

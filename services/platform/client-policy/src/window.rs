//! A sliding window: two counters over the last ten seconds.

use std::time::Instant;

/// The length of the window in seconds.
const SLOTS: usize = 10;

#[derive(Debug)]
pub(crate) struct Window {
    start: Instant,
    /// The newest slot's second since `start`.
    newest: u64,
    slots: [(u32, u32); SLOTS],
}

impl Window {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, newest: 0, slots: Default::default() }
    }

    /// Adds to both counters.
    pub(crate) fn add(&mut self, both: (u32, u32), now: Instant) {
        self.expire(now);
        let slot = self.slot(self.newest);
        *slot = (slot.0 + both.0, slot.1 + both.1);
    }

    /// Both sums over ten seconds, including the current second.
    pub(crate) fn sums(&mut self, now: Instant) -> (u32, u32) {
        self.expire(now);
        self.slots.iter().fold((0, 0), |sums, slot| (sums.0 + slot.0, sums.1 + slot.1))
    }

    fn expire(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.start).as_secs().max(self.newest);
        for new in (self.newest + 1).max((second + 1).saturating_sub(SLOTS as u64))..=second {
            *self.slot(new) = (0, 0);
        }
        self.newest = second;
    }

    fn slot(&mut self, second: u64) -> &mut (u32, u32) {
        &mut self.slots[(second % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_counts_the_last_ten_seconds() {
        let start = Instant::now();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut window = Window::new(start);
        window.add((1, 0), after(0.0));
        window.add((2, 1), after(0.9));
        window.add((4, 2), after(5.0));
        for (seconds, sums) in [(5.0, (7, 3)), (9.9, (7, 3)), (10.0, (4, 2)), (14.9, (4, 2)), (15.0, (0, 0))] {
            assert_eq!(window.sums(after(seconds)), sums, "{seconds}");
        }
        window.add((1, 1), after(1e6));
        assert_eq!(window.sums(after(1e6)), (1, 1));
        // A thread that read the clock before another one counts in the current second.
        window.add((1, 1), after(3.0));
        assert_eq!(window.sums(after(3.0)), (2, 2));
    }
}

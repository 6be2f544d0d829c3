//! Arithmetic on what was measured.

use std::time::Duration;

/// Durations of many like events.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// The smallest duration that at least `percent` of all do not exceed (nearest rank); zero if there are none.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let rank = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).copied().unwrap_or_default()
    }

    /// The longest; zero if there are none.
    pub(crate) fn max(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

/// How much `y` grows for each `x`, by least squares; zero for fewer than two points.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if points.len() < 2 || spread == 0.0 {
        return 0.0;
    }
    points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread
}

/// A duration as people read it: milliseconds with as many digits as mean something.
pub(crate) fn ms(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

/// Bytes in MiB with one digit after the point.
pub(crate) fn mib(bytes: u64) -> f64 {
    (bytes as f64 / (1024.0 * 1024.0) * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values_and_by_nearest_rank() {
        let hundred: Latencies = (1..=100).rev().map(Duration::from_millis).collect();
        for (percent, expected) in [(0.0, 1), (1.0, 1), (50.0, 50), (99.0, 99), (99.1, 100), (100.0, 100)] {
            assert_eq!(hundred.percentile(percent), Duration::from_millis(expected), "{percent}");
        }
        let two: Latencies = [7, 3].map(Duration::from_millis).into_iter().collect();
        assert_eq!((two.percentile(50.0), two.percentile(99.0)), (Duration::from_millis(3), Duration::from_millis(7)));
        assert_eq!((two.max(), two.len()), (Duration::from_millis(7), 2));
    }

    #[test]
    fn of_nothing_every_percentile_is_zero() {
        assert_eq!(Latencies::default().percentile(99.0), Duration::ZERO);
        assert_eq!(Latencies::default().max(), Duration::ZERO);
    }

    #[test]
    fn the_slope_of_a_line_is_its_slope_and_that_of_noise_round_a_level_is_near_zero() {
        let line: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        assert!((slope(&line) - 2.0).abs() < 1e-9);
        let level: Vec<_> = (0..100).map(|x| (f64::from(x), if x % 2 == 0 { 1.0 } else { -1.0 })).collect();
        assert!(slope(&level).abs() < 0.01);
        assert_eq!(slope(&[(1.0, 5.0)]), 0.0);
        assert_eq!(slope(&[(1.0, 5.0), (1.0, 9.0)]), 0.0);
    }
}

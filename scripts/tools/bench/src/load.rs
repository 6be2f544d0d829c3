//! Loads a service over a fixed number of connections for one measurement.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use harness::load::{Load, Sample};
use harness::measurements::Latencies;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How often samples are added up, which bounds their memory.
const AGGREGATION_INTERVAL: Duration = Duration::from_secs(1);
/// How long the first requests may take, and the last ones.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The requests that are sent, and the status of success.
#[derive(Clone)]
pub(crate) struct Requests {
    source: Arc<dyn Fn() -> Arc<[u8]> + Send + Sync>,
    pub(crate) expected: u16,
}

impl Requests {
    /// Prepared ones, in turn.
    pub(crate) fn new(requests: impl IntoIterator<Item = Vec<u8>>, expected: u16) -> Self {
        let (turn, bytes) = (AtomicUsize::new(0), requests.into_iter().map(Arc::from).collect::<Vec<Arc<[u8]>>>());
        let source = move || Arc::clone(&bytes[turn.fetch_add(1, Ordering::Relaxed) % bytes.len()]);
        Self { source: Arc::new(source), expected }
    }

    /// Ones that `make` makes when they are sent: what only succeeds once cannot be sent again.
    pub(crate) fn made(make: impl Fn() -> Vec<u8> + Send + Sync + 'static, expected: u16) -> Self {
        Self { source: Arc::new(move || make().into()), expected }
    }

    /// The next one.
    pub(crate) fn next(&self) -> Arc<[u8]> {
        (self.source)()
    }
}

/// The outcome of a measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// The first failure.
    pub(crate) failure: Option<String>,
    /// Of requests that succeeded.
    latencies: Latencies,
}

impl Outcome {
    pub(crate) fn requests_per_s(&self) -> f64 {
        self.succeeded as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in milliseconds that `percent` of the successful requests did not exceed.
    pub(crate) fn latency_ms(&self, percent: f64) -> f64 {
        self.latencies.percentile(percent).as_secs_f64() * 1000.0
    }

    fn add(&mut self, samples: Vec<Sample>, expected: u16) {
        for sample in samples {
            if sample.status == Some(expected) {
                self.succeeded += 1;
                self.latencies.record(sample.took);
            } else {
                self.failed += 1;
                let status = sample.status.map(|status| status.to_string());
                let parts: Vec<String> = status.into_iter().chain(sample.error).collect();
                self.failure.get_or_insert_with(|| parts.join(" "));
            }
        }
    }
}

/// Loads `address` over so many connections: for `warm_up` without counting, then for `duration`. Returns the outcome,
/// and the results of `probe` at the start and at the end of `duration`.
pub(crate) async fn drive<T>(
    address: SocketAddr,
    connections: usize,
    requests: &Requests,
    warm_up: Duration,
    duration: Duration,
    probe: impl Fn() -> Result<T>,
) -> Result<(Outcome, T, T)> {
    let (requests, expected) = (requests.clone(), requests.expected);
    let load = Load::start(connections, None, Duration::ZERO, move || (address, requests.next()));
    // Opening the connections is not part of the measurement.
    let _ = timeout(MAX_WAIT, load.warm_up()).await;
    sleep(warm_up).await;
    let before = probe()?;
    let begin = Instant::now();
    load.take_samples();
    let mut outcome = Outcome::default();
    loop {
        sleep_until((begin + duration).min(Instant::now() + AGGREGATION_INTERVAL)).await;
        let samples = load.take_samples();
        outcome.elapsed = begin.elapsed();
        if outcome.elapsed < duration {
            outcome.add(samples, expected);
            continue;
        }
        let after = probe()?;
        outcome.add(samples, expected);
        // Requests that take longer are cancelled; none of these counts.
        let _ = timeout(MAX_WAIT, load.finish()).await;
        return Ok((outcome, before, after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_successful_requests_have_a_latency() {
        let sample = |status: u16, error: Option<&str>, ms: u64| Sample {
            begin: std::time::Instant::now(),
            took: Duration::from_millis(ms),
            status: Some(status),
            error: error.map(str::to_owned),
            first: false,
        };
        let mut outcome = Outcome { elapsed: Duration::from_secs(2), ..Outcome::default() };
        outcome.add(vec![sample(200, None, 1), sample(503, Some("no"), 100), sample(204, None, 100)], 200);
        assert_eq!((outcome.succeeded, outcome.failed, outcome.failure.as_deref()), (1, 2, Some("503 no")));
        assert_eq!((outcome.requests_per_s(), outcome.latency_ms(99.0)), (0.5, 1.0));
    }
}

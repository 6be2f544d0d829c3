//! Clients that each send one request after the other, and what they saw.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::task::{JoinSet, LocalSet};

use crate::http::Connection;

/// The longest latency that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(60);
/// How long the requests under way may take at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is sent, in turn, and the status of success.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    pub(crate) bytes: Vec<Vec<u8>>,
    pub(crate) expected: u16,
}

/// What came of a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// What the first failure was.
    pub(crate) failure: Option<String>,
    latencies: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn requests_per_s(&self) -> f64 {
        self.succeeded as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in milliseconds that `percent` of those that succeeded did not exceed.
    pub(crate) fn latency_ms(&self, percent: f64) -> f64 {
        self.latencies.value_at_percentile(percent) as f64 / 1000.0
    }
}

struct Tally {
    counting: Cell<bool>,
    stop: Cell<bool>,
    outcome: RefCell<Outcome>,
}

/// Drives `address` over so many connections, for `warm_up` without counting, then for `span`. Gives what came of it, and
/// what `look` saw at the begin and at the end of `span`. Must run on a runtime of one thread.
pub(crate) async fn drive<T>(
    address: SocketAddr,
    connections: usize,
    requests: &Requests,
    warm_up: Duration,
    span: Duration,
    look: impl Fn() -> Result<T>,
) -> Result<(Outcome, T, T)> {
    let outcome = Outcome {
        elapsed: span,
        succeeded: 0,
        failed: 0,
        failure: None,
        latencies: Histogram::new_with_bounds(1, LONGEST.as_micros().try_into()?, 3)?,
    };
    let tally = Rc::new(Tally { counting: Cell::new(false), stop: Cell::new(false), outcome: RefCell::new(outcome) });
    let requests = Rc::new(requests.clone());
    let local = LocalSet::new();
    local
        .run_until(async {
            let mut clients = JoinSet::new();
            for number in 0..connections {
                let connection = Connection::open(address).await.context("cannot connect")?;
                // Each begins elsewhere, so that no two send the same in step.
                let first = number * requests.bytes.len() / connections;
                clients.spawn_local(work(address, connection, Rc::clone(&requests), first, Rc::clone(&tally)));
            }
            tokio::time::sleep(warm_up).await;
            let before = look()?;
            let begin = Instant::now();
            tally.counting.set(true);
            tokio::time::sleep(span).await;
            tally.counting.set(false);
            let elapsed = begin.elapsed();
            let after = look()?;
            tally.stop.set(true);
            let all = async { while clients.join_next().await.is_some() {} };
            // Whoever waits longer is left behind; it is not counted in any case.
            let _ = tokio::time::timeout(PATIENCE, all).await;
            let outcome = Outcome { elapsed, ..tally.outcome.borrow().clone() };
            Ok((outcome, before, after))
        })
        .await
}

async fn work(address: SocketAddr, connection: Connection, requests: Rc<Requests>, first: usize, tally: Rc<Tally>) {
    let mut connection = Some(connection);
    for request in requests.bytes.iter().cycle().skip(first) {
        if tally.stop.get() {
            return;
        }
        let begin = Instant::now();
        let answer = exchange(&mut connection, address, request).await;
        if tally.counting.get() {
            let mut outcome = tally.outcome.borrow_mut();
            match answer {
                Ok(status) if status == requests.expected => {
                    outcome.succeeded += 1;
                    let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                    outcome.latencies.saturating_record(micros);
                }
                Ok(status) => {
                    outcome.failed += 1;
                    let body = connection.as_ref().map(Connection::body).unwrap_or_default();
                    outcome.failure.get_or_insert_with(|| format!("{status} {}", String::from_utf8_lossy(body)));
                }
                Err(error) => {
                    outcome.failed += 1;
                    outcome.failure.get_or_insert_with(|| error.to_string());
                }
            }
        }
    }
}

/// Sends over the connection at hand, or over a new one where the last one failed.
async fn exchange(connection: &mut Option<Connection>, address: SocketAddr, request: &[u8]) -> std::io::Result<u16> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(address).await?,
    };
    let status = open.send(request).await?;
    *connection = Some(open);
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// Answers every second request with 503.
    fn server() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut buffer = [0; 1024];
                    for status in ["200 OK", "503 No"].iter().cycle() {
                        if stream.read(&mut buffer).unwrap_or(0) == 0 {
                            return;
                        }
                        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn what_fails_is_counted_apart_and_told() {
        let requests = Requests { bytes: vec![crate::http::get("/a"), crate::http::get("/b")], expected: 200 };
        let span = Duration::from_millis(200);
        let (outcome, before, after) =
            drive(server(), 3, &requests, Duration::ZERO, span, || Ok(Instant::now())).await.unwrap();
        assert!(outcome.succeeded > 0 && outcome.failed > 0, "{outcome:?}");
        assert!(outcome.succeeded.abs_diff(outcome.failed) <= 3, "{outcome:?}");
        assert_eq!(outcome.failure.as_deref(), Some("503 no"));
        assert!(after - before >= span && outcome.elapsed >= span);
        assert!(outcome.latency_ms(99.0) >= outcome.latency_ms(50.0));
    }
}

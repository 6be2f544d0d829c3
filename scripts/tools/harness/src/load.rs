//! A closed-loop load generator: each client sends a request, waits for the answer, and sends the next.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::http::Client;
use crate::measurements::{Counts, Latencies};
use crate::process::POLL_INTERVAL;

/// One exchange.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When the request was sent.
    pub begin: Instant,
    /// The time from the request to the end of the answer.
    pub took: Duration,
    /// The status of the answer; `None` if there was none within the time limit.
    pub status: Option<u16>,
    /// The error code of an answer of 400 or above, or the kind of I/O error.
    pub error: Option<String>,
    /// Whether it was the first of its client.
    pub first: bool,
}

impl Sample {
    /// When the exchange ended.
    pub fn end(&self) -> Instant {
        self.begin + self.took
    }
}

/// Running clients; they end when this is dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    samples: Mutex<Vec<Sample>>,
    stop: AtomicBool,
}

impl Load {
    /// Starts `clients`, each with its own connection to every address that `source` names. `time_limit` bounds an
    /// exchange; each client waits for `pause` after an answer.
    pub fn start<B: AsRef<[u8]> + Send + 'static>(
        clients: usize,
        time_limit: impl Into<Option<Duration>>,
        pause: Duration,
        source: impl Fn() -> (SocketAddr, B) + Send + Sync + 'static,
    ) -> Self {
        let (shared, source, time_limit) = (Arc::<Shared>::default(), Arc::new(source), time_limit.into());
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            tasks.spawn(send(Arc::clone(&shared), time_limit, pause, Arc::clone(&source)));
        }
        Self { shared, tasks }
    }

    /// Waits until the first exchange of every client has ended: of many connections, TCP retries some after 1, 3 and 7 s.
    /// Discards all samples.
    pub async fn warm_up(&self) {
        let mut clients = 0;
        while clients < self.tasks.len() {
            tokio::time::sleep(POLL_INTERVAL).await;
            clients += self.take_samples().iter().filter(|sample| sample.first).count();
        }
    }

    /// How many exchanges have ended and were not taken.
    pub fn count(&self) -> usize {
        self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Removes and returns the exchanges that have ended since the last call.
    pub fn take_samples(&self) -> Vec<Sample> {
        std::mem::take(&mut self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets each client finish its exchange, then returns all that were not taken.
    pub async fn finish(mut self) -> Vec<Sample> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.take_samples()
    }
}

async fn send<B: AsRef<[u8]> + Send>(
    shared: Arc<Shared>,
    time_limit: Option<Duration>,
    pause: Duration,
    source: Arc<impl Fn() -> (SocketAddr, B)>,
) {
    let mut clients: Vec<(SocketAddr, Client)> = Vec::new();
    let mut first = true;
    while !shared.stop.load(Ordering::Relaxed) {
        let (address, request) = source();
        let at = clients.iter().position(|(to, _)| *to == address).unwrap_or_else(|| {
            clients.push((address, Client::new(address, time_limit)));
            clients.len() - 1
        });
        let client = &mut clients[at].1;
        let begin = Instant::now();
        let exchanged = client.exchange(request.as_ref()).await;
        let took = begin.elapsed();
        let error = match &exchanged {
            Ok(..400) => None,
            Ok(_) => Some(error_code(client.body())),
            Err(error) => Some(error.kind().to_string()),
        };
        let sample = Sample { begin, took, status: exchanged.ok(), error, first };
        shared.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        first = false;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// The error code in the body of an answer.
pub fn error_code(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    body["error_code"].as_str().unwrap_or("without a code").to_owned()
}

/// How long each of `samples` took.
pub fn latencies<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Latencies {
    samples.into_iter().map(|sample| sample.took).collect()
}

/// How many of `samples` had each result: a status, with its error code if it is one of an error.
pub fn results<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Counts {
    let mut results = Counts::default();
    for sample in samples {
        let status = sample.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        results.add(match &sample.error {
            Some(error) => format!("{status} {error}"),
            None => status,
        });
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn each_answer_and_each_failure_becomes_a_sample() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Answers every second request with 503.
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for body in ["", r#"{"error_code":"no"}"#].iter().cycle() {
                assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
                let (status, length) = (if body.is_empty() { 200 } else { 503 }, body.len());
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let load = Load::start(1, Duration::from_secs(5), Duration::ZERO, move || (address, get("/")));
        while load.count() < 3 {
            tokio::task::yield_now().await;
        }
        let samples = load.finish().await;
        assert_eq!(results(&samples[..3]).to_string(), "2 × 200, 1 × 503 no");
        assert_eq!([samples[0].first, samples[1].first], [true, false]);
    }
}

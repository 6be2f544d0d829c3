//! Clients that send one request after the other and note how each went.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::figures::Latencies;
use crate::http1::Client;
use crate::keyed::Troubles;

/// One exchange.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) begin: Instant,
    pub(crate) took: Duration,
    /// What was answered; `None`: nothing, or nothing in time.
    pub(crate) status: Option<u16>,
    /// The error code of a refusal, or the kind of failure.
    pub(crate) trouble: Option<String>,
    /// Whether it was the first of its client.
    pub(crate) first: bool,
}

impl Sample {
    /// When it was over.
    pub(crate) fn end(&self) -> Instant {
        self.begin + self.took
    }
}

/// What to send to whom.
pub(crate) type Source = dyn Fn() -> (SocketAddr, Vec<u8>) + Send + Sync;

/// Running clients; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    /// `clients`, each with a connection of its own to every address; each waits for `pause` after an answer. An exchange
    /// may take `patience`.
    pub(crate) fn start(clients: usize, patience: Duration, pause: Duration, source: Arc<Source>) -> Self {
        let (samples, stop) = (Arc::<Mutex<Vec<Sample>>>::default(), Arc::<AtomicBool>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            tasks.spawn(send(Arc::clone(&samples), Arc::clone(&stop), patience, pause, Arc::clone(&source)));
        }
        Self { samples, stop, tasks }
    }

    /// All exchanges so far that are over.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All exchanges that were over since the last time; they are forgotten here.
    pub(crate) fn take_samples(&self) -> Vec<Sample> {
        std::mem::take(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets each client finish its exchange; gives all.
    pub(crate) async fn finish(mut self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        std::mem::take(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn send(
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    patience: Duration,
    pause: Duration,
    source: Arc<Source>,
) {
    let mut clients: Vec<(SocketAddr, Client)> = Vec::new();
    let mut first = true;
    while !stop.load(Ordering::Relaxed) {
        let (address, request) = source();
        let at = clients.iter().position(|(to, _)| *to == address).unwrap_or_else(|| {
            clients.push((address, Client::new(address, patience)));
            clients.len() - 1
        });
        let begin = Instant::now();
        let reply = clients[at].1.send(&request).await;
        let took = begin.elapsed();
        let status = reply.as_ref().ok().map(|reply| reply.status);
        let trouble = match &reply {
            Ok(reply) if reply.status < 400 => None,
            Ok(reply) => Some(reply.json()["error_code"].as_str().unwrap_or("without a code").to_owned()),
            Err(error) => Some(error.kind().to_string()),
        };
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(Sample { begin, took, status, trouble, first });
        first = false;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// How long each of `samples` took.
pub(crate) fn latencies<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Latencies {
    samples.into_iter().map(|sample| sample.took).collect()
}

/// Which answers there were, and how many of each.
pub(crate) fn outcomes<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Troubles {
    let mut outcomes = Troubles::default();
    for sample in samples {
        let status = sample.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        outcomes.add(match &sample.trouble {
            Some(trouble) => format!("{status} {trouble}"),
            None => status,
        });
    }
    outcomes
}

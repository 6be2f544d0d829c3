//! Promise 8: an overloaded service keeps its goodput and sheds the rest quickly.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::cpus::LoadRuntime;
use harness::http::post;
use harness::load::{Load, Sample, latencies, results};
use harness::measurements::{Latencies, ms};
use harness::process::spare_connections;
use service_testing::KINDS;
use tokio::time::sleep;

use crate::peer::Peer;
use crate::platform::{ORDER_SERVICE, ORDERS, Platform, Setup, Users, order, unique};
use crate::run::Run;
use crate::verdict::Verdict;

/// The numbers of clients among which the peak is searched.
const PEAK_CLIENTS: [usize; 3] = [64, 128, 256];
/// The numbers of clients that overload, and the part of the peak that must still be placed: several times as many as at
/// the peak, and so many that a machine may have to shed some. They retry immediately.
const OVERLOADS: [(usize, f64); 2] = [(900, 0.8), (8000, 0.5)];
const MAX_SHED_P99: Duration = Duration::from_millis(100);
const TIME_LIMIT: Duration = Duration::from_secs(10);

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let max_clients = spare_connections();
    for kind in KINDS {
        let platform = Platform::start(run, kind, Setup { unproxied: true, pinned: true }).await?;
        let users = platform.create_users().await?;
        let address = platform.address(ORDER_SERVICE);
        let peak = peak(run, address, users).await?;
        verdict.measured(run, format!("{kind:?}: peak {peak:.0}/s"));
        for (clients, min_goodput) in OVERLOADS {
            let of = format!("{kind:?}, {clients} clients");
            verdict.expect(clients <= max_clients, || format!("{of}: the limit of descriptors is lower"));
            let answers = Answers::measure(run, clients.min(max_clients), address, users).await?;
            verdict.measured(run, format!("{of}: {}", answers.summary(peak)));
            verdict.expect(answers.placed >= min_goodput * peak, || {
                format!("{of}: placed {:.0}% of the peak", 100.0 * answers.placed / peak)
            });
            let shed_p99 = answers.shed.percentile(99.0);
            verdict.at_most(format_args!("{of}: p99 of shed answers"), shed_p99, MAX_SHED_P99, ms);
            verdict.none(format_args!("{of}: neither placed nor shed"), answers.wrong);
        }
        if run.peer {
            let peer = Peer::start(run, &platform).await?;
            for (clients, _) in OVERLOADS {
                let answers = Answers::measure(run, clients.min(max_clients), peer.address(), users).await?;
                verdict.measured(run, format!("{kind:?}, {clients} clients, the peer: {}", answers.summary(peak)));
            }
        }
    }
    let [(several, _), (many, _)] = OVERLOADS;
    let method = format!(
        "orders placed by {several} and by {many} closed-loop clients, compared with the peak of {} to {} clients; the \
         services have one half of the processors, the clients the other",
        PEAK_CLIENTS[0],
        PEAK_CLIENTS[PEAK_CLIENTS.len() - 1],
    );
    Ok(verdict.with_method(method))
}

/// The most orders per second that a number of clients without overload places.
async fn peak(run: &Run, address: SocketAddr, users: Users) -> Result<f64> {
    let time = Duration::from_millis(run.choose(1000, 5000));
    let mut peak: f64 = 0.0;
    for clients in PEAK_CLIENTS {
        peak = peak.max(Answers::of(&on_load_cpus(orders(clients, address, users, time)).await?, time).placed);
    }
    Ok(peak)
}

/// What clients got.
struct Answers {
    /// Placed orders per second.
    placed: f64,
    placed_p99: Duration,
    shed: Latencies,
    /// How many were neither.
    wrong: usize,
    by_result: String,
}

impl Answers {
    async fn measure(run: &Run, clients: usize, address: SocketAddr, users: Users) -> Result<Self> {
        let time = Duration::from_secs(run.choose(3, 60));
        Ok(Self::of(&on_load_cpus(orders(clients, address, users, time)).await?, time))
    }

    fn of(samples: &[Sample], time: Duration) -> Self {
        let (placed, others): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.status == Some(201));
        let (shed, wrong): (Vec<_>, Vec<_>) = others.into_iter().partition(|sample| sample.status == Some(503));
        Self {
            placed: placed.len() as f64 / time.as_secs_f64(),
            placed_p99: latencies(placed).percentile(99.0),
            shed: latencies(shed),
            wrong: wrong.len(),
            by_result: results(samples).to_string(),
        }
    }

    fn summary(&self, peak: f64) -> String {
        let Self { placed, placed_p99, shed, by_result, .. } = self;
        format!(
            "placed {placed:.0}/s ({:.0}% of the peak, p99 {}), {} shed (p99 {}); {by_result}",
            100.0 * placed / peak,
            ms(*placed_p99),
            shed.count(),
            ms(shed.percentile(99.0)),
        )
    }
}

async fn on_load_cpus(load: impl Future<Output = Vec<Sample>> + Send + 'static) -> Result<Vec<Sample>> {
    let runtime = LoadRuntime::new(0)?;
    Ok(runtime.spawn(load).context("the runtime is there")?.await?)
}

/// The exchanges of closed-loop `clients` in `time`, which begins when the first request of each has ended.
async fn orders(clients: usize, address: SocketAddr, users: Users, time: Duration) -> Vec<Sample> {
    let source = move || (address, post(ORDERS, None, &order(users.next(), unique())));
    let load = Load::start(clients, TIME_LIMIT, Duration::ZERO, source);
    load.warm_up().await;
    sleep(time).await;
    load.take_samples()
}

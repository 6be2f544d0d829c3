//! Promise 8: an overloaded service keeps its goodput and sheds the rest quickly.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::cpus::LoadRuntime;
use harness::http::post;
use harness::load::{Load, Sample, latencies, results};
use harness::measurements::ms;
use harness::process::spare_connections;
use service_testing::KINDS;
use tokio::time::sleep;

use crate::platform::{ORDER_SERVICE, ORDERS, Platform, Setup, Users, order, unique};
use crate::run::Run;
use crate::verdict::Verdict;

/// The multiple of the peak that should be sent.
const OVERLOAD: f64 = 5.0;
/// The numbers of clients among which the peak is searched.
const PEAK_CLIENTS: [usize; 3] = [64, 128, 256];
/// The numbers of clients that overload: several times as many as at the peak, and so many that some must be shed.
const OVERLOAD_CLIENTS: [usize; 2] = [900, 8000];
const MIN_GOODPUT: f64 = 0.9;
const MAX_SHED_P99: Duration = Duration::from_millis(50);
const TIME_LIMIT: Duration = Duration::from_secs(10);

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for kind in KINDS {
        let platform = Platform::start(run, kind, Setup { unproxied: true, pinned: true }).await?;
        let users = platform.create_users().await?;
        let address = platform.address(ORDER_SERVICE);
        let step = Duration::from_millis(run.choose(1000, 5000));
        let mut peak: f64 = 0.0;
        for clients in PEAK_CLIENTS {
            let samples = on_load_cpus(orders(clients, address, users, step)).await?;
            peak = peak.max(rate(&samples, step));
        }
        verdict.measured(run, format!("{kind:?}: peak {peak:.0}/s"));
        let mut total_shed = 0;
        let time = Duration::from_secs(run.choose(3, 60));
        for clients in OVERLOAD_CLIENTS {
            let max_clients = spare_connections();
            verdict.expect(clients <= max_clients, || {
                format!("only {max_clients} clients: the limit of descriptors is lower")
            });
            let clients = clients.min(max_clients);
            let samples = on_load_cpus(orders(clients, address, users, time)).await?;
            let goodput = rate(&samples, time);
            let sent = samples.len() as f64 / time.as_secs_f64() / peak;
            let (placed, others): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.status == Some(201));
            let (shed, wrong): (Vec<_>, Vec<_>) = others.into_iter().partition(|sample| sample.status == Some(503));
            total_shed += shed.len();
            let of = format!("{kind:?}, {clients} clients");
            let measurement = format!(
                "{of}: sent {sent:.1} × the peak, placed {goodput:.0}/s ({:.0}% of it, p99 {}), {} shed; {}",
                100.0 * goodput / peak,
                ms(latencies(placed).percentile(99.0)),
                shed.len(),
                results(&samples),
            );
            verdict.measured(run, measurement);
            verdict.expect(goodput >= MIN_GOODPUT * peak, || {
                format!("{of}: goodput {:.0}% of the peak", 100.0 * goodput / peak)
            });
            let shed_p99 = latencies(shed).percentile(99.0);
            verdict.at_most(format_args!("{of}: p99 of shed answers"), shed_p99, MAX_SHED_P99, ms);
            verdict.expect(sent >= 0.9 * OVERLOAD, || format!("{of}: only {sent:.1} × the peak could be sent"));
            verdict.none(format_args!("{of}: neither placed nor shed"), wrong.len());
        }
        verdict.expect(total_shed > 0, || format!("{kind:?}: nothing was shed"));
    }
    let method = format!(
        "orders placed by {} and by {} closed-loop clients, compared with the peak of {} to {} clients; the services \
         have one half of the processors, the clients the other",
        OVERLOAD_CLIENTS[0],
        OVERLOAD_CLIENTS[1],
        PEAK_CLIENTS[0],
        PEAK_CLIENTS[PEAK_CLIENTS.len() - 1],
    );
    Ok(verdict.with_method(method))
}

async fn on_load_cpus(load: impl Future<Output = Vec<Sample>> + Send + 'static) -> Result<Vec<Sample>> {
    let runtime = LoadRuntime::new(0)?;
    Ok(runtime.spawn(load).context("the runtime is there")?.await?)
}

/// Placed orders per second.
fn rate(samples: &[Sample], time: Duration) -> f64 {
    samples.iter().filter(|sample| sample.status == Some(201)).count() as f64 / time.as_secs_f64()
}

/// The exchanges of closed-loop `clients` in `time`, which begins when the first request of each has ended.
async fn orders(clients: usize, address: SocketAddr, users: Users, time: Duration) -> Vec<Sample> {
    let source = move || (address, post(ORDERS, None, &order(users.next(), unique())));
    let load = Load::start(clients, TIME_LIMIT, Duration::ZERO, source);
    load.warm_up().await;
    sleep(time).await;
    load.take_samples()
}

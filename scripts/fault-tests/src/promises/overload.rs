//! Promise 8: a service that is offered more than it can do still does what it can, and refuses the rest quickly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use service_testing::KINDS;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::{Tried, Verdict};
use crate::figures::ms;
use crate::http1::{Client, post};
use crate::load::{Load, Sample, latencies, outcomes};
use crate::lone_runtime::LoneRuntime;
use crate::platform::{ORDERS, Platform, Setup, Users, order, unique};
use crate::run::Run;

const OVERLOAD: f64 = 5.0;
const GOODPUT: f64 = 0.9;
const SHED_P99: Duration = Duration::from_millis(50);
/// The numbers of clients at which the peak is looked for.
const CONCURRENCY: [usize; 5] = [16, 32, 64, 128, 256];
/// Several times as many as a service works on at a time. Who waits for an answer sends nothing, so these bound the load.
const CONNECTIONS: usize = 900;
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let mut verdict = Verdict::new("");
    let mut figures = Vec::new();
    for kind in KINDS {
        let platform = Platform::start(run, kind, Setup { direct: true, apart: true }).await?;
        let users = platform.create_users().await?;
        let address = platform.orders.address;
        let step = Duration::from_millis(run.choose(1000, 5000));
        let (mut peak, mut at) = (0.0, 0);
        for clients in CONCURRENCY {
            let samples = on_its_own(closed(clients, address, users, step)).await?;
            let goodput = rate(&samples, step);
            if goodput > peak {
                (peak, at) = (goodput, clients);
            }
        }
        let time = Duration::from_secs(run.choose(4, 60));
        let samples = on_its_own(offer(peak * OVERLOAD, address, users, time)).await?;
        let goodput = rate(&samples, time);
        let offered = samples.len() as f64 / time.as_secs_f64();
        let (shed, answered): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.status != Some(201));
        let shed_p99 = latencies(shed.iter().copied()).percentile(99.0);
        let figure = format!(
            "{kind:?}: peak {peak:.0}/s at {at} clients; offered {offered:.0}/s ({:.1} ×): {goodput:.0}/s ({:.0}% of the peak, \
             p99 {}), shed p99 {}",
            offered / peak,
            100.0 * goodput / peak,
            ms(latencies(answered.iter().copied()).percentile(99.0)),
            ms(shed_p99),
        );
        run.say(format_args!("{figure}; {}", outcomes(&samples)));
        figures.push(figure);
        let others = samples.iter().filter(|sample| !matches!(sample.status, Some(201 | 503)));
        let others = outcomes(others);
        verdict.expect(goodput >= GOODPUT * peak, || {
            format!("{kind:?}: goodput {:.0}% of the peak", 100.0 * goodput / peak)
        });
        verdict.expect(shed_p99 <= SHED_P99, || format!("{kind:?}: shed answers p99 {}", ms(shed_p99)));
        verdict.expect(others.count() == 0, || format!("{kind:?}: neither done nor shed: {others}"));
        verdict.expect(offered >= 0.9 * OVERLOAD * peak, || {
            format!("{kind:?}: no more than {:.1} × could be offered", offered / peak)
        });
    }
    verdict.figures = figures.join("; ");
    let how =
        "orders placed at five times the highest rate that a rising number of clients reached, at even intervals; the \
               services have one half of the processors, the clients the other"
            .to_owned();
    Ok(Tried { how, verdict })
}

async fn on_its_own(load: impl Future<Output = Vec<Sample>> + Send + 'static) -> Result<Vec<Sample>> {
    let runtime = LoneRuntime::new(0)?;
    Ok(runtime.spawn(load).context("the runtime is there")?.await?)
}

/// Orders that were placed, a second.
fn rate(samples: &[Sample], time: Duration) -> f64 {
    samples.iter().filter(|sample| sample.status == Some(201)).count() as f64 / time.as_secs_f64()
}

async fn closed(clients: usize, address: SocketAddr, users: Users, time: Duration) -> Vec<Sample> {
    let source = move || (address, post(ORDERS, None, &order(users.next(), unique())));
    let load = Load::start(clients, PATIENCE, Duration::ZERO, Arc::new(source));
    sleep(Duration::from_millis(200)).await;
    load.take_samples();
    sleep(time).await;
    load.take_samples()
}

/// Offers `rate` orders a second at even intervals, whatever becomes of them, as far as there is a connection free.
async fn offer(rate: f64, address: SocketAddr, users: Users, time: Duration) -> Vec<Sample> {
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    let begin = Instant::now() + Duration::from_millis(500);
    for _ in 0..CONNECTIONS {
        let next = Arc::clone(&next);
        clients.spawn(async move {
            let mut client = Client::new(address, PATIENCE);
            let mut samples = Vec::new();
            // Making connections is no part of this. One that fails is seen with the first request.
            let _ = client.connect().await;
            loop {
                let due = Duration::from_secs_f64(next.fetch_add(1, Ordering::Relaxed) as f64 / rate);
                if due > time {
                    return samples;
                }
                sleep_until((begin + due).into()).await;
                let request = post(ORDERS, None, &order(users.next(), unique()));
                let sent = Instant::now();
                let reply = client.send(&request).await;
                let took = sent.elapsed();
                let status = reply.as_ref().ok().map(|reply| reply.status);
                let trouble = match &reply {
                    Ok(reply) if reply.status < 400 => None,
                    Ok(reply) => Some(reply.json()["error_code"].as_str().unwrap_or("without a code").to_owned()),
                    Err(error) => Some(error.kind().to_string()),
                };
                if sent < begin + time {
                    samples.push(Sample { begin: sent, took, status, trouble, first: false });
                }
            }
        });
    }
    let mut all = Vec::new();
    while let Some(samples) = clients.join_next().await {
        all.extend(samples.unwrap_or_default());
    }
    // Goodput is what was done in that time, not afterwards.
    all.retain(|sample| sample.status != Some(201) || sample.end() <= begin + time);
    all
}

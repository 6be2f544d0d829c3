//! Promise 8: a service that is offered more than it can do still does what it can, and refuses the rest quickly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use service_testing::KINDS;
use tokio::time::sleep;

use super::{Tried, Verdict};
use crate::figures::ms;
use crate::http1::post;
use crate::load::{Load, Sample, latencies, outcomes};
use crate::lone_runtime::LoneRuntime;
use crate::platform::{ORDERS, Platform, Setup, Users, order, unique};
use crate::process::spare_connections;
use crate::run::Run;

/// As many times the peak should be sent.
const OVERLOAD: f64 = 5.0;
/// The numbers of clients at which the peak is looked for.
const CLIENTS: [usize; 3] = [64, 128, 256];
/// The numbers of clients that are too many: several times as many as the peak takes, and so many that some must be refused.
const CROWDS: [usize; 2] = [900, 8000];
const GOODPUT: f64 = 0.9;
const SHED_P99: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether all clients are there: of many, some must try to connect again, TCP does after 1, 3 and 7 s.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let mut verdict = Verdict::new("");
    let mut figures = Vec::new();
    for kind in KINDS {
        let platform = Platform::start(run, kind, Setup { direct: true, apart: true }).await?;
        let users = platform.create_users().await?;
        let address = platform.orders.address;
        let step = Duration::from_millis(run.choose(1000, 5000));
        let mut peak: f64 = 0.0;
        for clients in CLIENTS {
            let samples = on_its_own(orders(clients, address, users, step)).await?;
            peak = peak.max(rate(&samples, step));
        }
        let figure = format!("{kind:?}: peak {peak:.0}/s");
        run.say(&figure);
        figures.push(figure);
        let mut refused = 0;
        let time = Duration::from_secs(run.choose(3, 60));
        for clients in CROWDS {
            let possible = spare_connections();
            verdict
                .expect(clients <= possible, || format!("only {possible} clients: the limit of descriptors is lower"));
            let clients = clients.min(possible);
            let samples = on_its_own(orders(clients, address, users, time)).await?;
            let goodput = rate(&samples, time);
            let sent = samples.len() as f64 / time.as_secs_f64() / peak;
            let (placed, others): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.status == Some(201));
            let (shed, wrong): (Vec<_>, Vec<_>) = others.into_iter().partition(|sample| sample.status == Some(503));
            refused += shed.len();
            let shed_p99 = latencies(shed.iter().copied()).percentile(99.0);
            let figure = format!(
                "{kind:?}, {clients} clients: sent {sent:.1} × the peak, placed {goodput:.0}/s ({:.0}% of it, p99 {}), {} refused \
                 (p99 {})",
                100.0 * goodput / peak,
                ms(latencies(placed).percentile(99.0)),
                shed.len(),
                ms(shed_p99),
            );
            run.say(format_args!("{figure}; {}", outcomes(&samples)));
            figures.push(figure);
            verdict.expect(goodput >= GOODPUT * peak, || {
                format!("{kind:?}, {clients} clients: goodput {:.0}% of the peak", 100.0 * goodput / peak)
            });
            verdict.expect(shed_p99 <= SHED_P99, || {
                format!("{kind:?}, {clients} clients: shed answers p99 {}", ms(shed_p99))
            });
            verdict.expect(sent >= 0.9 * OVERLOAD, || {
                format!("{kind:?}, {clients} clients: no more than {sent:.1} × could be sent")
            });
            verdict.expect(wrong.is_empty(), || {
                format!("{kind:?}, {clients} clients: neither done nor shed: {}", outcomes(wrong.iter().copied()))
            });
        }
        verdict.expect(refused > 0, || format!("{kind:?}: nobody was refused"));
    }
    verdict.figures = figures.join("; ");
    let how = format!(
        "orders placed by {} and by {} clients who come again at once, beside the most that {} to {} clients placed; the \
         services have one half of the processors, the clients the other",
        CROWDS[0],
        CROWDS[1],
        CLIENTS[0],
        CLIENTS[CLIENTS.len() - 1],
    );
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

/// What `clients` meet in `time` who come again at once, from when each has had an answer, or has given up its first request.
async fn orders(clients: usize, address: SocketAddr, users: Users, time: Duration) -> Vec<Sample> {
    let source = move || (address, post(ORDERS, None, &order(users.next(), unique())));
    let load = Load::start(clients, PATIENCE, Duration::ZERO, Arc::new(source));
    let mut there = 0;
    while there < clients {
        sleep(LOOK).await;
        there += load.take_samples().iter().filter(|sample| sample.first).count();
    }
    sleep(time).await;
    load.take_samples()
}

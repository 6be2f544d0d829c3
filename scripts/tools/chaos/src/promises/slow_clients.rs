//! Promise 7: clients that are slow or greedy do not take from others what is theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use service_testing::Kind;
use tokio::time::sleep;

use super::{Tried, Verdict};
use crate::figures::{Latencies, ms};
use crate::greedy::{Done, Greed, be_greedy};
use crate::http1::{get, post};
use crate::load::{Load, Sample, latencies, outcomes};
use crate::lone_runtime::LoneRuntime;
use crate::platform::{ORDERS, Platform, Setup, order, unique};
use crate::process::spare_connections;
use crate::run::Run;

const FACTOR: f64 = 2.0;
const GREEDS: [Greed; 5] =
    [Greed::DribbledHeaders, Greed::DribbledBodies, Greed::EndlessBodies, Greed::Idle, Greed::Http2Resets];
/// The well-behaved client: this many connections, each with a request now and then.
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(8);
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    // In less, a few hiccups of the machine are a hundredth of all requests.
    let time = Duration::from_secs(run.choose(5, 30));
    let platform = Platform::start(run, Kind::Sqlite, Setup { direct: true, apart: true }).await?;
    let users = platform.create_users().await?;
    let address = platform.orders.address;
    let well_behaved = LoneRuntime::new(0)?;
    let measure = async |time: Duration| {
        let turn = AtomicUsize::new(0);
        let source = move || match turn.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => (address, post(ORDERS, None, &order(users.next(), unique()))),
            _ => (address, get("/api/v1/orders?limit=10")),
        };
        let measured = well_behaved.spawn(async move {
            let load = Load::start(CLIENTS, Duration::from_secs(10), PAUSE, Arc::new(source));
            sleep(time).await;
            load.finish().await
        });
        Ok::<Vec<Sample>, anyhow::Error>(measured.context("the runtime is there")?.await?)
    };
    // The first connections and pages are always slow.
    measure(WARM_UP).await?;
    let calm = latencies(&measure(time).await?);
    let limit = calm.percentile(99.0).mul_f64(FACTOR);
    let mut figures = vec![format!("calm: {}", figure(&calm))];
    run.say(&figures[0]);
    let mut verdict = Verdict::new("");
    let mut how = Vec::new();
    for greed in GREEDS {
        let connections = greed.connections().min(spare_connections());
        verdict.expect(connections == greed.connections(), || {
            format!("only {connections} {}: the limit of descriptors is lower", greed.name())
        });
        let (greedy, done) = (LoneRuntime::new(10)?, Arc::new(Done::default()));
        greedy.spawn(be_greedy(greed, connections, address, Arc::clone(&done)));
        settle(&done, connections).await;
        let samples = measure(time).await?;
        drop(greedy);
        let seen = latencies(&samples);
        let requests = done.requests.load(Ordering::Relaxed);
        let figure = format!("{}: {} ({requests} greedy requests)", greed.name(), figure(&seen));
        run.say(&figure);
        figures.push(figure);
        how.push(format!("{connections} × {}", greed.name()));
        verdict.expect(done.refused.load(Ordering::Relaxed) == 0, || {
            format!("{}: connections were refused", greed.name())
        });
        verdict.expect(seen.percentile(99.0) <= limit, || {
            format!(
                "{}: p99 {} is {:.1} × calm",
                greed.name(),
                ms(seen.percentile(99.0)),
                seen.percentile(99.0).as_secs_f64() / calm.percentile(99.0).as_secs_f64()
            )
        });
        let refused: Vec<_> = samples.iter().filter(|s| s.status.is_none_or(|status| status >= 300)).collect();
        verdict.expect(refused.is_empty(), || {
            format!(
                "{}: the well-behaved client met {} of {}",
                greed.name(),
                outcomes(refused.iter().copied()),
                samples.len()
            )
        });
    }
    verdict.figures = figures.join("; ");
    Ok(Tried {
        how: format!("{}, for {} s each beside a well-behaved client, SQLite", how.join(", "), time.as_secs()),
        verdict,
    })
}

fn figure(latencies: &Latencies) -> String {
    format!("p99 {} of {}, max {}", ms(latencies.percentile(99.0)), latencies.len(), ms(latencies.max()))
}

/// Waits until all greedy clients are there, and a little longer.
async fn settle(done: &Done, connections: usize) {
    for _ in 0..500 {
        if done.connected.load(Ordering::Relaxed) + done.refused.load(Ordering::Relaxed) >= connections {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
}

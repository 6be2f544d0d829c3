//! Promise 7: slow and abusive clients do not starve a well-behaved one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use harness::cpus::LoadRuntime;
use harness::http::{Client, get, post};
use harness::load::{Load, Sample, latencies, results};
use harness::measurements::{Latencies, ms};
use harness::process::spare_connections;
use service_testing::Kind;
use tokio::time::sleep;

use crate::abusive_clients::{Abuse, Activity, attack};
use crate::platform::{ORDER_SERVICE, ORDERS, Platform, Setup, order, unique};
use crate::run::Run;
use crate::verdict::Verdict;

const MAX_FACTOR: f64 = 2.0;
/// Each abuse but pipelining, its name in the report, and its number of concurrent connections.
const ABUSES: [(Abuse, &str, usize); 6] = [
    // More than the concurrency limit of a service.
    (Abuse::SlowHeaders, "slow headers", 1100),
    (Abuse::SlowBodies, "slow bodies", 1100),
    (Abuse::EndlessBodies, "endless bodies", 16),
    (Abuse::Idle, "idle connections", 10_000),
    (Abuse::Http2Resets, "HTTP/2 resets", 4),
    (Abuse::Http2Frames, "HTTP/2 PRIORITY frames", 4),
];
/// What a single connection pipelines besides every operation of the document: what the document does not list, and
/// requests that are refused.
const UNDOCUMENTED: [&str; 7] = [
    "GET /metrics",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/scalar.js",
    "GET /nothing",
    "DELETE /metrics",
    "GET /api/v1/orders/x",
];
/// The connections of the well-behaved client, and the pause of each between requests.
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(8);
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    // In a shorter time a few hiccups of the machine would be one percent of all requests.
    let time = Duration::from_secs(run.choose(5, 30));
    let platform = Platform::start(run, Kind::Sqlite, Setup { unproxied: true, pinned: true }).await?;
    let users = platform.create_users().await?;
    let address = platform.address(ORDER_SERVICE);
    let well_behaved = LoadRuntime::new(0)?;
    let measure = async |time: Duration| {
        let turn = AtomicUsize::new(0);
        let source = move || match turn.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => (address, post(ORDERS, None, &order(users.next(), unique()))),
            _ => (address, get("/api/v1/orders?limit=10")),
        };
        let measured = well_behaved.spawn(async move {
            let load = Load::start(CLIENTS, Duration::from_secs(10), PAUSE, source);
            sleep(time).await;
            load.finish().await
        });
        Ok::<Vec<Sample>, anyhow::Error>(measured.context("the runtime is there")?.await?)
    };
    // The first connections and pages are slow.
    measure(WARM_UP).await?;
    let baseline = latencies(&measure(time).await?);
    let limit = baseline.percentile(99.0).mul_f64(MAX_FACTOR);
    let mut verdict = Verdict::default();
    verdict.measured(run, format!("baseline: {}", summary(&baseline)));
    let pipelined = pipelined(address).await?;
    let abuses = ABUSES.map(|(abuse, name, connections)| (abuse, name.to_owned(), connections));
    let mut attacks = Vec::new();
    for (abuse, name, wanted) in abuses.into_iter().chain(pipelined) {
        let connections = wanted.min(spare_connections());
        verdict
            .expect(connections == wanted, || format!("only {connections} {name}: the limit of descriptors is lower"));
        let (attackers, activity) = (LoadRuntime::new(10)?, Arc::new(Activity::default()));
        attackers.spawn(attack(abuse, connections, address, Arc::clone(&activity)));
        settle(&activity, connections).await;
        let samples = measure(time).await?;
        drop(attackers);
        let latencies = latencies(&samples);
        let requests = activity.requests.load(Ordering::Relaxed);
        verdict.measured(run, format!("{name}: {} ({requests} abusive requests)", summary(&latencies)));
        attacks.push(format!("{connections} × {name}"));
        verdict.expect(activity.refused.load(Ordering::Relaxed) == 0, || format!("{name}: connections were refused"));
        let p99 = latencies.percentile(99.0);
        verdict.expect(p99 <= limit, || format!("{name}: p99 {}, more than {MAX_FACTOR} × the baseline", ms(p99)));
        let refused: Vec<_> = samples.iter().filter(|s| s.status.is_none_or(|status| status >= 300)).collect();
        verdict.expect(refused.is_empty(), || {
            format!("{name}: the well-behaved client got {} of {}", results(refused.iter().copied()), samples.len())
        });
    }
    let attacks = attacks.join(", ");
    Ok(verdict.with_method(format!("{attacks}, for {} s each alongside a well-behaved client, SQLite", time.as_secs())))
}

/// Pipelining of each operation of the service at `address`, with the body of its example, and of [`UNDOCUMENTED`].
async fn pipelined(address: SocketAddr) -> Result<Vec<(Abuse, String, usize)>> {
    let reply = Client::new(address, Duration::from_secs(5)).send(&get("/openapi.json")).await?.json();
    let paths = reply["paths"].as_object().context("the document has paths")?;
    let mut requests: Vec<(String, String)> = Vec::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().context("a path has operations")? {
            let body = &operation["requestBody"]["content"]["application/json"]["example"];
            let body = if body.is_null() { String::new() } else { body.to_string() };
            requests.push((format!("{} {}", method.to_uppercase(), first_of_each(path)), body));
        }
    }
    requests.extend(UNDOCUMENTED.map(|line| (line.to_owned(), String::new())));
    let abuse = |(line, body): (String, String)| {
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        (Abuse::Pipelining(request.into_bytes()), format!("pipelining of {line}"), 1)
    };
    Ok(requests.into_iter().map(abuse).collect())
}

/// `path` with 1 for each of its parameters.
fn first_of_each(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "1" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

fn summary(latencies: &Latencies) -> String {
    format!("p99 {} of {}, max {}", ms(latencies.percentile(99.0)), latencies.count(), ms(latencies.max()))
}

/// Waits until all attackers are connected, and half a second longer.
async fn settle(activity: &Activity, connections: usize) {
    for _ in 0..500 {
        if activity.connected.load(Ordering::Relaxed) + activity.refused.load(Ordering::Relaxed) >= connections {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
}

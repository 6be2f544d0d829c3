//! Promise 3: a user-service that black-holes its connections costs order-service little.

use std::convert::identity;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::http::post;
use harness::load::{Load, latencies, results};
use harness::measurements::{mib, ms};
use harness::proxy::Mode;
use harness::usage::memory_bytes;
use service_testing::Kind;

use crate::platform::{ORDER_SERVICE, ORDERS, Platform, Setup, USER_SERVICE, order, unique};
use crate::run::Run;
use crate::verdict::Verdict;

const CONNECTIONS: usize = 500;
const MAX_FIRST: Duration = Duration::from_secs(2);
const MAX_LATER_P99: Duration = Duration::from_millis(250);
const MAX_OPEN_CALLS: usize = 64;
const MAX_GROWTH_BYTES: u64 = 32 * 1024 * 1024;

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let time = Duration::from_secs(run.choose(10, 60));
    let platform = Platform::start(run, Kind::Sqlite, Setup::default()).await?;
    let users = platform.create_users().await?;
    let address = platform.address(ORDER_SERVICE);
    let process = platform.services[ORDER_SERVICE].instance.process.id();
    let source = move || (address, post(ORDERS, None, &order(users.next(), unique())));
    // Warm-up: memory that every code path needs is not growth.
    let warm_up = Load::start(8, Duration::from_secs(5), Duration::ZERO, source);
    tokio::time::sleep(Duration::from_secs(1)).await;
    warm_up.finish().await;
    let before = memory_bytes(process)?;

    let proxy = platform.proxy(USER_SERVICE)?;
    proxy.set_mode(Mode::BlackHole);
    proxy.reset_max_open();
    let connections_before = proxy.accepted();
    let load = Load::start(CONNECTIONS, Duration::from_secs(10), Duration::ZERO, source);
    let begin = Instant::now();
    let mut peak = before;
    while begin.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peak = peak.max(memory_bytes(process)?);
    }
    let samples = load.finish().await;
    let (first, later): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.first);
    let later = latencies(later);
    let others = samples.iter().filter(|sample| sample.status != Some(503)).count();
    let mut verdict = Verdict::default();
    verdict.measured(run, format!("{} answers: {}", samples.len(), results(&samples)));
    verdict.none("answers other than 503", others);
    verdict.at_most("the slowest first answer", latencies(first).max(), MAX_FIRST, ms);
    verdict.at_most("p99 of the later ones", later.percentile(99.0), MAX_LATER_P99, ms);
    verdict.measured(run, format!("the slowest of them: {}", ms(later.max())));
    verdict.at_most("calls open at a time", proxy.max_open(), MAX_OPEN_CALLS, identity);
    verdict.measured(run, format!("new connections: {}", proxy.accepted() - connections_before));
    let growth = peak.saturating_sub(before);
    verdict.at_most(format_args!("MiB more than the {} before", mib(before)), growth, MAX_GROWTH_BYTES, mib);
    Ok(verdict.with_method(format!("{CONNECTIONS} connections that place orders for {} s, SQLite", time.as_secs())))
}

//! Promise 3: a user-service that swallows everything costs order-service little.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use service_testing::Kind;

use super::{Tried, Verdict};
use crate::figures::{mib, ms};
use crate::http1::post;
use crate::load::{Load, latencies, outcomes};
use crate::platform::{ORDERS, Platform, Setup, order, unique};
use crate::proxy::Mode;
use crate::run::Run;

const CONNECTIONS: usize = 500;
const FIRST: Duration = Duration::from_secs(2);
const LATER_P99: Duration = Duration::from_millis(250);
const MOST_OPEN: usize = 64;
const MEMORY_BYTES: u64 = 32 * 1024 * 1024;

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let time = Duration::from_secs(run.choose(10, 60));
    let platform = Platform::start(run, Kind::Sqlite, Setup::default()).await?;
    let users = platform.create_users().await?;
    let address = platform.orders.address;
    let source = move || (address, post(ORDERS, None, &order(users.next(), unique())));
    // Every code path that is needed anyway has been there before its memory is counted.
    let warm_up = Load::start(8, Duration::from_secs(5), Duration::ZERO, Arc::new(source));
    tokio::time::sleep(Duration::from_secs(1)).await;
    warm_up.finish().await;
    let before = platform.orders.process.memory_bytes()?;

    platform.users_front.set_mode(Mode::BlackHole);
    platform.users_front.forget_most_open();
    let (calls_before, connections_before) = (platform.users_front.requests(), platform.users_front.accepted());
    let load = Load::start(CONNECTIONS, Duration::from_secs(10), Duration::ZERO, Arc::new(source));
    let begin = std::time::Instant::now();
    let mut peak = before;
    while begin.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peak = peak.max(platform.orders.process.memory_bytes()?);
    }
    let samples = load.finish().await;
    let most_open = platform.users_front.most_open();
    let calls = platform.users_front.requests() - calls_before;
    let connections = platform.users_front.accepted() - connections_before;

    let first = latencies(samples.iter().filter(|sample| sample.first));
    let later = latencies(samples.iter().filter(|sample| !sample.first));
    let others: Vec<_> = samples.iter().filter(|sample| sample.status != Some(503)).collect();
    let growth = peak.saturating_sub(before);
    let mut verdict = Verdict::new(format!(
        "{} answers, {} other than 503; first ones within {}, then p99 {} (max {}); at most {most_open} calls open, \
         {calls} in all, {connections} new connections; memory + {} MiB (from {}); the answers: {}",
        samples.len(),
        others.len(),
        ms(first.max()),
        ms(later.percentile(99.0)),
        ms(later.max()),
        mib(growth),
        mib(before),
        outcomes(&samples),
    ));
    verdict.expect(others.is_empty(), || format!("not 503: {}", outcomes(others.iter().copied())));
    verdict.expect(first.max() <= FIRST, || format!("a first answer took {}", ms(first.max())));
    verdict.expect(later.percentile(99.0) <= LATER_P99, || format!("later p99 {}", ms(later.percentile(99.0))));
    verdict.expect(most_open <= MOST_OPEN, || format!("{most_open} calls open"));
    verdict.expect(growth <= MEMORY_BYTES, || format!("memory + {} MiB", mib(growth)));
    Ok(Tried { how: format!("{CONNECTIONS} connections that place orders for {} s, SQLite", time.as_secs()), verdict })
}

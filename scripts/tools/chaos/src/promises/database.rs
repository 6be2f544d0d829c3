//! Promise 5: requests fail fast while PostgreSQL is down or hangs, and succeed soon after it has recovered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::http::{get, post};
use harness::load::{Load, Sample, latencies, results};
use harness::measurements::ms;
use harness::proxy::Mode;
use service_testing::Kind;
use tokio::task::block_in_place;

use crate::platform::{ORDER_SERVICE, ORDERS, Platform, Setup, USER_SERVICE, USERS, order, unique, user};
use crate::run::Run;
use crate::verdict::Verdict;

const MAX_LATENCY: Duration = Duration::from_secs(1);
const MAX_RECOVERY: Duration = Duration::from_secs(3);
const CLIENTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Suspended,
    Killed,
    /// Of the connections.
    Proxied(Mode),
}

const FAULTS: [Fault; 5] = [
    Fault::Suspended,
    Fault::Killed,
    Fault::Proxied(Mode::BlackHole),
    Fault::Proxied(Mode::Reset),
    Fault::Proxied(Mode::HalfClose),
];

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let time = Duration::from_secs(run.choose(2, 15));
    let repetitions = run.choose(1, 5);
    let mut verdict = Verdict::default();
    let mut platform = Platform::start(run, Kind::Postgres, Setup::default()).await?;
    for fault in FAULTS {
        for _ in 0..repetitions {
            let seen = inject(run, &platform, fault, time).await?;
            let p99 = ms(latencies(&seen.during).percentile(99.0));
            verdict.measured(run, format!("{fault:?}: p99 {p99} of {}: {}", seen.during.len(), results(&seen.during)));
            let others = seen.during.iter().filter(|sample| sample.status != Some(503)).count();
            verdict.none(format_args!("{fault:?}: answers other than 503"), others);
            let slowest = seen.during.iter().map(|sample| sample.took).max().unwrap_or_default();
            verdict.at_most(format_args!("{fault:?}: the slowest answer"), slowest, MAX_LATENCY, ms);
            verdict.at_most(format_args!("{fault:?}: healed after"), seen.healed, MAX_RECOVERY, ms);
        }
    }
    for member in platform.services.members.iter_mut() {
        verdict.expect(member.instance.process.is_running()?, || format!("{} ended", member.service.name));
    }
    Ok(verdict.with_method(format!(
        "SIGSTOP, kill -9, and during queries a black hole, resets and half-closed connections, {} s each under load, \
         {repetitions} ×, both services",
        time.as_secs()
    )))
}

/// The effect of one fault.
struct Effect {
    /// The exchanges that overlap the fault, except those that it did not hit.
    during: Vec<Sample>,
    /// The time from the end of the fault to the end of the last failure.
    healed: Duration,
}

async fn inject(run: &Run, platform: &Platform<'_>, fault: Fault, time: Duration) -> Result<Effect> {
    let user_id = platform.create_user().await?;
    let (orders, users) = (platform.address(ORDER_SERVICE), platform.address(USER_SERVICE));
    let turn = AtomicUsize::new(0);
    let source = move || match turn.fetch_add(1, Ordering::Relaxed) % 5 {
        0 => (orders, post(ORDERS, Some(&format!("database {}", unique())), &order(user_id, unique()))),
        1 => (orders, get("/api/v1/orders?limit=10")),
        2 => (users, post(USERS, None, &user(unique()))),
        3 => (users, get(&format!("{USERS}/{user_id}"))),
        _ => (users, get("/ready")),
    };
    let load = Load::start(CLIENTS, Duration::from_secs(10), PAUSE, source);
    let postgres = run.postgres().await?;
    let proxy = platform.databases.proxy.as_ref();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (begin, end, recovered) = match fault {
        Fault::Suspended => {
            let suspended = postgres.suspend()?;
            let begin = Instant::now();
            tokio::time::sleep(time).await;
            drop(suspended);
            let end = Instant::now();
            (begin, end, end)
        }
        Fault::Killed => {
            block_in_place(|| postgres.kill())?;
            let begin = Instant::now();
            tokio::time::sleep(time).await;
            let end = Instant::now();
            block_in_place(|| postgres.restart())?;
            (begin, end, Instant::now())
        }
        Fault::Proxied(mode) => {
            // So slow that nearly every request is waiting for a query.
            proxy.inspect(|proxy| proxy.set_mode(Mode::Delay(Duration::from_millis(25))));
            tokio::time::sleep(Duration::from_millis(500)).await;
            proxy.inspect(|proxy| proxy.set_mode(mode));
            let begin = Instant::now();
            tokio::time::sleep(time).await;
            proxy.inspect(|proxy| proxy.set_mode(Mode::Forward));
            let end = Instant::now();
            (begin, end, end)
        }
    };
    tokio::time::sleep(MAX_RECOVERY + Duration::from_millis(500)).await;
    let samples = load.finish().await;
    let failed = |sample: &&Sample| sample.status.is_none_or(|status| status >= 400);
    let last = samples.iter().filter(|sample| sample.begin >= begin).filter(failed).map(Sample::end).max();
    let healed = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(recovered));
    // The latency of an earlier request counts from the start of the fault.
    let hit =
        samples.into_iter().filter(|sample| sample.end() > begin && sample.begin < end).filter_map(|mut sample| {
            let before = begin.saturating_duration_since(sample.begin);
            if !before.is_zero() {
                sample.took -= before;
                sample.begin = begin;
            }
            let succeeded = sample.status.is_some_and(|status| status < 400);
            // It began before the fault or ended after it, so that its success says nothing about the fault.
            let crosses_bounds = !before.is_zero() || sample.end() >= end;
            (!(succeeded && crosses_bounds)).then_some(sample)
        });
    Ok(Effect { during: hit.collect(), healed })
}

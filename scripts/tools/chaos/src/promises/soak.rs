//! Promise 11: under half load, memory and descriptors of the services do not grow.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::http::{get, post};
use harness::load::{Load, Sample, results};
use harness::measurements::{Counts, mib, slope};
use harness::usage::{memory_bytes, open_files};
use service_testing::KINDS;
use tokio::time::sleep;

use crate::platform::{ORDER_SERVICE, ORDERS, Platform, Setup, USER_SERVICE, USERS, order, unique, user};
use crate::run::Run;
use crate::verdict::Verdict;

/// Clients of each platform.
const CLIENTS: usize = 8;
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The maximum growth of a process in the evaluated time: less than one leaked connection or buffer a minute.
const MAX_DESCRIPTORS: f64 = 2.0;
/// Quick form: the allocator has not settled after a minute. Long form: what remains is a leak.
const MAX_MEMORY_BYTES: (f64, f64) = (2.0 * 1024.0 * 1024.0, 4.0 * 1024.0 * 1024.0);

/// What a process used, by the seconds since the start.
#[derive(Debug, Default)]
struct Growth {
    descriptors: Vec<(f64, f64)>,
    memory: Vec<(f64, f64)>,
}

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let time = Duration::from_secs(run.choose(120, 3600));
    let mut platforms = Vec::new();
    for kind in KINDS {
        let platform = Platform::start(run, kind, Setup { unproxied: true, pinned: false }).await?;
        let user_id = platform.create_user().await?;
        platforms.push((kind, platform, user_id));
    }
    let start = |pause: Duration| -> Vec<Load> {
        let sources = platforms.iter().map(|(_, platform, user_id)| mixed(platform, *user_id));
        sources.map(|source| Load::start(CLIENTS, TIME_LIMIT, pause, source)).collect()
    };
    // The throughput of both without pauses is full load.
    let full = start(Duration::ZERO);
    sleep(Duration::from_secs(3)).await;
    let completed: usize = finish(full).await.iter().map(Vec::len).sum();
    let full_rate = completed as f64 / 3.0;
    let clients = (CLIENTS * platforms.len()) as f64;
    let pause = Duration::from_secs_f64(1.4 * clients / full_rate);
    run.progress(format_args!("full load is {full_rate:.0} requests/s"));

    let loads = start(pause);
    let mut growths: Vec<(String, Growth)> = Vec::new();
    for (kind, platform, _) in &platforms {
        for member in &platform.services.members {
            growths.push((format!("{} on {kind:?}", member.service.name), Growth::default()));
        }
    }
    let (begin, mut requests, mut failures) = (Instant::now(), 0, Counts::default());
    let interval = (time / 240).max(Duration::from_millis(500));
    let mut reported = 0;
    while begin.elapsed() < time {
        sleep(interval).await;
        let at = begin.elapsed().as_secs_f64();
        let members = platforms.iter().flat_map(|(_, platform, _)| platform.services.members.iter());
        for (member, (_, growth)) in members.zip(&mut growths) {
            let process = member.instance.process.id();
            growth.descriptors.push((at, open_files(process)? as f64));
            growth.memory.push((at, memory_bytes(process)? as f64));
        }
        for load in &loads {
            let samples = load.take_samples();
            requests += samples.len();
            failures.merge(results(samples.iter().filter(|s| s.status.is_none_or(|status| status >= 300))));
        }
        // Searches and discards the logs of hours while they grow.
        if run.long {
            run.logs.scan()?;
        }
        let quarter = (4.0 * at / time.as_secs_f64()) as usize;
        if quarter > reported {
            reported = quarter;
            run.progress(format_args!("{at:.0} s of {}, {requests} requests", time.as_secs()));
        }
    }
    finish(loads).await;

    let rate = requests as f64 / time.as_secs_f64();
    let mut verdict = Verdict::default();
    verdict.measured(run, format!("{rate:.0} requests/s ({:.0}% of full load)", 100.0 * rate / full_rate));
    let max_memory = run.choose(MAX_MEMORY_BYTES.0, MAX_MEMORY_BYTES.1);
    for (name, growth) in &growths {
        // Pools, caches and the allocator fill in the first third.
        let settled = |points: &[(f64, f64)]| points[points.len() / 3..].to_vec();
        let (descriptors, memory) = (settled(&growth.descriptors), settled(&growth.memory));
        let seconds = time.as_secs_f64() * 2.0 / 3.0;
        let (more_descriptors, more_memory) = (slope(&descriptors) * seconds, slope(&memory) * seconds);
        let last = |points: &[(f64, f64)]| points.last().map_or(0.0, |point| point.1);
        let measurement = format!(
            "{name}: {:.0} descriptors ({more_descriptors:+.1} in {seconds:.0} s), {} MiB ({:+.1} MiB/h)",
            last(&descriptors),
            mib(last(&memory) as u64),
            more_memory / 1024.0 / 1024.0 / seconds * 3600.0,
        );
        verdict.measured(run, measurement);
        verdict.expect(more_descriptors.abs() <= MAX_DESCRIPTORS, || {
            format!("{name}: descriptors {more_descriptors:+.1}")
        });
        let show = |bytes: f64| format!("{:+.2} MiB", bytes / 1024.0 / 1024.0);
        verdict.at_most(format_args!("{name}: more memory"), more_memory, max_memory, show);
    }
    verdict.expect(failures.total() == 0, || format!("not every request succeeded: {failures}"));
    let limit = max_memory / 1024.0 / 1024.0;
    Ok(verdict.with_method(format!(
        "half load on both databases concurrently for {} s; in the last two thirds the trend may be {MAX_DESCRIPTORS} \
         descriptors and {limit} MiB",
        time.as_secs()
    )))
}

/// A realistic mix of requests.
fn mixed(platform: &Platform<'_>, user_id: i64) -> impl Fn() -> (SocketAddr, Vec<u8>) + Send + Sync + use<> {
    let (orders, users) = (platform.address(ORDER_SERVICE), platform.address(USER_SERVICE));
    let turn = AtomicUsize::new(0);
    move || match turn.fetch_add(1, Ordering::Relaxed) % 8 {
        0 | 1 => (orders, post(ORDERS, Some(&format!("soak {}", unique())), &order(user_id, unique()))),
        2 | 3 => (orders, get(&format!("{ORDERS}?user_id={user_id}&limit=10"))),
        4 => (users, post(USERS, Some(&format!("soak {}", unique())), &user(unique()))),
        5 => (users, get(&format!("{USERS}?limit=10"))),
        6 => (users, get(&format!("{USERS}/{user_id}"))),
        _ => (orders, get("/ready")),
    }
}

async fn finish(loads: Vec<Load>) -> Vec<Vec<Sample>> {
    futures::future::join_all(loads.into_iter().map(Load::finish)).await
}

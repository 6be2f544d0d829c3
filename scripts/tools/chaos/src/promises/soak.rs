//! Promise 11: at half of what they can do, the services go on without growing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use service_testing::KINDS;
use tokio::time::sleep;

use super::{Tried, Verdict};
use crate::figures::{mib, slope};
use crate::http1::{get, post};
use crate::keyed::Troubles;
use crate::load::{Load, outcomes};
use crate::platform::{ORDERS, Platform, Setup, USERS, order, unique, user};
use crate::process::Process;
use crate::run::Run;

/// Clients of each platform.
const CLIENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);
/// What a trend may add to a process in the time that is judged: less than one lost connection or buffer a minute.
const DESCRIPTORS: f64 = 2.0;
/// Quick: an allocator has not come to rest after a minute. Long: what remains is a leak.
const MEMORY_BYTES: (f64, f64) = (2.0 * 1024.0 * 1024.0, 4.0 * 1024.0 * 1024.0);

/// What a process had at a time, in seconds.
#[derive(Debug, Default)]
struct Growth {
    descriptors: Vec<(f64, f64)>,
    memory: Vec<(f64, f64)>,
}

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let time = Duration::from_secs(run.choose(120, 8 * 3600));
    let mut platforms = Vec::new();
    for kind in KINDS {
        let platform = Platform::start(run, kind, Setup { direct: true, apart: false }).await?;
        let user_id = platform.create_user().await?;
        platforms.push((kind, platform, user_id));
    }
    let start = |pause: Duration| -> Vec<Load> {
        let source = |platform: &Platform<'_>, user_id: i64| mixed(platform, user_id);
        let loads = platforms.iter().map(|(_, platform, user_id)| source(platform, *user_id));
        loads.map(|source| Load::start(CLIENTS, PATIENCE, pause, source)).collect()
    };
    // What both do together when nobody waits: half of that is half load.
    let full = start(Duration::ZERO);
    sleep(Duration::from_secs(3)).await;
    let done: usize = finish(full).await.iter().map(Vec::len).sum();
    let full_rate = done as f64 / 3.0;
    let clients = (CLIENTS * platforms.len()) as f64;
    let pause = Duration::from_secs_f64(1.4 * clients / full_rate);
    run.say(format_args!("full load is {full_rate:.0} requests/s"));

    let loads = start(pause);
    let mut growths: Vec<(String, Growth)> = Vec::new();
    for (kind, ..) in &platforms {
        for name in ["user-service", "order-service"] {
            growths.push((format!("{name} on {kind:?}"), Growth::default()));
        }
    }
    let (begin, mut requests, mut troubles) = (Instant::now(), 0, Troubles::default());
    let interval = (time / 240).max(Duration::from_millis(500));
    let mut told = 0;
    while begin.elapsed() < time {
        sleep(interval).await;
        let at = begin.elapsed().as_secs_f64();
        let processes =
            platforms.iter().flat_map(|(_, platform, _)| [&platform.users.process, &platform.orders.process]);
        for (process, (_, growth)) in processes.zip(&mut growths) {
            note(process, at, growth)?;
        }
        for load in &loads {
            let samples = load.take_samples();
            requests += samples.len();
            troubles.merge(outcomes(samples.iter().filter(|s| s.status.is_none_or(|status| status >= 300))));
        }
        // Hours of logs are looked at and let go as they come.
        if run.long {
            run.logs.scan()?;
        }
        let quarter = (4.0 * at / time.as_secs_f64()) as usize;
        if quarter > told {
            told = quarter;
            run.say(format_args!("{at:.0} s of {}, {requests} requests", time.as_secs()));
        }
    }
    finish(loads).await;

    let rate = requests as f64 / time.as_secs_f64();
    let mut verdict = Verdict::new("");
    let mut figures = vec![format!("{rate:.0} requests/s ({:.0}% of full load)", 100.0 * rate / full_rate)];
    let most_memory = run.choose(MEMORY_BYTES.0, MEMORY_BYTES.1);
    for (name, growth) in &growths {
        // The first third is for pools, caches and the allocator to fill.
        let settled = |points: &[(f64, f64)]| points[points.len() / 3..].to_vec();
        let (descriptors, memory) = (settled(&growth.descriptors), settled(&growth.memory));
        let seconds = time.as_secs_f64() * 2.0 / 3.0;
        let (more_descriptors, more_memory) = (slope(&descriptors) * seconds, slope(&memory) * seconds);
        let last = |points: &[(f64, f64)]| points.last().map_or(0.0, |point| point.1);
        figures.push(format!(
            "{name}: {:.0} descriptors ({more_descriptors:+.1} in {seconds:.0} s), {} MiB ({:+.2} MiB, {:+.1} MiB/h)",
            last(&descriptors),
            mib(last(&memory) as u64),
            more_memory / 1024.0 / 1024.0,
            more_memory / 1024.0 / 1024.0 / seconds * 3600.0,
        ));
        verdict.expect(more_descriptors.abs() <= DESCRIPTORS, || format!("{name}: descriptors {more_descriptors:+.1}"));
        verdict
            .expect(more_memory <= most_memory, || format!("{name}: memory {:+.2} MiB", more_memory / 1024.0 / 1024.0));
    }
    verdict.expect(troubles.count() == 0, || format!("not every request succeeded: {troubles}"));
    verdict.figures = figures.join("; ");
    let limit = most_memory / 1024.0 / 1024.0;
    let how = format!(
        "half load on both databases at once for {} s; of the last two thirds the trend may be {DESCRIPTORS} descriptors and {limit} MiB",
        time.as_secs()
    );
    Ok(Tried { how, verdict })
}

/// What clients do on an ordinary day.
fn mixed(platform: &Platform<'_>, user_id: i64) -> Arc<crate::load::Source> {
    let (orders, users) = (platform.orders.address, platform.users.address);
    let turn = AtomicUsize::new(0);
    Arc::new(move || match turn.fetch_add(1, Ordering::Relaxed) % 8 {
        0 | 1 => (orders, post(ORDERS, Some(&format!("soak {}", unique())), &order(user_id, unique()))),
        2 | 3 => (orders, get(&format!("{ORDERS}?user_id={user_id}&limit=10"))),
        4 => (users, post(USERS, Some(&format!("soak {}", unique())), &user(unique()))),
        5 => (users, get(&format!("{USERS}?limit=10"))),
        6 => (users, get(&format!("{USERS}/{user_id}"))),
        _ => (orders, get("/ready")),
    })
}

async fn finish(loads: Vec<Load>) -> Vec<Vec<crate::load::Sample>> {
    futures::future::join_all(loads.into_iter().map(Load::finish)).await
}

fn note(process: &Process, at: f64, growth: &mut Growth) -> Result<()> {
    growth.descriptors.push((at, process.descriptors()? as f64));
    growth.memory.push((at, process.memory_bytes()? as f64));
    Ok(())
}

//! Promise 5: when PostgreSQL is away, hangs or is swallowed, requests fail fast; when it is back, all is well again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use service_testing::Kind;
use tokio::task::block_in_place;

use super::{Tried, Verdict};
use crate::figures::ms;
use crate::http1::{get, post};
use crate::load::{Load, Sample, latencies, outcomes};
use crate::platform::{ORDERS, Platform, Setup, USERS, order, unique, user};
use crate::proxy::Mode;
use crate::run::Run;

const FAST: Duration = Duration::from_secs(1);
const HEALED: Duration = Duration::from_secs(3);
const CLIENTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Suspended,
    Killed,
    Swallowed,
    Reset,
    HalfClosed,
}

impl Fault {
    const ALL: [Self; 5] = [Self::Suspended, Self::Killed, Self::Swallowed, Self::Reset, Self::HalfClosed];
}

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let time = Duration::from_secs(run.choose(2, 15));
    let times = run.choose(1, 5);
    let mut figures = Vec::new();
    let mut verdict = Verdict::new("");
    let mut platform = Platform::start(run, Kind::Postgres, Setup::default()).await?;
    for fault in Fault::ALL {
        for _ in 0..times {
            let seen = suffer(run, &platform, fault, time).await?;
            let slowest = latencies(&seen.during).max();
            let figure = format!(
                "{fault:?}: {} answers, the slowest after {} (p99 {}), healed after {}",
                seen.during.len(),
                ms(slowest),
                ms(latencies(&seen.during).percentile(99.0)),
                ms(seen.healed)
            );
            run.say(format_args!("{figure}; {}", outcomes(&seen.during)));
            figures.push(figure);
            let others: Vec<_> = seen.during.iter().filter(|sample| sample.status != Some(503)).collect();
            verdict.expect(others.is_empty(), || format!("{fault:?}: not 503: {}", outcomes(others.iter().copied())));
            let late: Vec<_> = seen.during.iter().filter(|sample| sample.took > FAST).collect();
            verdict.expect(late.is_empty(), || {
                format!(
                    "{fault:?}: {} answers took up to {}: {}",
                    late.len(),
                    ms(slowest),
                    outcomes(late.iter().copied())
                )
            });
            verdict.expect(seen.healed <= HEALED, || format!("{fault:?}: healed after {}", ms(seen.healed)));
        }
    }
    for service in [&mut platform.users, &mut platform.orders] {
        verdict.expect(service.process.is_running()?, || "a service ended".to_owned());
    }
    verdict.figures = figures.join("; ");
    Ok(Tried {
        how: format!(
            "SIGSTOP, kill -9, and in mid-query a black hole, resets and half-closed connections, {} s each under load, {times} ×, both services",
            time.as_secs()
        ),
        verdict,
    })
}

struct Seen {
    /// Everything that was under way when the fault began, or asked before it ended, and did not succeed before it began.
    during: Vec<Sample>,
    /// From when the server could be reached again to the end of the last failure.
    healed: Duration,
}

async fn suffer(run: &Run, platform: &Platform<'_>, fault: Fault, time: Duration) -> Result<Seen> {
    let user_id = platform.create_user().await?;
    let (orders, users) = (platform.orders.address, platform.users.address);
    let turn = AtomicUsize::new(0);
    let source = move || match turn.fetch_add(1, Ordering::Relaxed) % 5 {
        0 => (orders, post(ORDERS, Some(&format!("database {}", unique())), &order(user_id, unique()))),
        1 => (orders, get("/api/v1/orders?limit=10")),
        2 => (users, post(USERS, None, &user(unique()))),
        3 => (users, get(&format!("{USERS}/{user_id}"))),
        _ => (users, get("/ready")),
    };
    let load = Load::start(CLIENTS, Duration::from_secs(10), PAUSE, Arc::new(source));
    let postgres = run.postgres().await?;
    let proxy = platform.databases.proxy.as_ref();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (begin, end, back) = match fault {
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
        Fault::Swallowed | Fault::Reset | Fault::HalfClosed => {
            // So slow that nearly every request is in the middle of a query.
            proxy.inspect(|proxy| proxy.set_mode(Mode::Delay(Duration::from_millis(25))));
            tokio::time::sleep(Duration::from_millis(500)).await;
            let mode = match fault {
                Fault::Reset => Mode::Reset,
                Fault::HalfClosed => Mode::HalfClose,
                _ => Mode::BlackHole,
            };
            proxy.inspect(|proxy| proxy.set_mode(mode));
            let begin = Instant::now();
            tokio::time::sleep(time).await;
            proxy.inspect(|proxy| proxy.set_mode(Mode::Forward));
            let end = Instant::now();
            (begin, end, end)
        }
    };
    tokio::time::sleep(HEALED + Duration::from_millis(500)).await;
    let samples = load.finish().await;
    let failed = |sample: &&Sample| sample.status.is_none_or(|status| status >= 400);
    let last = samples.iter().filter(|sample| sample.begin >= begin).filter(failed).map(Sample::end).max();
    let healed = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(back));
    // What was asked before the fault has its time from when the fault began; what succeeded then was not hit.
    let hit =
        samples.into_iter().filter(|sample| sample.end() > begin && sample.begin < end).filter_map(|mut sample| {
            let before = begin.saturating_duration_since(sample.begin);
            if !before.is_zero() {
                sample.took -= before;
                sample.begin = begin;
            }
            let well = sample.status.is_some_and(|status| status < 400);
            // Answered in the moment in which the fault began, or asked in the one in which it ended.
            let at_the_edge = !before.is_zero() || sample.end() >= end;
            (!(well && at_the_edge)).then_some(sample)
        });
    Ok(Seen { during: hit.collect(), healed })
}

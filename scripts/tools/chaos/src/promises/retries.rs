//! Promise 4: when user-service fails, retries do not multiply what it has to bear, and it is found well again soon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use service_testing::Kind;

use super::{Tried, Verdict};
use crate::figures::ms;
use crate::http1::post;
use crate::load::{Load, Sample, outcomes};
use crate::platform::{Databases, ORDERS, Setup, Users, order, order_settings, start, unique};
use crate::process::Program;
use crate::run::Run;
use crate::stub::StubUserService;

const AMPLIFICATION: f64 = 1.1;
const RECOVERY: Duration = Duration::from_secs(2);
/// Many clients at once; and so few that a circuit breaker would rather see single failures.
const LOADS: [(usize, Duration); 2] = [(50, Duration::from_millis(5)), (2, Duration::from_millis(100))];

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let steady = Duration::from_secs(run.choose(5, 60));
    let flaps = run.choose(2, 30);
    let mut figures = Vec::new();
    let mut verdict = Verdict::new("");
    for (clients, pause) in LOADS {
        let databases = Databases::new(run, Kind::Sqlite).await?;
        let stub = StubUserService::start().await?;
        let settings = order_settings(&databases, stub.address);
        let service = start(run, Program::OrderService, Setup::default(), &settings).await?;
        let address = service.address;
        let source = move || (address, post(ORDERS, None, &order(Users::ANY.next(), unique())));
        let patience = Duration::from_secs(10);
        let warm_up = Load::start(clients, patience, pause, Arc::new(source));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let samples = warm_up.finish().await;
        verdict.expect(samples.iter().all(|s| s.status == Some(201)), || format!("before: {}", outcomes(&samples)));

        // Only failing: the ratio holds from the first request on.
        stub.set_failing(true);
        let calls = stub.calls();
        let load = Load::start(clients, patience, pause, Arc::new(source));
        tokio::time::sleep(steady).await;
        let failing = load.finish().await;
        let ratio = (stub.calls() - calls) as f64 / failing.len().max(1) as f64;
        verdict.expect(failing.iter().all(|sample| sample.status == Some(503)), || {
            format!("while it fails: {}", outcomes(&failing))
        });

        // Flapping, then well for good.
        let calls = stub.calls();
        let load = Load::start(clients, patience, pause, Arc::new(source));
        let mut slowest = Duration::ZERO;
        for _ in 0..flaps {
            stub.set_failing(false);
            tokio::time::sleep(Duration::from_secs(1)).await;
            stub.set_failing(true);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let flapping_ratio = (stub.calls() - calls) as f64 / load.samples().len().max(1) as f64;
        stub.set_failing(false);
        let well = Instant::now();
        tokio::time::sleep(RECOVERY + Duration::from_secs(1)).await;
        let samples = load.finish().await;
        slowest = slowest.max(last_failure(&samples, well));
        let succeeded = samples.iter().filter(|sample| sample.status == Some(201)).count();

        figures.push(format!(
            "{clients} clients: {ratio:.3} calls a request in steady failure ({} requests), {flapping_ratio:.3} flapping \
             ({succeeded} of {} succeeded), the last failure {} after recovery",
            failing.len(),
            samples.len(),
            ms(slowest)
        ));
        verdict.expect(ratio <= AMPLIFICATION, || format!("{ratio:.3} calls a request"));
        verdict.expect(slowest <= RECOVERY, || format!("still failing {} after recovery", ms(slowest)));
        run.say(figures.last().map(String::as_str).unwrap_or_default());
    }
    verdict.figures = figures.join("; ");
    Ok(Tried {
        how: format!(
            "user-service answers 503 for {} s, then comes and goes each second, {flaps} times",
            steady.as_secs()
        ),
        verdict,
    })
}

/// How long after `well` a request still failed.
fn last_failure(samples: &[Sample], well: Instant) -> Duration {
    let failed = samples.iter().filter(|sample| sample.begin >= well && sample.status != Some(201));
    failed.map(|sample| sample.end() - well).max().unwrap_or_default()
}

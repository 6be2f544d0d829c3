//! Promise 4: retries do not amplify the load on a failing user-service, and calls resume soon after it has recovered.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::http::post;
use harness::load::{Load, Sample, results};
use harness::measurements::ms;
use service_testing::Kind;

use crate::platform::{Databases, ORDER_SERVICE, ORDERS, USER_SERVICE, Users, order, service, unique};
use crate::run::Run;
use crate::stub_user_service::StubUserService;
use crate::verdict::Verdict;

const MAX_AMPLIFICATION: f64 = 1.1;
const MAX_RECOVERY: Duration = Duration::from_secs(2);
/// Clients and their pauses: many, and so few that a circuit breaker sees single failures.
const LOADS: [(usize, Duration); 2] = [(50, Duration::from_millis(5)), (2, Duration::from_millis(100))];

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let steady = Duration::from_secs(run.choose(5, 60));
    let flaps = run.choose(2, 30);
    let mut verdict = Verdict::default();
    for (clients, pause) in LOADS {
        let databases = Databases::new(run, Kind::Sqlite).await?;
        let stub = StubUserService::start().await?;
        let service = service(ORDER_SERVICE)?;
        let settings = databases.settings(service, |name| (name == USER_SERVICE).then_some(stub.address));
        let instance = run.start(service, false, &settings).await?;
        let address = instance.address;
        let source = move || (address, post(ORDERS, None, &order(Users::ANY.next(), unique())));
        let time_limit = Duration::from_secs(10);
        let warm_up = Load::start(clients, time_limit, pause, source);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let samples = warm_up.finish().await;
        verdict.expect(samples.iter().all(|s| s.status == Some(201)), || format!("before: {}", results(&samples)));

        // Steady failure: the ratio holds from the first request on.
        stub.set_failing(true);
        let calls = stub.calls();
        let load = Load::start(clients, time_limit, pause, source);
        tokio::time::sleep(steady).await;
        let failing = load.finish().await;
        let ratio = (stub.calls() - calls) as f64 / failing.len().max(1) as f64;
        verdict.expect(failing.iter().all(|sample| sample.status == Some(503)), || {
            format!("while it fails: {}", results(&failing))
        });

        // Flapping, then recovered.
        let calls = stub.calls();
        let load = Load::start(clients, time_limit, pause, source);
        for _ in 0..flaps {
            stub.set_failing(false);
            tokio::time::sleep(Duration::from_secs(1)).await;
            stub.set_failing(true);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let flapping_ratio = (stub.calls() - calls) as f64 / load.count().max(1) as f64;
        stub.set_failing(false);
        let recovered = Instant::now();
        tokio::time::sleep(MAX_RECOVERY + Duration::from_secs(1)).await;
        let samples = load.finish().await;
        let succeeded = samples.iter().filter(|sample| sample.status == Some(201)).count();

        let measurement = format!(
            "{clients} clients: {} requests in steady failure; {flapping_ratio:.3} calls per request while flapping \
             ({succeeded} of {} succeeded)",
            failing.len(),
            samples.len(),
        );
        verdict.measured(run, measurement);
        let what = format_args!("{clients} clients: calls per request in steady failure");
        verdict.at_most(what, ratio, MAX_AMPLIFICATION, |ratio| format!("{ratio:.3}"));
        let what = format_args!("{clients} clients: the last failure after recovery");
        verdict.at_most(what, last_failure(&samples, recovered), MAX_RECOVERY, ms);
    }
    Ok(verdict.with_method(format!(
        "user-service answers 503 for {} s, then recovers and fails again each second, {flaps} times",
        steady.as_secs()
    )))
}

/// The end of the last failure of a request sent after recovery, as the time since then.
fn last_failure(samples: &[Sample], recovered: Instant) -> Duration {
    let failed = samples.iter().filter(|sample| sample.begin >= recovered && sample.status != Some(201));
    failed.map(|sample| sample.end() - recovered).max().unwrap_or_default()
}

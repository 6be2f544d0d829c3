//! Promise 9: replacing the instances one by one under load loses nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::measurements::ms;
use harness::process::{Instance, POLL_INTERVAL, Settings};
use harness::proxy::{Proxy, Target};
use harness::topology::{self, Service};
use service_testing::Kind;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::acknowledged::Audit;
use crate::platform::{Databases, ORDER_SERVICE, USER_SERVICE, Users, service_of};
use crate::run::Run;
use crate::verdict::Verdict;
use crate::writers::Writers;

const WRITERS: usize = 12;
/// Of each service.
const INSTANCES: usize = 2;
/// The time limit of one request with its retries: generous, as some instance is always ready.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// How long an instance may take to stop after SIGTERM.
const MAX_STOP: Duration = Duration::from_secs(15);
/// The interval between health checks of an instance.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let mut random = run.random(9);
    let databases = Databases::new(run, Kind::Postgres).await?;
    let mut groups = BTreeMap::<&str, Group>::new();
    // Each service is listed below those that it calls.
    for service in &topology::platform().services {
        let settings = databases.settings(service, |name| Some(groups.get(name)?.proxy.address()));
        groups.insert(&service.name, Group::start(run, service, settings).await?);
    }
    let fronts = (groups[ORDER_SERVICE].proxy.address(), groups[USER_SERVICE].proxy.address());
    let user_ids = Users::create(fronts.1).await?.all();
    let writers = Writers::start(WRITERS, fronts, user_ids, TIME_LIMIT, &mut random);
    writers.progress(WRITERS).await?;
    let rounds = run.choose(2, 50);
    let mut slowest = Duration::ZERO;
    let mut bad_exits = Vec::new();
    for round in 1..=rounds {
        for group in groups.values_mut() {
            for instance in 0..group.instances.len() {
                let (took, failure) = group.replace(run, instance).await?;
                slowest = slowest.max(took);
                bad_exits.extend(failure);
                writers.progress(WRITERS).await?;
            }
        }
        run.progress(format_args!("round {round} of {rounds}, {} acknowledged", writers.acknowledged()));
    }
    let written = writers.finish().await;
    let address = |path: &str| groups[service_of(path)].instances[0].address;
    let Audit { lost, duplicates } = written.acknowledged.audit_all(address).await?;

    let mut verdict = Verdict::default();
    let requests = written.acknowledged.len() + written.failed.total();
    verdict.none(format_args!("failed of {requests} requests with idempotency keys"), written.failed.total());
    verdict.measured(run, format!("retried after: {}; given up after: {}", written.failures, written.failed));
    verdict.measured(run, format!("{} restarts, slowest stop {}", rounds * groups.len() * INSTANCES, ms(slowest)));
    verdict.none("lost", lost);
    verdict.none("duplicates", duplicates);
    verdict.failures.extend(bad_exits);
    Ok(verdict.with_method(format!(
        "SIGTERM under load, two instances of each service behind a proxy, PostgreSQL, {rounds} rounds"
    )))
}

/// The instances of one service. Its proxy is a load balancer with health checks: it sends new connections to the
/// instances that are ready, and open connections stay where they are.
struct Group {
    service: &'static Service,
    settings: Settings,
    instances: Vec<Instance>,
    proxy: Arc<Proxy>,
    addresses: Arc<Mutex<Vec<SocketAddr>>>,
    _health_checks: JoinSet<()>,
}

impl Group {
    async fn start(run: &Run, service: &'static Service, settings: Settings) -> Result<Self> {
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            instances.push(run.start(service, false, &settings).await?);
        }
        let addresses: Vec<SocketAddr> = instances.iter().map(|instance| instance.address).collect();
        let proxy = Arc::new(Proxy::start(addresses.iter().copied().map(Target::Tcp).collect()).await?);
        let addresses = Arc::new(Mutex::new(addresses));
        let mut health_checks = JoinSet::new();
        health_checks.spawn(check(Arc::clone(&proxy), Arc::clone(&addresses)));
        Ok(Self { service, settings, instances, proxy, addresses, _health_checks: health_checks })
    }

    /// Stops an instance as an orchestrator does and starts another in its place. Returns how long it took to stop, and
    /// its exit status if that was a failure.
    async fn replace(&mut self, run: &Run, instance: usize) -> Result<(Duration, Option<String>)> {
        let begin = Instant::now();
        let old = &mut self.instances[instance];
        let status = old.process.terminate(MAX_STOP).await?;
        let took = begin.elapsed();
        let failure = (!status.success()).then(|| format!("{} ended with {status}", self.service.name));
        let new = run.start(self.service, false, &self.settings).await?;
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)[instance] = new.address;
        while !Instance::is_ready(new.address).await {
            sleep(POLL_INTERVAL).await;
        }
        *old = new;
        Ok((took, failure))
    }
}

async fn check(proxy: Arc<Proxy>, addresses: Arc<Mutex<Vec<SocketAddr>>>) {
    loop {
        let all = addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ready = Vec::new();
        for address in all {
            if Instance::is_ready(address).await {
                ready.push(Target::Tcp(address));
            }
        }
        proxy.set_targets(ready);
        sleep(HEALTH_CHECK_INTERVAL).await;
    }
}

//! Promise 9: replacing the instances one by one under load loses nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::balancer::Balancer;
use harness::measurements::ms;
use harness::process::{Instance, POLL_INTERVAL, Settings};
use harness::topology::{self, Service};
use service_testing::Kind;

use crate::kill_results::Audit;
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

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let mut random = run.random(9);
    let databases = Databases::new(run, Kind::Postgres).await?;
    let mut groups = BTreeMap::<&str, Group>::new();
    // Each service is listed below those that it calls.
    for service in &topology::platform().services {
        let settings = databases.settings(service, |name| Some(groups.get(name)?.balancer.address()));
        groups.insert(&service.name, Group::start(run, service, settings).await?);
    }
    let fronts = (groups[ORDER_SERVICE].balancer.address(), groups[USER_SERVICE].balancer.address());
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

    let mut verdict = Verdict::new(format!(
        "{} failed of {} requests with idempotency keys, {lost} lost, {duplicates} duplicates; {} restarts, the \
         slowest stop took {}; retried after: {}",
        written.failed.total(),
        written.acknowledged.len() + written.failed.total(),
        rounds * groups.len() * INSTANCES,
        ms(slowest),
        written.failures,
    ));
    verdict.expect(written.failed.total() == 0, || format!("failed: {}", written.failed));
    verdict.expect(lost == 0, || format!("{lost} lost"));
    verdict.expect(duplicates == 0, || format!("{duplicates} duplicates"));
    verdict.failures.extend(bad_exits);
    Ok(verdict.with_method(format!(
        "SIGTERM under load, two instances of each service behind a proxy, PostgreSQL, {rounds} rounds"
    )))
}

/// The instances of one service.
struct Group {
    service: &'static Service,
    settings: Settings,
    instances: Vec<Instance>,
    balancer: Balancer,
}

impl Group {
    async fn start(run: &Run, service: &'static Service, settings: Settings) -> Result<Self> {
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            instances.push(run.start(service, false, &settings).await?);
        }
        let balancer = Balancer::start(instances.iter().map(|instance| instance.address).collect()).await?;
        Ok(Self { service, settings, instances, balancer })
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
        self.balancer.replace(old.address, new.address);
        while !Instance::is_ready(new.address).await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        *old = new;
        Ok((took, failure))
    }
}

//! Promise 9: instances can be replaced one after the other while clients go on.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use service_testing::Kind;

use super::{Tried, Verdict};
use crate::balancer::Balancer;
use crate::figures::ms;
use crate::ledger::list;
use crate::platform::{Databases, ORDERS, Setup, USERS, Users, order_settings, start};
use crate::process::{Program, Service};
use crate::run::Run;
use crate::writers::Writers;

const WRITERS: usize = 12;
/// How long a client tries one keyed order. Nothing is down, so that this is long.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the platform promises of SIGTERM.
const STOP_PROMISE: Duration = Duration::from_secs(15);

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let mut random = run.random(9);
    let databases = Databases::new(run, Kind::Postgres).await?;
    let mut users = Group::start(run, Program::UserService, databases.settings(Program::UserService)).await?;
    let settings = order_settings(&databases, users.balancer.address());
    let mut orders = Group::start(run, Program::OrderService, settings).await?;
    let user_ids = Users::create(users.balancer.address()).await?.all();

    let fronts = (orders.balancer.address(), users.balancer.address());
    let writers = Writers::start(WRITERS, fronts, user_ids, PATIENCE, &mut random);
    writers.progress(WRITERS).await?;
    let rounds = run.choose(2, 50);
    let mut slowest = Duration::ZERO;
    let mut bad_exits = Vec::new();
    for round in 1..=rounds {
        for group in [&mut orders, &mut users] {
            for instance in 0..group.instances.len() {
                let (took, trouble) = group.replace(run, instance).await?;
                slowest = slowest.max(took);
                bad_exits.extend(trouble);
                writers.progress(WRITERS).await?;
            }
        }
        run.say(format_args!("round {round} of {rounds}, {} acknowledged", writers.acknowledged()));
    }
    let written = writers.finish().await;
    let any = |group: &Group<'_>| -> SocketAddr { group.instances[0].address };
    let orders_account = written.ledger.audit(ORDERS, &list(any(&orders), ORDERS).await?, "product_id");
    let users_account = written.ledger.audit(USERS, &list(any(&users), USERS).await?, "email");
    let (lost, double) =
        (orders_account.lost + users_account.lost, orders_account.duplicates + users_account.duplicates);

    let mut verdict = Verdict::new(format!(
        "{} failed of {} keyed requests, {lost} lost, {double} double; {} restarts, the slowest stop took {}; sent again after: {}",
        written.failed.count(),
        written.ledger.len() + written.failed.count(),
        rounds * 4,
        ms(slowest),
        written.troubles,
    ));
    verdict.expect(written.failed.count() == 0, || format!("failed: {}", written.failed));
    verdict.expect(lost == 0, || format!("{lost} lost"));
    verdict.expect(double == 0, || format!("{double} double"));
    verdict.failures.extend(bad_exits);
    Ok(Tried {
        how: format!("SIGTERM under load, two instances of each service behind a proxy, PostgreSQL, {rounds} rounds"),
        verdict,
    })
}

/// The instances of one service.
struct Group<'a> {
    program: Program,
    settings: Vec<(&'a str, String)>,
    instances: Vec<Service>,
    balancer: Balancer,
}

impl Group<'static> {
    async fn start(run: &Run, program: Program, settings: Vec<(&'static str, String)>) -> Result<Self> {
        let mut instances = Vec::new();
        for _ in 0..2 {
            instances.push(start(run, program, Setup::default(), &settings).await?);
        }
        let balancer = Balancer::start(instances.iter().map(|instance| instance.address).collect()).await?;
        Ok(Self { program, settings, instances, balancer })
    }

    /// Stops an instance as an orchestrator does and starts another in its place. Gives how long it took to stop, and
    /// what was wrong with that.
    async fn replace(&mut self, run: &Run, instance: usize) -> Result<(Duration, Option<String>)> {
        let begin = Instant::now();
        let old = &mut self.instances[instance];
        let status = old.process.terminate(STOP_PROMISE).await?;
        let took = begin.elapsed();
        let trouble = (!status.success()).then(|| format!("{} ended with {status}", self.program.name()));
        let new = start(run, self.program, Setup::default(), &self.settings).await?;
        self.balancer.replace(old.address, new.address);
        while !Service::is_ready(new.address).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        *old = new;
        Ok((took, trouble))
    }
}

//! Promises 1 and 2: no kill loses or duplicates an acknowledged order.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use harness::http::{Client, Reply, post};
use harness::measurements::Counts;
use service_testing::{KINDS, Kind};
use tokio::task::block_in_place;

use crate::acknowledged::{Audit, list, same_answer};
use crate::canary::email;
use crate::platform::{ORDER_SERVICE, ORDERS, Platform, Setup, USER_SERVICE, USERS, order, service_of, unique, user};
use crate::run::{KillResults, Run};
use crate::verdict::Verdict;
use crate::writers::{Writers, until_acknowledged};

/// Enough that requests are always in flight in every service.
const WRITERS: usize = 12;
/// How many equal requests are sent concurrently.
const RACERS: usize = 20;
/// The time limit of a request with an idempotency key, retries across repeated kills included.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// What is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Service(&'static str),
    Postgres,
}

/// Promise 1.
pub(crate) async fn nothing_is_lost(run: &Run) -> Result<Verdict> {
    let results = run.kill_results.get_or_try_init(|| kill_everything(run)).await?;
    let KillResults { kills, acknowledged, lost, failed, .. } = results;
    let mut verdict = Verdict::default();
    verdict.none(format_args!("lost of {acknowledged} acknowledged orders and users after {kills} kills"), *lost);
    verdict.expect(failed.total() == 0, || format!("requests with idempotency keys were given up: {failed}"));
    let times = run.choose(5, 100);
    Ok(verdict
        .with_method(format!("kill -9 of each service and of PostgreSQL under load, {times} × each, both databases")))
}

/// Promise 2.
pub(crate) async fn nothing_is_duplicated(run: &Run) -> Result<Verdict> {
    let results = run.kill_results.get_or_try_init(|| kill_everything(run)).await?;
    let races = race_all(run).await?;
    let KillResults { kills, duplicates, replays, different_replays, .. } = results;
    let mut verdict = Verdict::default();
    verdict.none(format_args!("duplicates after {kills} kills"), *duplicates);
    verdict.none(format_args!("different of {replays} replays"), *different_replays);
    let of = format!("of {} races of {RACERS} equal keys", races.count);
    verdict.none(format_args!("{of}, those without exactly one row"), races.not_one_row);
    verdict.none(format_args!("{of}, those with different answers"), races.different_answers);
    Ok(verdict.with_method("the same runs; races of 20 equal keys, on PostgreSQL across two instances"))
}

async fn kill_everything(run: &Run) -> Result<KillResults> {
    let mut results = KillResults::default();
    for kind in KINDS {
        kill_on(run, kind, &mut results).await?;
    }
    Ok(results)
}

async fn kill_on(run: &Run, kind: Kind, results: &mut KillResults) -> Result<()> {
    let mut random = run.random(100 + kind as u64);
    let mut platform = Platform::start(run, kind, Setup::default()).await?;
    let mut user_ids = Vec::new();
    for _ in 0..5 {
        user_ids.push(platform.create_user().await?);
    }
    let fronts = (platform.proxy(ORDER_SERVICE)?.address(), platform.proxy(USER_SERVICE)?.address());
    let writers = Writers::start(WRITERS, fronts, user_ids, TIME_LIMIT, &mut random);
    writers.progress(WRITERS).await?;
    // Callers before callees.
    let services = platform.services.members.iter().rev().map(|member| Victim::Service(&member.service.name));
    let postgres = (kind == Kind::Postgres).then_some(Victim::Postgres);
    let victims: Vec<_> = services.chain(postgres).collect();
    let rounds = run.choose(5, 100);
    for round in 1..=rounds {
        for victim in &victims {
            tokio::time::sleep(Duration::from_millis(random.u64(50..300))).await;
            let pause = Duration::from_millis(random.u64(0..150));
            match victim {
                Victim::Service(name) => platform.crash(name, pause).await?,
                Victim::Postgres => {
                    let postgres = run.postgres().await?;
                    block_in_place(|| postgres.kill())?;
                    tokio::time::sleep(pause).await;
                    block_in_place(|| postgres.restart())?;
                }
            }
            results.kills += 1;
            writers.progress(WRITERS).await?;
        }
        if round == rounds || round % 10 == 0 {
            run.progress(format_args!("{kind:?}: {round} of {rounds} rounds, {} acknowledged", writers.acknowledged()));
        }
    }
    let written = writers.finish().await;
    run.progress(format_args!("{kind:?}: failed attempts: {}", written.failures));
    let address = |path: &str| platform.address(service_of(path));
    let audit = written.acknowledged.audit_all(address).await?;
    if audit != Audit::default() {
        run.progress(format_args!("{kind:?}: {audit:?}"));
    }
    results.lost += audit.lost;
    results.duplicates += audit.duplicates;
    let (replays, different) = written.acknowledged.replay(address, run.choose(500, 5000)).await?;
    results.acknowledged += written.acknowledged.len();
    results.failed.merge(written.failed);
    results.replays += replays;
    results.different_replays += different;
    Ok(())
}

#[derive(Debug, Default)]
struct Races {
    count: usize,
    not_one_row: usize,
    different_answers: usize,
}

async fn race_all(run: &Run) -> Result<Races> {
    let mut races = Races::default();
    for kind in KINDS {
        let platform = Platform::start(run, kind, Setup::default()).await?;
        let user_id = platform.create_user().await?;
        let (orders, users) = (platform.address(ORDER_SERVICE), platform.address(USER_SERVICE));
        // A second instance shares no memory with the first. Two on one SQLite file are not supported.
        let second = match kind {
            Kind::Postgres => Some(platform.start_another(ORDER_SERVICE).await?),
            Kind::Sqlite => None,
        };
        let orders = [orders, second.as_ref().map_or(orders, |second| second.address)];
        for round in 0..run.choose(10, 200) {
            let number = unique();
            let (path, addresses, body, expected) = if round % 5 == 4 {
                (USERS, [users; 2], user(number), email(number))
            } else {
                (ORDERS, orders, order(user_id, number), number.to_string())
            };
            let request = post(path, Some(&format!("race {number}")), &body);
            let racers = (0..RACERS).map(|racer| {
                let (request, mut random) = (&request, run.random(number * 100 + racer as u64));
                let mut client = Client::new(addresses[racer % 2], Duration::from_secs(3));
                async move {
                    client.connect().await.map_err(|error| error.to_string())?;
                    let mut failures = Counts::default();
                    until_acknowledged(&mut client, request, TIME_LIMIT, &mut random, &mut failures).await
                }
            });
            let answers = join_all(racers).await;
            let same =
                |answer: &Result<Reply, String>| matches!((answer, &answers[0]), (Ok(a), Ok(b)) if same_answer(a, b));
            let field = if path == USERS { "email" } else { "product_id" };
            let rows = list(addresses[0], path).await?;
            let found = rows.iter().filter(|row| row[field].to_string().trim_matches('"') == expected).count();
            races.count += 1;
            races.not_one_row += usize::from(found != 1);
            races.different_answers += usize::from(!answers.iter().all(same));
        }
    }
    Ok(races)
}

//! Promises 1 and 2: whatever is killed, no acknowledged order is lost and none is there twice.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use service_testing::{KINDS, Kind};
use tokio::task::block_in_place;

use super::{Tried, Verdict};
use crate::http1::{Client, Reply, post};
use crate::keyed::{Troubles, until_acknowledged};
use crate::ledger::{Account, list, same_answer};
use crate::platform::{ORDERS, Platform, Setup, USERS, order, order_settings, start, unique, user};
use crate::process::Program;
use crate::run::Run;
use crate::writers::Writers;

/// Enough to keep both services busy at every moment.
const WRITERS: usize = 12;
/// How many equal requests race.
const RACERS: usize = 20;
/// A keyed request must come to its end within this, though everything is killed again and again.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the runs showed.
#[derive(Debug, Default)]
pub(crate) struct Durability {
    kills: usize,
    acknowledged: usize,
    account: Account,
    failed: Troubles,
    replays: usize,
    different_replays: usize,
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    Service(Program),
    Postgres,
}

/// Promise 1.
pub(crate) async fn nothing_is_lost(run: &Run) -> Result<Tried> {
    let seen = run.durability.get_or_try_init(|| break_everything(run)).await?;
    let mut verdict = Verdict::new(format!(
        "{} lost of {} acknowledged orders and users, {} kills",
        seen.account.lost, seen.acknowledged, seen.kills
    ));
    verdict.expect(seen.account.lost == 0, || format!("{} lost", seen.account.lost));
    verdict.expect(seen.failed.count() == 0, || format!("keyed requests were given up: {}", seen.failed));
    let times = run.choose(5, 100);
    Ok(Tried {
        how: format!("kill -9 of each service and of PostgreSQL under load, {times} × each, both databases"),
        verdict,
    })
}

/// Promise 2.
pub(crate) async fn nothing_is_double(run: &Run) -> Result<Tried> {
    let seen = run.durability.get_or_try_init(|| break_everything(run)).await?;
    let races = race_all(run).await?;
    let mut verdict = Verdict::new(format!(
        "{} duplicates and {} of {} replays different after {} kills; of {} races of {RACERS} equal keys {} had another \
         number of rows than 1, {} had different answers",
        seen.account.duplicates,
        seen.different_replays,
        seen.replays,
        seen.kills,
        races.count,
        races.not_one_row,
        races.different_answers,
    ));
    verdict.expect(seen.account.duplicates == 0, || format!("{} duplicates", seen.account.duplicates));
    verdict.expect(seen.different_replays == 0, || format!("{} replays differ", seen.different_replays));
    verdict.expect(races.not_one_row == 0, || format!("{} races without exactly one row", races.not_one_row));
    verdict
        .expect(races.different_answers == 0, || format!("{} races with different answers", races.different_answers));
    Ok(Tried { how: "the same runs; races of 20 equal keys, on PostgreSQL across two instances".to_owned(), verdict })
}

async fn break_everything(run: &Run) -> Result<Durability> {
    let mut seen = Durability::default();
    for kind in KINDS {
        break_all_of(run, kind, &mut seen).await?;
    }
    Ok(seen)
}

async fn break_all_of(run: &Run, kind: Kind, seen: &mut Durability) -> Result<()> {
    let mut random = run.random(100 + kind as u64);
    let mut platform = Platform::start(run, kind, Setup::default()).await?;
    let mut user_ids = Vec::new();
    for _ in 0..5 {
        user_ids.push(platform.create_user().await?);
    }
    let fronts = (platform.orders_front.address(), platform.users_front.address());
    let writers = Writers::start(WRITERS, fronts, user_ids, PATIENCE, &mut random);
    writers.progress(WRITERS).await?;
    let mut victims = vec![Victim::Service(Program::OrderService), Victim::Service(Program::UserService)];
    if kind == Kind::Postgres {
        victims.push(Victim::Postgres);
    }
    let rounds = run.choose(5, 100);
    for round in 1..=rounds {
        for victim in &victims {
            tokio::time::sleep(Duration::from_millis(random.u64(50..300))).await;
            let pause = Duration::from_millis(random.u64(0..150));
            match victim {
                Victim::Service(program) => platform.crash(*program, pause).await?,
                Victim::Postgres => {
                    let postgres = run.postgres().await?;
                    block_in_place(|| postgres.kill())?;
                    tokio::time::sleep(pause).await;
                    block_in_place(|| postgres.restart())?;
                }
            }
            seen.kills += 1;
            writers.progress(WRITERS).await?;
        }
        if round == rounds || round % 10 == 0 {
            run.say(format_args!("{kind:?}: {round} of {rounds} rounds, {} acknowledged", writers.acknowledged()));
        }
    }
    let written = writers.finish().await;
    run.say(format_args!("{kind:?}: on the way there were {}", written.troubles));
    for (path, address, mark) in
        [(ORDERS, platform.orders.address, "product_id"), (USERS, platform.users.address, "email")]
    {
        let account = written.ledger.audit(path, &list(address, path).await?, mark);
        if account != Account::default() {
            run.say(format_args!("{kind:?} {path}: {account:?}"));
        }
        seen.account.lost += account.lost;
        seen.account.duplicates += account.duplicates;
    }
    let address = |path: &str| if path == USERS { platform.users.address } else { platform.orders.address };
    let (replays, different) = written.ledger.replay(address, run.choose(500, 5000)).await?;
    seen.acknowledged += written.ledger.len();
    seen.failed.merge(written.failed);
    seen.replays += replays;
    seen.different_replays += different;
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
        // A second instance knows nothing of what the first is doing. Two on one SQLite file are not promised.
        let settings = order_settings(&platform.databases, platform.users_front.address());
        let second = match kind {
            Kind::Postgres => Some(start(run, Program::OrderService, Setup::default(), &settings).await?),
            Kind::Sqlite => None,
        };
        let orders =
            [platform.orders.address, second.as_ref().map_or(platform.orders.address, |second| second.address)];
        for round in 0..run.choose(10, 200) {
            let number = unique();
            let (path, addresses, body, mark) = if round % 5 == 4 {
                (USERS, [platform.users.address; 2], user(number), crate::canary::email(number))
            } else {
                (ORDERS, orders, order(user_id, number), number.to_string())
            };
            let request = post(path, Some(&format!("race {number}")), &body);
            let racers = (0..RACERS).map(|racer| {
                let (request, mut random) = (&request, run.random(number * 100 + racer as u64));
                let mut client = Client::new(addresses[racer % 2], Duration::from_secs(3));
                async move {
                    client.connect().await.map_err(|error| error.to_string())?;
                    let mut troubles = Troubles::default();
                    until_acknowledged(&mut client, request, PATIENCE, &mut random, &mut troubles).await
                }
            });
            let answers = join_all(racers).await;
            let same =
                |answer: &Result<Reply, String>| matches!((answer, &answers[0]), (Ok(a), Ok(b)) if same_answer(a, b));
            let field = if path == USERS { "email" } else { "product_id" };
            let rows = list(addresses[0], path).await?;
            let found = rows.iter().filter(|row| row[field].to_string().trim_matches('"') == mark).count();
            races.count += 1;
            races.not_one_row += usize::from(found != 1);
            races.different_answers += usize::from(!answers.iter().all(same));
        }
    }
    Ok(races)
}

//! Every service in one process, with events in a SQLite file.

use std::time::Duration;

use anyhow::Result;
use harness::process::Settings;
use sqlx::{Connection, SqliteConnection};
use tokio::time::sleep;

use super::books::Books;
use super::latency::{self, IDLE};
use super::outcome::Outcome;
use super::stage::Stage;
use crate::all_in_one::AllInOne;
use crate::customers::{Customers, Market, Ordered, create_products};
use crate::messages::{dead_letters, poison, recognised, repeat};
use crate::platform::{ORDER_SERVICE, PRODUCT_SERVICE, USER_SERVICE, create_user};
use crate::run::{RECOVERY, Run};

/// How many orders are placed each second while the process is killed.
const RATE: u32 = 40;
/// How many orders are placed between two kills, at least.
const BETWEEN: usize = 10;

/// Kills the process `kills` times, and then lets a backlog be handled.
pub(super) async fn play(run: &Run, kills: usize) -> Result<Outcome> {
    let mut random = run.random(1510);
    let mut process = AllInOne::start(run, Settings::new()).await?;
    let stage = stage(&process);
    stage.begin().await?;
    let mut users = Vec::new();
    for _ in 0..5 {
        users.push(create_user(process.address(USER_SERVICE)).await?);
    }
    let market = Market { orders: stage.orders, users, products: create_products(stage.products).await? };
    let mut outcome = Outcome::default();

    let customers = Customers::start(market.clone(), usize::MAX, Some(RATE), &mut random);
    let poisoned = random.usize(0..kills);
    for at in 0..kills {
        customers.progress(BETWEEN).await?;
        sleep(Duration::from_millis(random.u64(0..200))).await;
        process.program.kill()?;
        if at == poisoned {
            let events = process.events().await?;
            outcome.poison.extend(poison(&events, &mut random).await?);
            events.close().await;
        }
        process.program.start(&[]).await?;
    }
    outcome.kills = kills;
    let mut ordered = customers.stop().await?;
    stage.handle_all(RECOVERY).await?;
    ordered.merge(drain(&process, &stage, &market, run.backlog, &mut random, &mut outcome).await?);
    let (latency, more) = latency::measure(&stage, &market, IDLE).await?;
    outcome.latency = latency;
    ordered.merge(more);
    stage.handle_all(RECOVERY).await?;

    let consumed = stage.consumed().await?;
    let number = consumed.len() as u64;
    process.program.kill()?;
    let events = process.events().await?;
    repeat(&events, consumed).await?;
    events.close().await;
    process.program.start(&[]).await?;
    outcome.repeated = (number, recognised(&[stage.products], number).await?);
    outcome.books = Books::compare(&ordered.placed, &stage.find(&market.products).await?, stage.pays);
    process.program.kill()?;
    let events = process.events().await?;
    outcome.dead_letters = dead_letters(&events).await?;
    events.close().await;
    outcome.ordered(ordered);
    Ok(outcome)
}

/// Places `backlog` orders while the file of events is locked, and lets their events be handled.
async fn drain(
    process: &AllInOne<'_>,
    stage: &Stage,
    market: &Market,
    backlog: usize,
    random: &mut fastrand::Rng,
    outcome: &mut Outcome,
) -> Result<Ordered> {
    let url = format!("sqlite:{}", process.file("events.db").display());
    let mut file = SqliteConnection::connect(&url).await?;
    let lock = file.begin_with("BEGIN IMMEDIATE").await?;
    let ordered = Customers::start(market.clone(), backlog, None, random).all().await?;
    let events = stage.order_journal.waiting().await?;
    lock.rollback().await?;
    file.close().await?;
    let time_limit = RECOVERY + Duration::from_millis(20) * u32::try_from(events)?;
    outcome.backlog = Some((backlog, events, stage.handle_all(time_limit).await?));
    Ok(ordered)
}

fn stage(process: &AllInOne<'_>) -> Stage {
    Stage {
        orders: process.address(ORDER_SERVICE),
        products: process.address(PRODUCT_SERVICE),
        order_journal: process.journal(ORDER_SERVICE),
        product_journal: process.journal(PRODUCT_SERVICE),
        pays: true,
    }
}

//! Separate programs on one kind of database, with RabbitMQ between them.

use std::time::Duration;

use anyhow::{Context, Result};
use service_testing::{Broker, Kind};
use tokio::task::block_in_place;

use super::books::Books;
use super::faults::Step;
use super::latency::{self, IDLE};
use super::outcome::Outcome;
use super::shop::Shop;
use crate::customers::{Customers, Market, Ordered, create_products};
use crate::messages::{dead_letters, duplicates, poison, recognised, repeat};
use crate::run::{RECOVERY, Run};

/// How many orders are placed before the queue of product-service exists.
const EARLY: usize = 30;
/// How many orders are placed each second while faults happen.
const RATE: u32 = 40;

/// Lets `steps` happen, and then a backlog.
pub(super) async fn play(run: &Run, kind: Kind, broker: &mut Broker, steps: &[Step]) -> Result<Outcome> {
    let mut random = run.random(1500 + kind as u64);
    let mut shop = Shop::open(run, kind, broker).await?;
    shop.stage.begin().await?;
    let products = create_products(shop.stage.products).await?;
    let market = Market { orders: shop.stage.orders, users: (1..100).collect(), products };
    let mut outcome = Outcome::default();

    let customers = Customers::start(market.clone(), usize::MAX, Some(RATE), &mut random);
    customers.progress(EARLY).await?;
    outcome.unroutable = shop.stage.order_journal.waiting().await?;
    shop.connect_products().await?;
    let poisoned = random.usize(0..steps.len());
    for (at, step) in steps.iter().enumerate() {
        shop.suffer(step).await.with_context(|| format!("{:?}", step.fault))?;
        customers.progress(EARLY).await?;
        if at == poisoned {
            outcome.poison.extend(poison(&shop.transport, &mut random).await?);
        }
        run.progress(format_args!("{kind:?}: {:?}, {} orders placed", step.fault, customers.placed()));
        outcome.suffered(step);
    }
    let mut ordered = customers.stop().await?;
    shop.stage.handle_all(RECOVERY).await?;
    ordered.merge(drain(&mut shop, &market, run.backlog, &mut random, &mut outcome).await?);
    let (latency, more) = latency::measure(&shop.stage, &market, IDLE).await?;
    outcome.latency = latency;
    ordered.merge(more);
    shop.stage.handle_all(RECOVERY).await?;

    let before = duplicates(&shop.products()).await?;
    let events = shop.stage.consumed().await?;
    let number = events.len() as u64;
    repeat(&shop.transport, events).await?;
    outcome.repeated = (number, recognised(&shop.products(), before + number).await? - before);
    outcome.dead_letters = dead_letters(&shop.transport).await?;
    outcome.books = Books::compare(&ordered.placed, &shop.stage.find(&market.products).await?, shop.stage.pays);
    outcome.ordered(ordered);
    shop.transport.close().await;
    Ok(outcome)
}

/// Places `backlog` orders while there is no broker, and lets their events be handled.
async fn drain(
    shop: &mut Shop<'_>,
    market: &Market,
    backlog: usize,
    random: &mut fastrand::Rng,
    outcome: &mut Outcome,
) -> Result<Ordered> {
    block_in_place(|| shop.broker.kill())?;
    let ordered = Customers::start(market.clone(), backlog, None, random).all().await?;
    let events = shop.stage.order_journal.waiting().await?;
    block_in_place(|| shop.broker.restart())?;
    let time_limit = RECOVERY + Duration::from_millis(20) * u32::try_from(events)?;
    outcome.backlog = Some((backlog, events, shop.stage.handle_all(time_limit).await?));
    Ok(ordered)
}

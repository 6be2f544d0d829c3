//! Promise 14: every order ends paid and confirmed, or cancelled with money and stock back, and nobody is charged twice,
//! whatever is killed.

mod books;
mod found;
mod matrix;
mod outcome;
mod payers;
mod reconcile;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use harness::process::Settings;
use harness::proxy::{Proxy, Target};
use harness::topology;
use service_runtime::events::{Queue, Subscription, Transport};
use service_testing::{Broker, KINDS, Kind};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::sleep;

use self::books::Books;
use self::found::Found;
use self::outcome::Outcome;
use self::payers::{Payers, Shop, create_products};
use self::reconcile::reconcile;
use crate::all_in_one::AllInOne;
use crate::journal::Written;
use crate::messages::{duplicates, recognised, repeat};
use crate::platform::{
    NOTIFICATION_SERVICE, ORDER_SERVICE, PAYMENT_PROVIDER, PAYMENT_SERVICE, PRODUCT_SERVICE, USER_SERVICE, create_user,
};
use crate::program::ahead_by;
use crate::run::{RECOVERY, Run};
use crate::site::{Separate, Site};
use crate::verdict::Verdict;

/// How long an order waits for its payment, in seconds.
const PAYMENT_TIMEOUT_S: &str = "5";
const USERS_NUMBER: usize = 5;
/// How many orders there are for a piece of the scarce product.
const SCARCITY: usize = 8;
/// More minutes than a reservation is held for an order that is not placed.
const HELD_MINUTES: u32 = 20;
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// The services between which the events of an order go.
const HANDLERS: [&str; 3] = [PRODUCT_SERVICE, ORDER_SERVICE, PAYMENT_SERVICE];

/// How much happens.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// How many orders are placed, or refused.
    orders: usize,
    /// How many of them in a second.
    rate: u32,
    /// How often everything is killed.
    rounds: usize,
}

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let extent = run.choose(Extent { orders: 400, rate: 40, rounds: 2 }, Extent { orders: 6000, rate: 60, rounds: 10 });
    let mut verdict = Verdict::default();
    let mut broker = block_in_place(Broker::start)?;
    for kind in KINDS {
        let outcome = separate(run, kind, &mut broker, extent).await;
        outcome::judge(run, &mut verdict, &format!("{kind:?}"), outcome, Outcome::failures);
    }
    outcome::judge(run, &mut verdict, "all-in-one", together(run, extent).await, Outcome::failures);
    for kind in KINDS {
        let outcome = matrix::play(run, kind, &broker, run.choose(1, 10)).await;
        outcome::judge(run, &mut verdict, &format!("{kind:?}"), outcome, matrix::Outcome::failures);
    }
    let Extent { orders, rounds, .. } = extent;
    Ok(verdict.with_method(format!(
        "{orders} orders with every kind of payment method, a quarter of them of a scarce product, and some cancelled, \
         confirmed or completed by hand at random times, through separate programs, two each of order-service and \
         payment-service, with RabbitMQ on each kind of database, and through the all-in-one program; every program \
         and PostgreSQL are killed by `kill -9` {rounds} ×, up to three at a time, the broker once; an order waits {PAYMENT_TIMEOUT_S} s for \
         its payment; then every event is published twice, and orders, payments, the provider's ledger, reservations and \
         stock are compared, also by `orders admin reconcile`; then each service is alone, and each of its handlers is \
         killed before its commit, before its acknowledgement, and before the outbox knows what was published, or its \
         acknowledgements are lost, once and twice",
    )))
}

async fn separate(run: &Run, kind: Kind, broker: &mut Broker, extent: Extent) -> Result<Outcome> {
    let all = topology::platform().services.iter().map(|service| service.name.as_str());
    let mut names: Vec<_> = all.filter(|name| *name != NOTIFICATION_SERVICE).collect();
    names.extend([ORDER_SERVICE, PAYMENT_SERVICE]);
    let site = Site::Separate(Separate::start(run, kind, broker, &names, settings).await?);
    let events = site.events().await?;
    let _others = consume_others(&events);
    let outcome = play(run, site, extent, run.random(1400 + kind as u64)).await;
    events.close().await;
    outcome
}

async fn together(run: &Run, extent: Extent) -> Result<Outcome> {
    let site = Site::AllInOne(AllInOne::start(run, settings(ORDER_SERVICE)).await?);
    play(run, site, extent, run.random(1410)).await
}

/// What the program of this service needs.
fn settings(service: &str) -> Settings {
    let settings = [("PAYMENT_TIMEOUT_S".to_owned(), PAYMENT_TIMEOUT_S.to_owned())];
    if service == ORDER_SERVICE { settings.into() } else { Settings::new() }
}

/// Consumes what only notification-service does, in place of it: such an event is published only once there is a queue.
fn consume_others(events: &Transport) -> JoinSet<()> {
    let consumes = topology::platform().service(NOTIFICATION_SERVICE).map(|service| service.consumes.clone());
    let queue = Queue::Shared(format!("{NOTIFICATION_SERVICE}.events"));
    let mut deliveries = events.subscribe(Subscription { queue, types: consumes.unwrap_or_default() });
    let mut others = JoinSet::new();
    others.spawn(async move {
        while let Some(delivery) = deliveries.next().await {
            delivery.ack();
        }
    });
    others
}

async fn play(run: &Run, mut site: Site<'_>, extent: Extent, mut random: fastrand::Rng) -> Result<Outcome> {
    let Extent { orders, rate, rounds } = extent;
    for service in HANDLERS {
        site.journal(service).begin().await?;
    }
    let mut users = Vec::new();
    for _ in 0..USERS_NUMBER {
        users.push(create_user(site.address(USER_SERVICE)).await?);
    }
    // In front of all instances.
    let front = Proxy::start(site.addresses(ORDER_SERVICE).into_iter().map(Target::Tcp).collect()).await?;
    let products = create_products(site.address(PRODUCT_SERVICE), (orders / SCARCITY) as i64).await?;
    let shop = Shop { orders: front.address(), users, products: products.clone() };
    let mut outcome = Outcome::default();

    // Once its events are handled, every queue exists.
    let first = Payers::start(shop.clone(), 1, rate, &mut random).stop_after(1).await?;
    quiet(&site, RECOVERY).await.map_err(anyhow::Error::msg).context("the first order")?;
    site.settle();

    let payers = Payers::start(shop, orders, rate, &mut random);
    let with_broker = random.usize(0..rounds);
    for round in 0..rounds {
        payers.reach(orders * (2 * round + 1) / (2 * rounds)).await?;
        let mut victims = site.victims();
        victims.extend(site.broker().filter(|_| round == with_broker));
        random.shuffle(&mut victims);
        // Up to three at a time are dead.
        while !victims.is_empty() {
            let mut dead = victims.split_off(victims.len().saturating_sub(random.usize(1..=3)));
            for victim in &dead {
                sleep(Duration::from_millis(random.u64(0..200))).await;
                site.kill(*victim).await?;
                outcome.killed(*victim);
            }
            sleep(Duration::from_millis(random.u64(0..150))).await;
            dead.sort_unstable();
            for victim in dead {
                site.revive(victim).await?;
            }
        }
    }
    let last_kill = Instant::now();
    outcome.bills = payers.stop_after(orders).await?;
    outcome.bills.merge(first);
    let time_limit = RECOVERY + Duration::from_millis(20) * orders as u32;
    outcome.open = quiet(&site, time_limit).await.err();
    outcome.recovery = last_kill.elapsed();

    publish_again(&mut site, &mut outcome).await?;
    outcome.books = agree(&site, &outcome, &products).await?;
    let services: Vec<_> = [&[USER_SERVICE, PAYMENT_PROVIDER], HANDLERS.as_slice()].concat();
    outcome.reconciled = reconcile(run, &site, &services)?;
    if let Site::AllInOne(_) = site {
        site.silence(ORDER_SERVICE)?;
    }
    let events = site.events().await?;
    for service in HANDLERS {
        outcome.dead_letters += events.dead_letters(&format!("{service}.events"), 1000).await?.len();
    }
    events.close().await;
    Ok(outcome)
}

/// Waits until no order is created, the provider is asked for nothing and every event is published. If that takes longer
/// than `time_limit`: what is still open.
async fn quiet(site: &Site<'_>, time_limit: Duration) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let open = open(site).await.map_err(|error| format!("{error:#}"))?;
        match open {
            None => return Ok(()),
            Some(open) if begin.elapsed() > time_limit => return Err(format!("after {time_limit:?}, {open}")),
            Some(_) => sleep(LOOK_INTERVAL).await,
        }
    }
}

/// What is still to be done.
async fn open(site: &Site<'_>) -> Result<Option<String>> {
    let unpaid = site.journal(ORDER_SERVICE).unpaid().await?;
    let tasks = site.journal(PAYMENT_SERVICE).provider_tasks().await?;
    let mut waiting = 0;
    for service in HANDLERS {
        waiting += site.journal(service).waiting().await?;
    }
    let text = format!("{unpaid} orders are created, {tasks} tasks and {waiting} events wait");
    Ok((unpaid + tasks + waiting > 0).then_some(text))
}

/// Publishes every event a second time, while product-service does not run; then lets it run with a clock that is fast, so
/// that what is held for orders that were not placed expires.
async fn publish_again(site: &mut Site<'_>, outcome: &mut Outcome) -> Result<()> {
    let mut written = Vec::new();
    for service in HANDLERS {
        written.extend(site.journal(service).written().await?);
    }
    // What nobody handles is in no queue.
    written.retain(|event| consumers(event) > 0);
    let number: u64 = written.iter().map(consumers).sum();
    outcome.expired = site.journal(PRODUCT_SERVICE).held().await?.len();
    site.silence(PRODUCT_SERVICE)?;
    let others: Vec<SocketAddr> = match site {
        Site::AllInOne(_) => Vec::new(),
        Site::Separate(_) => [ORDER_SERVICE, PAYMENT_SERVICE].iter().flat_map(|name| site.addresses(name)).collect(),
    };
    let before = duplicates(&others).await?;
    let events = site.events().await?;
    repeat(&events, written).await?;
    events.close().await;
    site.restart(PRODUCT_SERVICE, &ahead_by(HELD_MINUTES)?).await?;
    let all: Vec<SocketAddr> = HANDLERS.iter().flat_map(|name| site.addresses(name)).collect();
    outcome.repeated = (number, recognised(&all, before + number).await? - before);
    Ok(())
}

/// How many of the services handle this event.
fn consumers(event: &Written) -> u64 {
    let services = HANDLERS.iter().filter_map(|name| topology::platform().service(name));
    services.filter(|service| service.consumes.contains(&event.kind)).count() as u64
}

/// The books, once they agree; but no later than after a while: what is wrong then, they say.
async fn agree(site: &Site<'_>, outcome: &Outcome, products: &[(i64, i64)]) -> Result<Books> {
    let begin = Instant::now();
    loop {
        let books = Books::compare(&outcome.bills.bought, products, &Found::read(site).await?);
        if books.wrong.is_empty() || begin.elapsed() > RECOVERY / 4 {
            return Ok(books);
        }
        sleep(LOOK_INTERVAL).await;
    }
}

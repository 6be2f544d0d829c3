//! Promise 16: every confirmed order is told once, whatever is killed.

mod books;
mod outcome;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::http::{Client, get, put};
use harness::process::Settings;
use harness::topology;
use service_testing::{Broker, KINDS, Kind};
use tokio::task::block_in_place;
use tokio::time::sleep;

use self::books::{Books, told};
use self::outcome::Outcome;
use crate::acknowledged::list;
use crate::all_in_one::AllInOne;
use crate::canary::{is_in, phone};
use crate::customers::{Customers, Market, create_products};
use crate::mail_server::{Cut, MailServer};
use crate::messages::{recognised, repeat};
use crate::platform::{
    NOTIFICATION_SERVICE, NOTIFICATIONS, ORDER_SERVICE, PRODUCT_SERVICE, USER_SERVICE, USERS, create_user,
};
use crate::program::ahead;
use crate::run::{RECOVERY, Run};
use crate::site::{Separate, Site};
use crate::verdict::Verdict;

const USERS_NUMBER: usize = 5;
/// How the next messages fail after each round of kills.
const CUTS: [Cut; 6] = [Cut::Recipient, Cut::Content, Cut::Answer, Cut::Content, Cut::Answer, Cut::Answer];
/// How many orders are placed between looking whether it is enough.
const STEP: usize = 20;
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How much happens.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// How many orders are placed; most of them are confirmed, because they are paid.
    orders: usize,
    /// How many of them in a second.
    rate: u32,
    /// How often everything is killed.
    rounds: usize,
}

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let extent =
        run.choose(Extent { orders: 800, rate: 80, rounds: 4 }, Extent { orders: 20_000, rate: 200, rounds: 10 });
    let mut verdict = Verdict::default();
    let mut broker = block_in_place(Broker::start)?;
    for kind in KINDS {
        let outcome = separate(run, kind, &mut broker, extent).await;
        outcome::judge(run, &mut verdict, &format!("{kind:?}"), outcome);
    }
    outcome::judge(run, &mut verdict, "all-in-one", together(run, extent).await);
    let Extent { orders, rounds, .. } = extent;
    Ok(verdict.with_method(format!(
        "{orders} orders are placed and paid, and some of them cancelled, through separate programs, two of \
         notification-service, with RabbitMQ on each kind of database, and through the all-in-one program; meanwhile \
         every program and PostgreSQL are killed by `kill -9` {rounds} ×, the broker once, and after each round the mail \
         server breaks off messages, refuses some for now, and is away; then all that tell users are killed, every event \
         is published twice, and one instance with a clock that is ten minutes fast sends the rest",
    )))
}

async fn separate(run: &Run, kind: Kind, broker: &mut Broker, extent: Extent) -> Result<Outcome> {
    let mail = MailServer::start().await?;
    let mut names: Vec<_> = topology::platform().services.iter().map(|service| service.name.as_str()).collect();
    names.push(NOTIFICATION_SERVICE);
    let more = |name: &str| if name == NOTIFICATION_SERVICE { settings(&mail) } else { Settings::new() };
    let site = Site::Separate(Separate::start(run, kind, broker, &names, more).await?);
    play(run, site, &mail, extent, run.random(1600 + kind as u64)).await
}

async fn together(run: &Run, extent: Extent) -> Result<Outcome> {
    let mail = MailServer::start().await?;
    let site = Site::AllInOne(AllInOne::start(run, settings(&mail)).await?);
    play(run, site, &mail, extent, run.random(1610)).await
}

/// How notification-service finds the mail server, and that it need not spare it.
fn settings(mail: &MailServer) -> Settings {
    let settings = [("SMTP_URL", mail.url()), ("MESSAGES_PER_SECOND", "1000".to_owned())];
    settings.map(|(name, value)| (name.to_owned(), value)).into()
}

async fn play(
    run: &Run,
    mut site: Site<'_>,
    mail: &MailServer,
    extent: Extent,
    mut random: fastrand::Rng,
) -> Result<Outcome> {
    let Extent { orders, rate, rounds } = extent;
    let journal = site.journal(ORDER_SERVICE);
    journal.begin().await?;
    let market = open_market(&site).await?;
    let mut outcome = Outcome::default();

    // Once its event is published, every queue exists.
    let first = Customers::start(market.clone(), 1, None, &mut random).all().await?;
    let begin = Instant::now();
    while journal.waiting().await? > 0 || mail.mails().len() < USERS_NUMBER {
        ensure!(begin.elapsed() < RECOVERY, "after {RECOVERY:?} the users are not told that they are registered");
        sleep(LOOK_INTERVAL).await;
    }
    site.settle();

    let customers = Customers::start(market, usize::MAX, Some(rate), &mut random);
    let with_broker = random.usize(0..rounds);
    for round in 0..rounds {
        reach(&customers, orders * (round + 1) / (rounds + 1)).await?;
        let mut victims = site.victims();
        victims.extend(site.broker().filter(|_| round == with_broker));
        random.shuffle(&mut victims);
        for victim in victims {
            sleep(Duration::from_millis(random.u64(0..200))).await;
            site.crash(victim, Duration::from_millis(random.u64(0..150))).await?;
            outcome.killed(victim);
        }
        let mut cuts = CUTS;
        random.shuffle(&mut cuts);
        mail.cut(&cuts);
        outcome.cuts += cuts.len();
        sleep(Duration::from_millis(random.u64(0..200))).await;
        mail.down_for(Duration::from_millis(random.u64(100..1500))).await;
    }
    reach(&customers, orders).await?;
    let mut ordered = customers.stop().await?;
    ordered.merge(first);
    site.silence(NOTIFICATION_SERVICE)?;

    let told_by = site.journal(NOTIFICATION_SERVICE);
    outcome.left = told_by.begun().await?;
    let mut kept = told_by.notifications().await?;
    let mut written = journal.written().await?;
    written.retain(|event| event.kind != "order.created");
    let number = written.len() as u64;
    let events = site.events().await?;
    repeat(&events, written).await?;
    events.close().await;
    // What was under way when another one died is due after five minutes.
    site.restart(NOTIFICATION_SERVICE, &ahead()?).await?;
    let address = site.address(NOTIFICATION_SERVICE);
    outcome.repeated = (number, recognised(&[address], number).await?);
    let time_limit = RECOVERY + Duration::from_millis(20) * u32::try_from(ordered.placed.len())?;
    let begin = Instant::now();
    while journal.unpaid().await? + journal.waiting().await? > 0 {
        let unpaid = journal.unpaid().await?;
        ensure!(begin.elapsed() < time_limit, "after {time_limit:?}, {unpaid} orders are not paid");
        sleep(LOOK_INTERVAL).await;
    }
    let confirmed = journal.confirmed().await?;
    outcome.recovery = tell_all(&confirmed, mail, &site, time_limit).await?;
    outcome.cuts -= mail.cuts_left();
    outcome.books = Books::compare(&ordered.placed, &confirmed, &list(address, NOTIFICATIONS).await?, &mail.mails());
    kept.extend(told_by.notifications().await?);
    outcome.personal = kept.iter().filter(|row| is_in(row)).count();
    outcome.failures = ordered.failures;
    outcome.given_up = ordered.given_up;
    run.progress(format_args!("{} e-mails in all", mail.mails().len()));
    Ok(outcome)
}

/// Users who want e-mails, and products.
async fn open_market(site: &Site<'_>) -> Result<Market> {
    let address = site.address(USER_SERVICE);
    let mut users = Vec::new();
    for _ in 0..USERS_NUMBER {
        let id = create_user(address).await?;
        let contact = format!(r#"{{"phone":"{}","language":"en","channels":["email"]}}"#, phone());
        let request = put(&format!("{USERS}/{id}/contact"), &contact);
        let reply = Client::new(address, TIME_LIMIT).send(&request).await?;
        ensure!(reply.status == 200, "a user's contact was answered with {}", reply.status);
        users.push(id);
    }
    let products = create_products(site.address(PRODUCT_SERVICE)).await?;
    Ok(Market { orders: site.address(ORDER_SERVICE), users, products })
}

/// Waits until `number` orders are placed.
async fn reach(customers: &Customers, number: usize) -> Result<()> {
    while customers.placed() < number {
        customers.progress(STEP).await?;
    }
    Ok(())
}

/// Waits until each confirmed order is told of and nothing waits to be sent, but not for ever: what is missing then, the
/// books say. Returns how long it took.
async fn tell_all(
    confirmed: &BTreeSet<i64>,
    mail: &MailServer,
    site: &Site<'_>,
    time_limit: Duration,
) -> Result<Duration> {
    let mut client = Client::new(site.address(NOTIFICATION_SERVICE), TIME_LIMIT);
    let queued = get(&format!("{NOTIFICATIONS}?status=queued&limit=1"));
    let begin = Instant::now();
    while begin.elapsed() < time_limit {
        let told = told(&mail.mails());
        let all = confirmed.iter().all(|order_id| told.contains(order_id));
        if all && client.send(&queued).await?.json()["items"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        sleep(LOOK_INTERVAL).await;
    }
    Ok(begin.elapsed())
}

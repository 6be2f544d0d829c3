//! Every service in one process, with events in a SQLite file.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::process::{Instance, POLL_INTERVAL, Settings};
use service_runtime::events::{Embedded, Transport};
use service_testing::Kind;
use slog::{Discard, Logger, o};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::time::sleep;

use super::books::Books;
use super::customers::{Customers, Market, Ordered};
use super::journal::Journal;
use super::latency::{self, IDLE};
use super::messages::{dead_letters, poison, repeat};
use super::outcome::Outcome;
use super::stage::{RECOVERY, Stage, recognised};
use crate::platform::{ORDER_SERVICE, PRODUCT_SERVICE, USER_SERVICE, create_user};
use crate::run::{Run, START_TIME_LIMIT};

const PROGRAM: &str = "all-in-one";
/// In the order in which the process starts them.
const SERVICES: [&str; 3] = [USER_SERVICE, PRODUCT_SERVICE, ORDER_SERVICE];
/// How many orders are placed each second while the process is killed.
const RATE: u32 = 40;
/// How many orders are placed between two kills, at least.
const BETWEEN: usize = 10;

/// Kills the process `kills` times, and then lets a backlog be handled.
pub(super) async fn play(run: &Run, kills: usize) -> Result<Outcome> {
    let mut random = run.random(1510);
    let mut process = AllInOne::start(run).await?;
    let stage = process.stage();
    stage.begin().await?;
    let mut users = Vec::new();
    for _ in 0..5 {
        users.push(create_user(process.addresses[0]).await?);
    }
    let market = Market { orders: stage.orders, users, products: stage.create_products().await? };
    let mut outcome = Outcome::default();

    let customers = Customers::start(market.clone(), usize::MAX, Some(RATE), &mut random);
    let poisoned = random.usize(0..kills);
    for at in 0..kills {
        customers.progress(BETWEEN).await?;
        sleep(Duration::from_millis(random.u64(0..200))).await;
        process.kill()?;
        if at == poisoned {
            let events = process.events().await?;
            outcome.poison.extend(poison(&events, &mut random).await?);
            events.close().await;
        }
        process.restart().await?;
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
    process.kill()?;
    let events = process.events().await?;
    repeat(&events, consumed).await?;
    events.close().await;
    process.restart().await?;
    outcome.repeated = (number, recognised(&[stage.products], number).await?);
    outcome.books = Books::compare(&ordered.placed, &stage.find(&market.products).await?);
    process.kill()?;
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

/// The process and its files.
struct AllInOne<'a> {
    run: &'a Run,
    directory: TempDir,
    /// Of each service; they stay.
    addresses: [SocketAddr; 3],
    instance: Option<Instance>,
}

impl<'a> AllInOne<'a> {
    async fn start(run: &'a Run) -> Result<Self> {
        // All are bound before the first is released: otherwise they would be the same.
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
        let [users, products, orders] = listeners.map(|listener| anyhow::Ok(listener?.local_addr()?));
        let addresses = [users?, products?, orders?];
        let mut process = Self { run, directory: tempfile::tempdir()?, addresses, instance: None };
        process.restart().await?;
        Ok(process)
    }

    async fn restart(&mut self) -> Result<()> {
        let directory = self.directory.path().display().to_string();
        let mut settings: Settings = vec![("DATA_DIRECTORY".into(), directory), ("DEMO".into(), "false".into())];
        for (service, address) in SERVICES.iter().zip(self.addresses) {
            let variable = format!("{}_LISTEN_ADDRESS", service.to_uppercase().replace('-', "_"));
            settings.push((variable, address.to_string()));
        }
        let command = Command::new(self.run.program(PROGRAM));
        let process = self.run.spawn_command(command, PROGRAM, false, &settings)?;
        // It has announced the first service.
        self.instance = Some(process.serving(START_TIME_LIMIT).await?);
        let begin = Instant::now();
        for address in self.addresses {
            while !Instance::is_ready(address).await {
                ensure!(begin.elapsed() < START_TIME_LIMIT, "{PROGRAM} does not serve at {address}");
                sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// As a crash does.
    fn kill(&mut self) -> Result<()> {
        self.instance.take().context("the process runs")?.process.kill()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The queues, while the process does not run.
    async fn events(&self) -> Result<Transport> {
        let log = Logger::root(Discard, o!());
        Ok(Transport::Embedded(Embedded::open(&self.file("events.db"), &log).await?))
    }

    fn stage(&self) -> Stage {
        let journal = |service: &str| {
            let file = self.file(&format!("{service}.db"));
            Journal::new(Kind::Sqlite, format!("sqlite:{}", file.display()))
        };
        let [_, products, orders] = self.addresses;
        Stage { orders, products, order_journal: journal(ORDER_SERVICE), product_journal: journal(PRODUCT_SERVICE) }
    }
}

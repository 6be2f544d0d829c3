//! The two services between which events go, as everybody sees them: addresses and databases.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use harness::http::{Client, Reply, get};
use tokio::time::sleep;

use super::books::Found;
use crate::acknowledged::list;
use crate::journal::{Journal, Written};
use crate::platform::ORDERS;

/// How often to look whether all is handled.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// order-service and product-service.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// In front of all instances.
    pub(super) orders: SocketAddr,
    pub(super) products: SocketAddr,
    pub(super) order_journal: Journal,
    pub(super) product_journal: Journal,
    /// Whether payment-service runs, so that every order that is not cancelled is paid.
    pub(super) pays: bool,
}

/// What is still to be done.
#[derive(Debug)]
struct Open {
    /// Orders that are not paid yet, where they are.
    unpaid: usize,
    /// Events of orders that are not published.
    waiting: usize,
    /// Events of stock that are not published.
    answers: usize,
    /// Events that are not handled, published or not.
    unhandled: usize,
    handled: usize,
}

impl Stage {
    /// Begins to keep every event.
    pub(super) async fn begin(&self) -> Result<()> {
        self.order_journal.begin().await?;
        self.product_journal.begin().await
    }

    /// Waits until every event is published and handled, and every order paid, and returns how long that took; an error if it takes longer than
    /// `time_limit`.
    pub(super) async fn handle_all(&self, time_limit: Duration) -> Result<Duration> {
        self.until(time_limit, |open| open.unpaid + open.waiting + open.answers + open.unhandled == 0).await
    }

    /// Waits until every event that is published is handled, while no more are.
    pub(super) async fn handle_published(&self, time_limit: Duration) -> Result<()> {
        let begin = Instant::now();
        loop {
            let handled = self.product_journal.handled().await?;
            let waiting = self.order_journal.waiting_ids().await?;
            let mut consumed = self.consumed().await?;
            consumed.retain(|event| !handled.contains(&event.id) && !waiting.contains(&event.id));
            if consumed.is_empty() {
                return Ok(());
            }
            ensure!(begin.elapsed() < time_limit, "{} published events are not handled", consumed.len());
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until more events are handled than `handled`.
    pub(super) async fn handle_more(&self, handled: usize, time_limit: Duration) -> Result<Duration> {
        self.until(time_limit, |open| open.handled > handled).await
    }

    async fn until(&self, time_limit: Duration, condition: impl Fn(&Open) -> bool) -> Result<Duration> {
        let begin = Instant::now();
        loop {
            let open = self.open().await?;
            if condition(&open) {
                return Ok(begin.elapsed());
            }
            if begin.elapsed() > time_limit {
                let Open { unpaid, waiting, answers, unhandled, .. } = open;
                bail!(
                    "after {time_limit:?}, {unpaid} orders are not paid, {waiting} events of orders and {answers} of stock are not published, {unhandled} are \
                     not handled"
                );
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    async fn open(&self) -> Result<Open> {
        // In this order: what happens in between makes more open, not less.
        let unpaid = if self.pays { self.order_journal.unpaid().await? } else { 0 };
        let handled = self.product_journal.number_handled().await?;
        let written = self.order_journal.consumed().await?;
        let (waiting, answers) = (self.order_journal.waiting().await?, self.product_journal.waiting().await?);
        Ok(Open { unpaid, waiting, answers, unhandled: written.saturating_sub(handled), handled })
    }

    /// What both services say.
    pub(super) async fn find(&self, products: &[i64]) -> Result<Found> {
        let by_orders = self.order_journal.written().await?;
        let mut client = Client::new(self.products, TIME_LIMIT);
        let (mut reservations, mut stock) = (HashMap::new(), BTreeMap::new());
        for event in by_orders.iter().filter(|event| event.kind == "order.created") {
            let id = event.data()["reservation_id"].as_str().unwrap_or_default().to_owned();
            let reservation = read(&mut client, &format!("/api/v1/reservations/{id}")).await?.json();
            reservations.insert(id, reservation["status"].as_str().unwrap_or("missing").to_owned());
        }
        for product in products {
            let found = read(&mut client, &format!("/api/v1/products/{product}")).await?.json();
            let pieces = |name: &str| found[name].as_i64().with_context(|| format!("a product has a number: {name}"));
            stock.insert(*product, (pieces("stock")?, pieces("reserved")?));
        }
        Ok(Found {
            orders: list(self.orders, ORDERS).await?,
            by_orders,
            by_products: self.product_journal.written().await?,
            handled: self.product_journal.handled().await?,
            reservations,
            held: self.product_journal.held().await?,
            stock,
        })
    }

    /// The events that product-service consumes.
    pub(super) async fn consumed(&self) -> Result<Vec<Written>> {
        let written = self.order_journal.written().await?;
        Ok(written.into_iter().filter(|event| event.kind != "order.completed").collect())
    }
}

async fn read(client: &mut Client, path: &str) -> Result<Reply> {
    let reply = client.send(&get(path)).await?;
    ensure!(reply.status < 500, "{path} was answered with {}", reply.status);
    Ok(reply)
}

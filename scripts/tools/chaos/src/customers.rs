//! Customers who place orders, confirm some and cancel some, and remember their last answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use harness::http::{Client, post, put};
use harness::measurements::Counts;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::platform::{ORDERS, unique};
use crate::writers::{until_acknowledged, until_answered};

/// How many customers act at the same time.
const CONCURRENT: usize = 16;
/// The time limit of one attempt, after which a customer repeats its request.
const ATTEMPT_TIME_LIMIT: Duration = Duration::from_secs(3);
/// The time limit of a request, retries across repeated kills included.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How many products there are.
const PRODUCTS: usize = 20;
/// How many pieces of each there are at first.
pub(crate) const STOCK: i64 = 10_000_000;

/// An order as its customer knows it.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) order_id: i64,
    /// `None`: the last request was given up.
    pub(crate) status: Option<&'static str>,
    /// Whether it was confirmed, whatever became of it later.
    pub(crate) confirmed: bool,
}

/// What customers did.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    pub(crate) placed: Vec<Placed>,
    /// The failures of all attempts, which were repeated.
    pub(crate) failures: Counts,
    /// The last failure of each request that was given up.
    pub(crate) given_up: Counts,
}

impl Ordered {
    pub(crate) fn merge(&mut self, other: Self) {
        self.placed.extend(other.placed);
        self.failures.merge(other.failures);
        self.given_up.merge(other.given_up);
    }
}

/// Where customers buy, who they are, and what there is.
#[derive(Clone, Debug)]
pub(crate) struct Market {
    pub(crate) orders: SocketAddr,
    pub(crate) users: Vec<i64>,
    pub(crate) products: Vec<i64>,
}

/// Creates what customers buy, at the product-service at `address`.
pub(crate) async fn create_products(address: SocketAddr) -> Result<Vec<i64>> {
    let mut client = Client::new(address, TIME_LIMIT);
    let mut products = Vec::new();
    for _ in 0..PRODUCTS {
        let price = r#"{"amount":1998,"currency":"EUR"}"#;
        let sku = unique();
        let body = format!(r#"{{"sku":"E{sku}","name":"Mug","category":"kitchen","price":{price},"stock":{STOCK}}}"#);
        let reply = client.send(&post("/api/v1/products", None, &body)).await?;
        ensure!(reply.status == 201, "creating a product was answered with {}", reply.status);
        products.push(reply.json()["id"].as_i64().context("a product has an id")?);
    }
    Ok(products)
}

/// Running customers; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Customers {
    shared: Arc<Shared>,
    tasks: JoinSet<Ordered>,
}

#[derive(Debug)]
struct Shared {
    market: Market,
    /// How many orders are still to be placed.
    left: AtomicUsize,
    placed: AtomicUsize,
}

impl Customers {
    /// Customers that place `number` orders in all, about `rate` a second; as fast as they can if that is `None`.
    pub(crate) fn start(market: Market, number: usize, rate: Option<u32>, random: &mut fastrand::Rng) -> Self {
        let shared = Arc::new(Shared { market, left: AtomicUsize::new(number), placed: AtomicUsize::new(0) });
        let pause = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) * CONCURRENT as u32 / rate);
        let mut tasks = JoinSet::new();
        for _ in 0..CONCURRENT {
            tasks.spawn(order_all(Arc::clone(&shared), pause, random.fork()));
        }
        Self { shared, tasks }
    }

    pub(crate) fn placed(&self) -> usize {
        self.shared.placed.load(Ordering::Relaxed)
    }

    /// Waits until `more` further orders are placed.
    pub(crate) async fn progress(&self, more: usize) -> Result<()> {
        let (begin, goal) = (Instant::now(), self.placed() + more);
        while self.placed() < goal {
            ensure!(begin.elapsed() < TIME_LIMIT, "{} of {goal} orders are placed", self.placed());
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Waits until all orders are placed.
    pub(crate) async fn all(mut self) -> Result<Ordered> {
        let mut all = Ordered::default();
        while let Some(ordered) = self.tasks.join_next().await {
            all.merge(ordered?);
        }
        Ok(all)
    }

    /// Lets each customer finish what it does, and begin nothing more.
    pub(crate) async fn stop(self) -> Result<Ordered> {
        self.shared.left.store(0, Ordering::Relaxed);
        self.all().await
    }
}

async fn order_all(shared: Arc<Shared>, pause: Duration, mut random: fastrand::Rng) -> Ordered {
    let mut client = Client::new(shared.market.orders, ATTEMPT_TIME_LIMIT);
    let mut ordered = Ordered::default();
    // Not all at the same moment.
    sleep(pause.mul_f64(random.f64())).await;
    while shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let begin = Instant::now();
        if let Err(failure) = order(&mut client, &shared, &mut random, &mut ordered).await {
            ordered.given_up.add(failure.to_string());
        }
        sleep(pause.saturating_sub(begin.elapsed())).await;
    }
    ordered
}

/// Places an order of one to three products, and perhaps moves it on, or cancels it.
async fn order(client: &mut Client, shared: &Shared, random: &mut fastrand::Rng, ordered: &mut Ordered) -> Result<()> {
    let Market { users, products, .. } = &shared.market;
    let user = random.choice(users).copied().unwrap_or(1);
    let number = random.usize(1..4);
    let items = random.choose_multiple(products, number).into_iter().map(|product| {
        let quantity = random.u8(1..4);
        format!(r#"{{"product_id":{product},"quantity":{quantity}}}"#)
    });
    let items: Vec<_> = items.collect();
    let body = format!(r#"{{"user_id":{user},"items":[{}]}}"#, items.join(","));
    let request = post(ORDERS, Some(&format!("customer {}", unique())), &body);
    let Ordered { placed, failures, .. } = ordered;
    let reply = match until_acknowledged(client, &request, TIME_LIMIT, random, failures).await {
        Ok(reply) => reply,
        Err(failure) => bail!("an order: {failure}"),
    };
    let Some(order_id) = reply.json()["order_id"].as_i64() else { bail!("an order: no id in the answer") };
    shared.placed.fetch_add(1, Ordering::Relaxed);
    let at = placed.len();
    placed.push(Placed { order_id, status: Some("created"), confirmed: false });
    for &status in plan(random) {
        placed[at].status = None;
        if let Err(failure) = until_answered(client, &step(order_id, status), 200, TIME_LIMIT, random, failures).await {
            bail!("{status}: {failure}");
        }
        placed[at].status = Some(status);
        placed[at].confirmed |= status == "confirmed";
    }
    Ok(())
}

/// What becomes of an order.
fn plan(random: &mut fastrand::Rng) -> &'static [&'static str] {
    match random.u8(0..10) {
        0..3 => &[],
        3..5 => &["confirmed"],
        5 => &["confirmed", "completed"],
        6..8 => &["confirmed", "cancelled"],
        _ => &["cancelled"],
    }
}

/// The request that moves an order to `status`.
fn step(order_id: i64, status: &str) -> Vec<u8> {
    if status == "cancelled" {
        return post(&format!("{ORDERS}/{order_id}/cancel"), None, "");
    }
    put(&format!("{ORDERS}/{order_id}/status"), &format!(r#"{{"status":"{status}"}}"#))
}

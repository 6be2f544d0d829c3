//! Customers who order with every kind of payment method, and cancel, confirm or complete some orders at random times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::http::{Client, post, put};
use harness::measurements::Counts;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::platform::{ORDERS, PRODUCTS, unique};
use crate::writers::{until_acknowledged, until_answered};

/// How many customers order at the same time.
const CONCURRENT: usize = 16;
/// The time limit of one attempt, after which a customer repeats its request.
const ATTEMPT_TIME_LIMIT: Duration = Duration::from_secs(3);
/// The time limit of a request, retries across repeated kills included.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How long after its order a customer changes its mind, at most: less than the time that a payment takes, and more than
/// an order waits for it.
const DELAYS: [Duration; 3] = [Duration::from_millis(30), Duration::from_secs(1), Duration::from_secs(7)];

/// How many products there is plenty of.
const PLENTY: usize = 10;
/// How many pieces of each.
const STOCK: i64 = 1_000_000;

/// Every kind of payment method, by what becomes of its charge. `None`: the default of the provider.
const TOKENS: [(Option<&str>, Charge); 8] = [
    (None, Charge::Made),
    (Some("tok_ok"), Charge::Made),
    (Some("tok_late"), Charge::Made),
    (Some("tok_fail_once"), Charge::Made),
    (Some("tok_charged_but_lost"), Charge::Made),
    (Some("tok_twice"), Charge::Made),
    (Some("tok_declined"), Charge::Declined),
    (Some("tok_hang"), Charge::Never),
];

/// What becomes of a charge if nobody cancels it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    Made,
    Declined,
    Never,
}

/// An order as its customer knows it.
#[derive(Clone, Debug)]
pub(super) struct Bought {
    pub(super) order_id: i64,
    /// The last status that a request of the customer has set, if any.
    pub(super) status: Option<&'static str>,
}

/// What customers did.
#[derive(Debug, Default)]
pub(super) struct Bills {
    pub(super) bought: Vec<Bought>,
    /// How many orders were refused because a product was sold out.
    pub(super) sold_out: usize,
    /// How many requests to cancel, confirm or complete an order were refused: it was cancelled before.
    pub(super) too_late: usize,
    /// The failures of all attempts, which were repeated.
    pub(super) failures: Counts,
    /// The last failure of each request that was given up.
    pub(super) given_up: Counts,
}

impl Bills {
    pub(super) fn merge(&mut self, other: Self) {
        self.bought.extend(other.bought);
        self.sold_out += other.sold_out;
        self.too_late += other.too_late;
        self.failures.merge(other.failures);
        self.given_up.merge(other.given_up);
    }
}

/// Where customers buy, who they are, and what there is.
#[derive(Clone, Debug)]
pub(super) struct Shop {
    pub(super) orders: SocketAddr,
    pub(super) users: Vec<i64>,
    /// Each product with its stock at first. The first is scarce.
    pub(super) products: Vec<(i64, i64)>,
}

/// Creates what customers buy, at the product-service at `address`: `scarce` pieces of one product, and plenty of others.
pub(super) async fn create_products(address: SocketAddr, scarce: i64) -> Result<Vec<(i64, i64)>> {
    let mut client = Client::new(address, TIME_LIMIT);
    let mut products = Vec::new();
    for number in 0..=PLENTY {
        let stock = if number == 0 { scarce } else { STOCK };
        // Different prices: an amount that is charged for another order is noticed.
        let amount = 101 + 13 * number;
        let (price, sku) = (format!(r#"{{"amount":{amount},"currency":"EUR"}}"#), unique());
        let body = format!(r#"{{"sku":"M{sku}","name":"Mug","category":"kitchen","price":{price},"stock":{stock}}}"#);
        let reply = client.send(&post(PRODUCTS, None, &body)).await?;
        ensure!(reply.status == 201, "creating a product was answered with {}", reply.status);
        products.push((reply.json()["id"].as_i64().context("a product has an id")?, stock));
    }
    Ok(products)
}

#[derive(Debug)]
struct Shared {
    shop: Shop,
    /// How many orders are still to be placed.
    left: AtomicUsize,
    placed: AtomicUsize,
}

/// Running customers; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Payers {
    shared: Arc<Shared>,
    tasks: JoinSet<Bills>,
}

impl Payers {
    /// Customers that place `number` orders in all, about `rate` a second.
    pub(super) fn start(shop: Shop, number: usize, rate: u32, random: &mut fastrand::Rng) -> Self {
        let shared = Arc::new(Shared { shop, left: AtomicUsize::new(number), placed: AtomicUsize::new(0) });
        let pause = Duration::from_secs(1) * CONCURRENT as u32 / rate;
        let mut tasks = JoinSet::new();
        for _ in 0..CONCURRENT {
            tasks.spawn(order_all(Arc::clone(&shared), pause, random.fork()));
        }
        Self { shared, tasks }
    }

    /// Waits until `number` orders are placed, or refused.
    pub(super) async fn reach(&self, number: usize) -> Result<()> {
        let (mut begin, mut last) = (Instant::now(), 0);
        loop {
            let placed = self.shared.placed.load(Ordering::Relaxed);
            if placed >= number {
                return Ok(());
            }
            if placed > last {
                (begin, last) = (Instant::now(), placed);
            }
            ensure!(begin.elapsed() < TIME_LIMIT, "{placed} of {number} orders are placed");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until `number` orders are placed, and each customer has done with its orders what it means to.
    pub(super) async fn stop_after(mut self, number: usize) -> Result<Bills> {
        self.reach(number).await?;
        let mut all = Bills::default();
        while let Some(bills) = self.tasks.join_next().await {
            all.merge(bills?);
        }
        Ok(all)
    }
}

async fn order_all(shared: Arc<Shared>, pause: Duration, mut random: fastrand::Rng) -> Bills {
    let mut client = Client::new(shared.shop.orders, ATTEMPT_TIME_LIMIT);
    let (mut bills, mut later) = (Bills::default(), JoinSet::new());
    // Not all at the same moment.
    sleep(pause.mul_f64(random.f64())).await;
    while shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let begin = Instant::now();
        let (token, charge) = TOKENS[random.usize(..TOKENS.len())];
        match order(&mut client, &shared.shop, token, &mut random, &mut bills.failures).await {
            Ok(order_id) => {
                later.spawn(follow(shared.shop.orders, order_id, plan(charge, &mut random), random.fork()));
            }
            Err(failure) if failure.starts_with("409 ") => bills.sold_out += 1,
            Err(failure) => bills.given_up.add(format!("an order: {failure}")),
        }
        shared.placed.fetch_add(1, Ordering::Relaxed);
        sleep(pause.saturating_sub(begin.elapsed())).await;
    }
    while let Some(Ok(followed)) = later.join_next().await {
        bills.merge(followed);
    }
    bills
}

/// Places an order of one to three products, often with the scarce one. Returns its id, or why there is none.
async fn order(
    client: &mut Client,
    shop: &Shop,
    token: Option<&str>,
    random: &mut fastrand::Rng,
    failures: &mut Counts,
) -> Result<i64, String> {
    let Some((scarce, plenty)) = shop.products.split_first() else { return Err("no products".to_owned()) };
    let number = random.usize(1..=3);
    let mut chosen = random.choose_multiple(plenty, number);
    if random.u8(0..4) == 0 {
        chosen[0] = scarce;
    }
    let items = chosen.into_iter().map(|(product, _)| {
        let quantity = random.u8(1..4);
        format!(r#"{{"product_id":{product},"quantity":{quantity}}}"#)
    });
    let items = items.collect::<Vec<_>>().join(",");
    let user = random.choice(&shop.users).copied().unwrap_or(1);
    let method = token.map(|token| format!(r#","payment_method":"{token}""#)).unwrap_or_default();
    let body = format!(r#"{{"user_id":{user},"items":[{items}]{method}}}"#);
    let request = post(ORDERS, Some(&format!("payer {}", unique())), &body);
    let reply = until_acknowledged(client, &request, TIME_LIMIT, random, failures).await?;
    reply.json()["order_id"].as_i64().ok_or_else(|| "no id in the answer".to_owned())
}

/// What the customer of an order does with it, and when: the status that it sets each time. Somebody who completes an
/// order, or confirms it, answers for its payment: one that is confirmed and never paid stays so.
fn plan(charge: Charge, random: &mut fastrand::Rng) -> Vec<(Duration, &'static str)> {
    let steps: &[&str] = match (random.u8(0..20), charge) {
        (0..6, _) => &["cancelled"],
        (6..8, Charge::Made | Charge::Declined) => &["confirmed"],
        (8, Charge::Made | Charge::Declined) => &["confirmed", "cancelled"],
        (9..11, Charge::Made) => &["confirmed", "completed"],
        _ => &[],
    };
    let longest = DELAYS[random.usize(..DELAYS.len())];
    steps.iter().map(|status| (longest.mul_f64(random.f64()), *status)).collect()
}

/// Does with the order what its customer means to do.
async fn follow(
    orders: SocketAddr,
    order_id: i64,
    plan: Vec<(Duration, &'static str)>,
    mut random: fastrand::Rng,
) -> Bills {
    let mut bills = Bills { bought: vec![Bought { order_id, status: None }], ..Bills::default() };
    let mut client = Client::new(orders, ATTEMPT_TIME_LIMIT);
    for (delay, status) in plan {
        sleep(delay).await;
        let request = step(order_id, status);
        match until_answered(&mut client, &request, 200, TIME_LIMIT, &mut random, &mut bills.failures).await {
            Ok(_) => bills.bought[0].status = Some(status),
            // It was cancelled, because it was not paid.
            Err(failure) if failure.starts_with("409 ") => {
                bills.too_late += 1;
                break;
            }
            Err(failure) => {
                bills.given_up.add(format!("{status}: {failure}"));
                break;
            }
        }
    }
    bills
}

/// The request that moves an order to `status`.
fn step(order_id: i64, status: &str) -> Vec<u8> {
    if status == "cancelled" {
        return post(&format!("{ORDERS}/{order_id}/cancel"), None, "");
    }
    put(&format!("{ORDERS}/{order_id}/status"), &format!(r#"{{"status":"{status}"}}"#))
}

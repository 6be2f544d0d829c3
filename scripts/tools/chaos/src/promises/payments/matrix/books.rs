//! Whether what was expected has happened, once.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::sleep;

use super::bench::Bench;
use super::scenes::{Expected, STOCK, Scenes};
use super::stage::Stage;
use crate::acknowledged::list;
use crate::platform::{CHARGES, ORDERS, PAYMENTS, PRODUCTS, RESERVATIONS};
use crate::run::RECOVERY;

const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What is wrong once nothing happens any more.
pub(super) async fn audit(bench: &Bench<'_>, scenes: &Scenes) -> Result<Vec<String>> {
    let begin = Instant::now();
    loop {
        let wrong = compare(bench, scenes).await?;
        if wrong.is_empty() || begin.elapsed() > RECOVERY {
            return Ok(wrong);
        }
        sleep(LOOK_INTERVAL).await;
    }
}

async fn compare(bench: &Bench<'_>, scenes: &Scenes) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let (mut states, mut events) = (states(bench, scenes.stage).await?, BTreeMap::<i64, Vec<String>>::new());
    let (received, written) = (bench.received(), bench.journal.written().await?);
    for event in written {
        let Some(order_id) = event.data()["order_id"].as_i64() else { continue };
        if !received.contains_key(&event.id) {
            wrong.push(format!("{} about order {order_id} did not come to its subscriber", event.kind));
        }
        events.entry(order_id).or_default().push(event.kind);
    }
    for (order_id, Expected { state, events: expected }) in &scenes.expected {
        let found = states.remove(order_id).unwrap_or_default();
        if found != *state {
            wrong.push(format!("order {order_id} is \"{found}\", not \"{state}\""));
        }
        let mut found = events.remove(order_id).unwrap_or_default();
        found.sort_unstable();
        if found != *expected {
            wrong.push(format!("order {order_id}: the events are {found:?}, not {expected:?}"));
        }
    }
    if scenes.stage == Stage::Products {
        wrong.extend(check_stock(bench, scenes).await?);
    }
    let (waiting, dead) = (bench.journal.waiting().await?, bench.dead_letters().await?);
    if waiting + dead > 0 {
        wrong.push(format!("{waiting} events wait, {dead} dead letters"));
    }
    Ok(wrong)
}

/// What the service says of each order.
async fn states(bench: &Bench<'_>, stage: Stage) -> Result<BTreeMap<i64, String>> {
    let mut states = BTreeMap::new();
    match stage {
        Stage::Orders => {
            for order in list(bench.address, ORDERS).await? {
                let state = format!("{} {}", text(&order["status"]), text(&order["cancellation_reason"]));
                states.insert(number(&order["id"]), state.trim_end().to_owned());
            }
        }
        Stage::Products => {
            for reservation in list(bench.address, RESERVATIONS).await? {
                states.insert(number(&reservation["order_id"]), text(&reservation["status"]).to_owned());
            }
        }
        Stage::Payments => {
            let charges = charges(bench).await?;
            for payment in list(bench.address, PAYMENTS).await? {
                let charged = charges.get(&number(&payment["id"])).copied().unwrap_or_default();
                let charged = describe(charged, number(&payment["amount"]["amount"]));
                states.insert(number(&payment["order_id"]), format!("{}, {charged}", text(&payment["status"])));
            }
        }
    }
    Ok(states)
}

/// By payment: how often it was charged, and how much of that is kept.
async fn charges(bench: &Bench<'_>) -> Result<HashMap<i64, (usize, i64)>> {
    let mut charges = HashMap::<i64, (usize, i64)>::new();
    for charge in list(bench.called.context("there is a provider")?, CHARGES).await? {
        let payment = text(&charge["reference"]).strip_prefix("payments/").and_then(|id| id.parse().ok());
        if let (Some(payment), "succeeded") = (payment, text(&charge["status"])) {
            let (times, kept) = charges.entry(payment).or_default();
            (*times, *kept) = (*times + 1, *kept + number(&charge["amount"]["amount"]) - number(&charge["refunded"]));
        }
    }
    Ok(charges)
}

fn describe((times, kept): (usize, i64), amount: i64) -> String {
    let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
    match kept {
        0 => format!("charged {times}, nothing kept"),
        kept if kept == amount => format!("charged {times}, all kept"),
        kept => format!("charged {times}, {kept} of {amount} kept"),
    }
}

/// What is sold and what is reserved is what the orders say.
async fn check_stock(bench: &Bench<'_>, scenes: &Scenes) -> Result<Option<String>> {
    let count = |state| scenes.expected.values().filter(|expected| expected.state == state).count() as i64;
    let (bound, committed) = (count("bound"), count("committed"));
    let products = list(bench.address, PRODUCTS).await?;
    let product = products.iter().find(|product| product["id"] == scenes.product).context("the product exists")?;
    let found = (number(&product["stock"]), number(&product["reserved"]));
    let expected = (STOCK - bound - committed, bound);
    Ok((found != expected).then(|| format!("stock and reserved are {found:?}, by the orders {expected:?}")))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

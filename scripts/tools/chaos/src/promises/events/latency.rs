//! How long it takes from the acknowledgement of an order until its reservation is bound, while nothing else happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::http::{Client, get, post};
use harness::measurements::Latencies;
use tokio::time::sleep;

use super::stage::Stage;
use crate::customers::{Market, Ordered, Placed};
use crate::platform::ORDERS;
use crate::run::RECOVERY;

/// How many orders a measurement needs.
pub(super) const IDLE: usize = 100;
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How often to look at a reservation.
const LOOK_INTERVAL: Duration = Duration::from_micros(500);

/// Places `number` orders, each after the one before is bound. Returns what was ordered, too.
pub(super) async fn measure(stage: &Stage, market: &Market, number: usize) -> Result<(Latencies, Ordered)> {
    let mut orders = Client::new(stage.orders, TIME_LIMIT);
    let mut products = Client::new(stage.products, TIME_LIMIT);
    let mut look = stage.order_journal.look().await?;
    let (mut latencies, mut ordered) = (Latencies::default(), Ordered::default());
    let user = market.users.first().context("there is a user")?;
    for product in market.products.iter().cycle().take(number) {
        let body = format!(r#"{{"user_id":{user},"items":[{{"product_id":{product},"quantity":1}}]}}"#);
        let reply = orders.send(&post(ORDERS, None, &body)).await?;
        let begin = Instant::now();
        ensure!(reply.status == 201, "an order was answered with {}", reply.status);
        let order_id = reply.json()["order_id"].as_i64().context("an order has an id")?;
        ordered.placed.push(Placed { order_id, status: Some("created"), confirmed: false });
        let path = format!("/api/v1/reservations/{}", look.reservation_of(order_id).await?);
        // Where orders are paid it may be committed already.
        while products.send(&get(&path)).await?.json()["status"] == "held" {
            ensure!(begin.elapsed() < RECOVERY, "the reservation of order {order_id} is not bound");
            sleep(LOOK_INTERVAL).await;
        }
        latencies.record(begin.elapsed());
    }
    Ok((latencies, ordered))
}

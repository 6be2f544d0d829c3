//! What the other services publish, and what has to follow from it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::http::{Client, Reply, post};
use serde_json::{Value, json};
use service_runtime::events::Outgoing;

use super::bench::Bench;
use super::stage::Stage;
use crate::buyers::new_reservation;
use crate::platform::{ORDERS, PRODUCTS, RESERVATIONS, unique};

const TIME_LIMIT: Duration = Duration::from_secs(10);
/// What an order costs, in cents.
const PRICE: i64 = 1998;
/// How many pieces there are at first.
pub(super) const STOCK: i64 = 1_000_000;
/// How many orders there are for each handler.
const EACH: usize = 2;

/// What has to become of an order.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// What the service says of it.
    pub(super) state: &'static str,
    /// The types of the events that the service publishes about it, sorted.
    pub(super) events: &'static [&'static str],
}

/// What happens under one fault.
#[derive(Clone, Debug, Default)]
pub(super) struct Act {
    pub(super) events: Vec<Outgoing>,
    /// How many events the service publishes because of these.
    pub(super) fresh: usize,
    /// What is published when the fault is over.
    pub(super) late: Vec<Outgoing>,
}

/// All that happens to a service.
#[derive(Debug)]
pub(super) struct Scenes {
    pub(super) stage: Stage,
    /// What is ordered.
    pub(super) product: i64,
    /// By order.
    pub(super) expected: BTreeMap<i64, Expected>,
}

impl Scenes {
    pub(super) async fn new(stage: Stage, bench: &Bench<'_>) -> Result<Self> {
        let products = match stage {
            Stage::Products => Some(bench.address),
            Stage::Orders => bench.called,
            Stage::Payments => None,
        };
        let mut scenes = Self { stage, product: 1, expected: BTreeMap::new() };
        if let Some(products) = products {
            let price = json!({"amount": PRICE, "currency": "EUR"});
            let sku = format!("X{}", unique());
            let body = json!({"sku": sku, "name": "Mug", "category": "kitchen", "price": price, "stock": STOCK});
            let reply = Client::new(products, TIME_LIMIT).send(&post(PRODUCTS, None, &body.to_string())).await?;
            scenes.product = created(&reply, "id")?;
        }
        Ok(scenes)
    }

    /// Prepares some orders for each handler, with what has to happen before.
    pub(super) async fn prepare(&mut self, bench: &Bench<'_>) -> Result<Act> {
        let mut act = Act::default();
        for _ in 0..EACH {
            match self.stage {
                Stage::Products => self.prepare_reservations(bench, &mut act).await?,
                Stage::Orders => self.prepare_orders(bench, &mut act).await?,
                Stage::Payments => self.prepare_payments(bench, &mut act).await?,
            }
        }
        Ok(act)
    }

    async fn prepare_reservations(&mut self, bench: &Bench<'_>, act: &mut Act) -> Result<()> {
        let [placed, confirmed, cancelled] = [(); 3].map(|()| Order::new(self.product));
        for order in [&placed, &confirmed, &cancelled] {
            let items = json!([{"product_id": self.product, "quantity": 1}]);
            let body = json!({"reservation_id": order.reservation, "items": items});
            let mut client = Client::new(bench.address, TIME_LIMIT);
            let reply = client.send(&post(RESERVATIONS, None, &body.to_string())).await?;
            ensure!(reply.status == 201, "a reservation was answered with {}", reply.status);
        }
        bench.publish(vec![confirmed.created(), cancelled.created()]).await?;
        for order in [&confirmed, &cancelled] {
            told(bench, order.id, "stock.reserved").await?;
        }
        act.events.extend([placed.created(), confirmed.confirmed(), cancelled.cancelled()]);
        act.fresh += 2;
        self.expect(placed.id, "bound", &["stock.reserved"]);
        self.expect(confirmed.id, "committed", &["stock.reserved"]);
        self.expect(cancelled.id, "released", &["stock.released", "stock.reserved"]);
        Ok(())
    }

    async fn prepare_orders(&mut self, bench: &Bench<'_>, act: &mut Act) -> Result<()> {
        let mut orders = Vec::new();
        let mut client = Client::new(bench.address, TIME_LIMIT);
        for _ in 0..4 {
            let body = json!({"user_id": 1, "items": [{"product_id": self.product, "quantity": 1}]});
            let reply = client.send(&post(ORDERS, None, &body.to_string())).await?;
            orders.push(Order { id: created(&reply, "order_id")?, ..Order::new(self.product) });
        }
        let [paid, declined, refunded, sold_out] = &*orders else { return Ok(()) };
        bench.publish(vec![refunded.paid()]).await?;
        told(bench, refunded.id, "order.confirmed").await?;
        act.events.extend([paid.paid(), declined.declined(), refunded.refunded(), sold_out.sold_out()]);
        act.fresh += 4;
        self.expect(paid.id, "confirmed", &["order.confirmed", "order.created"]);
        self.expect(declined.id, "cancelled payment_failed", &["order.cancelled", "order.created"]);
        let events = &["order.cancelled", "order.confirmed", "order.created"];
        self.expect(refunded.id, "cancelled requested", events);
        self.expect(sold_out.id, "cancelled out_of_stock", &["order.cancelled", "order.created"]);
        Ok(())
    }

    async fn prepare_payments(&mut self, bench: &Bench<'_>, act: &mut Act) -> Result<()> {
        let [placed, cancelled, cancelled_first] = [(); 3].map(|()| Order::new(self.product));
        bench.publish(vec![cancelled.created()]).await?;
        told(bench, cancelled.id, "payment.completed").await?;
        act.events.extend([placed.created(), cancelled.cancelled(), cancelled_first.cancelled()]);
        act.late.push(cancelled_first.created());
        act.fresh += 2;
        self.expect(placed.id, "completed, charged once, all kept", &["payment.completed"]);
        let events = &["payment.completed", "payment.refunded"];
        self.expect(cancelled.id, "refunded, charged once, nothing kept", events);
        self.expect(cancelled_first.id, "", &[]);
        Ok(())
    }

    fn expect(&mut self, order_id: i64, state: &'static str, events: &'static [&'static str]) {
        self.expected.insert(order_id, Expected { state, events });
    }
}

/// Waits until the service has written an event of this type about an order.
async fn told(bench: &Bench<'_>, order_id: i64, kind: &str) -> Result<()> {
    bench
        .until(&format!("order {order_id}: {kind}"), async |bench| {
            let written = bench.journal.written().await?;
            Ok(written.iter().any(|event| event.kind == kind && event.data()["order_id"] == order_id))
        })
        .await
}

/// The id in an answer with 201.
fn created(reply: &Reply, name: &str) -> Result<i64> {
    ensure!(reply.status == 201, "a request was answered with {}", reply.status);
    reply.json()[name].as_i64().context("an answer has an id")
}

/// An order, as the events of other services name it.
#[derive(Debug)]
struct Order {
    id: i64,
    product: i64,
    reservation: String,
}

impl Order {
    fn new(product: i64) -> Self {
        Self { id: unique() as i64, product, reservation: new_reservation() }
    }

    fn created(&self) -> Outgoing {
        let items = json!([{"product_id": self.product, "quantity": 1}]);
        self.event("order.created", json!({"items": items, "total": money(PRICE), "reservation_id": self.reservation}))
    }

    fn confirmed(&self) -> Outgoing {
        self.event("order.confirmed", json!({"reservation_id": self.reservation}))
    }

    fn cancelled(&self) -> Outgoing {
        self.event("order.cancelled", json!({"reason": "requested", "reservation_id": self.reservation}))
    }

    fn paid(&self) -> Outgoing {
        self.event("payment.completed", json!({"payment_id": self.id, "amount": money(PRICE)}))
    }

    fn declined(&self) -> Outgoing {
        let data = json!({"payment_id": self.id, "amount": money(PRICE), "reason": "declined"});
        self.event("payment.failed", data)
    }

    fn refunded(&self) -> Outgoing {
        let (amount, remaining) = (money(PRICE), money(0));
        let data = json!({"payment_id": self.id, "refund_id": self.id, "amount": amount, "remaining": remaining});
        self.event("payment.refunded", data)
    }

    fn sold_out(&self) -> Outgoing {
        let data = json!({"reservation_id": self.reservation, "product_ids": [self.product]});
        self.event("stock.rejected", data)
    }

    /// An event about this order.
    fn event(&self, kind: &str, mut data: Value) -> Outgoing {
        let event_id = format!("00000000-0000-7000-9000-{:012x}", unique());
        data["order_id"] = json!(self.id);
        data["user_id"] = json!(1);
        let envelope = json!({
            "specversion": "1.0", "id": event_id, "source": "/chaos", "type": kind, "subject": self.id.to_string(),
            "time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json", "data": data,
        });
        Outgoing { event_id, event_type: kind.to_owned(), mandatory: true, envelope: envelope.to_string() }
    }
}

fn money(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

//! Tests what the events of orders do to stock, in every order and however often they come, and what is published then.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use order_events::samples::{ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_CREATED};
use product_service::SERVICE;
use product_service::store::{OrderEvent, OrderStep, ProductStore, ReservationStore};
use product_service_api::{Product, ProductCreate, ReservationCreate, ReservationId};
use serde_json::{Value, json};
use service_runtime::events::Inbox;
use service_testing::{
    CapturedLog, Listener, TestDatabase, config_of, on_both_carriers, on_both_databases, outbox, publish,
    types_and_data,
};
use uuid::Uuid;

/// How many pieces of the product there are, and how many each order takes.
const STOCK: i64 = 10;
const QUANTITY: i64 = 4;

/// The examples of this service's events.
static EXAMPLES: LazyLock<Vec<Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../api/events.json")).unwrap());

/// A database with one product.
struct Shop {
    products: ProductStore,
    reservations: ReservationStore,
    database: service_runtime::database::Database,
    product: Product,
}

/// What had become of the reservation when the first event of its order came.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Held,
    Expired,
    /// So long ago that nothing of it is left.
    Removed,
}

impl Shop {
    async fn open(database: &TestDatabase) -> Self {
        let database = SERVICE.open(&database.url, 4).await.unwrap();
        let outbox = SERVICE.outbox().unwrap();
        let products = ProductStore::new(database.clone(), outbox.clone());
        let reservations = ReservationStore::new(database.clone(), outbox, Inbox::default());
        let new: ProductCreate = serde_json::from_value(json!({
            "sku": "A", "name": "Mug", "category": "kitchen", "price": { "amount": 1, "currency": "EUR" }, "stock": STOCK,
        }))
        .unwrap();
        let (product, _) = products.insert(&new, Utc::now(), None, None).await.unwrap();
        Self { products, reservations, database, product }
    }

    fn items(&self, quantity: i64) -> Value {
        json!([{ "product_id": self.product.id, "quantity": quantity }])
    }

    async fn reserve(&self, quantity: i64, at: DateTime<Utc>) -> ReservationId {
        let new = json!({ "reservation_id": Uuid::new_v4().to_string(), "items": self.items(quantity) });
        let new: ReservationCreate = serde_json::from_value(new).unwrap();
        let made = self.reservations.reserve(new, at).await.unwrap().unwrap();
        made.reservation_id
    }

    async fn reserve_for(&self, before: Before) -> ReservationId {
        let now = Utc::now();
        let id = self.reserve(QUANTITY, now).await;
        let later = [(Before::Held, 0), (Before::Expired, 1), (Before::Removed, 20)];
        let days = later.iter().find(|(one, _)| *one == before).unwrap().1;
        // The first sweep expires it, the second one removes it.
        for day in (1..=days).step_by(19) {
            self.reservations.sweep(id.clone(), now + TimeDelta::days(day)).await.unwrap();
        }
        assert_eq!(self.reservations.find(&id).await.unwrap().is_none(), before == Before::Removed);
        id
    }

    async fn follow(&self, reservation_id: &ReservationId, name: &str) {
        let step = match name {
            "placed" => OrderStep::Placed(serde_json::from_value(self.items(QUANTITY)).unwrap()),
            "confirmed" => OrderStep::Confirmed,
            _ => OrderStep::Cancelled,
        };
        let event = OrderEvent {
            event_id: format!("{name} {}", reservation_id.as_str()),
            traceparent: None,
            order_id: 1.try_into().unwrap(),
            reservation_id: reservation_id.clone(),
            step,
        };
        self.reservations.follow(event, Utc::now()).await.unwrap();
    }

    /// Available and reserved.
    async fn stock(&self) -> (i64, i64) {
        let product = self.products.find(self.product.id).await.unwrap().unwrap();
        (product.stock.get(), product.reserved.get())
    }

    /// The types of the published events about stock.
    async fn published(&self) -> Vec<String> {
        let events = outbox(&self.database).await;
        let stock = types_and_data(&events).into_iter().filter(|(name, _)| name.starts_with("stock."));
        stock.map(|(name, _)| name.to_owned()).collect()
    }
}

fn permutations(names: &[&'static str]) -> Vec<Vec<&'static str>> {
    if names.is_empty() {
        return vec![Vec::new()];
    }
    let with_first = |index: usize| {
        let mut rest = names.to_vec();
        let first = rest.remove(index);
        permutations(&rest).into_iter().map(move |rest| [vec![first], rest].concat())
    };
    (0..names.len()).flat_map(with_first).collect()
}

on_both_databases! {
    async fn the_events_of_an_order_end_alike_in_every_order(database: TestDatabase) {
        let shop = Shop::open(&database).await;
        let mut sold = 0;
        let lives: [(&[&str], i64); 3] = [
            (&["placed", "cancelled"], 0),
            (&["placed", "confirmed", "cancelled"], 0),
            (&["placed", "confirmed"], QUANTITY),
        ];
        for (life, taken) in lives {
            for order in permutations(life) {
                for before in [Before::Held, Before::Expired] {
                    let id = shop.reserve_for(before).await;
                    // Each event comes twice, once more after all others.
                    for name in order.iter().chain(&order) {
                        shop.follow(&id, name).await;
                    }
                    sold += taken;
                    assert_eq!(shop.stock().await, (STOCK - sold, 0), "{order:?} after {before:?}");
                    let restocked = json!({ "quantity_change": taken });
                    if taken > 0 {
                        let change = serde_json::from_value(restocked).unwrap();
                        let any = contract::precondition::IfMatch(None);
                        shop.products.change_stock(shop.product.id, &any, &change, Utc::now(), None, None).await.unwrap();
                        sold -= taken;
                    }
                }
            }
        }
    }

    async fn changes_of_the_stock_of_an_order_are_published(database: TestDatabase) {
        let shop = Shop::open(&database).await;
        let id = shop.reserve_for(Before::Held).await;
        shop.follow(&id, "placed").await;
        assert_eq!((shop.published().await, shop.stock().await), (vec!["stock.reserved".to_owned()], (STOCK - QUANTITY, QUANTITY)));
        shop.follow(&id, "placed").await;
        shop.follow(&id, "confirmed").await;
        assert_eq!((shop.published().await.len(), shop.stock().await), (1, (STOCK - QUANTITY, 0)));
        shop.follow(&id, "cancelled").await;
        shop.follow(&id, "cancelled").await;
        assert_eq!((shop.published().await, shop.stock().await), (vec!["stock.reserved".to_owned(), "stock.released".to_owned()], (STOCK, 0)));
        let example: Vec<Value> = serde_json::from_str(include_str!("../api/events.json")).unwrap();
        let events = outbox(&shop.database).await;
        for (name, data) in types_and_data(&events) {
            let mut expected = example.iter().find(|example| example["type"] == name).unwrap()["data"].clone();
            if name.starts_with("stock.") {
                expected["reservation_id"] = id.as_str().into();
            }
            assert_eq!(data, &expected, "{name}");
        }
    }

    async fn an_expired_reservation_is_made_again_or_rejected(database: TestDatabase) {
        let shop = Shop::open(&database).await;
        for before in [Before::Expired, Before::Removed] {
            let id = shop.reserve_for(before).await;
            shop.follow(&id, "placed").await;
            assert_eq!(shop.stock().await, (STOCK - QUANTITY, QUANTITY), "{before:?}");
            shop.follow(&id, "cancelled").await;
        }
        for name in ["placed", "confirmed"] {
            for before in [Before::Expired, Before::Removed] {
                let id = shop.reserve_for(before).await;
                let others = shop.reserve(STOCK - QUANTITY + 1, Utc::now()).await;
                shop.follow(&id, name).await;
                assert_eq!(shop.published().await.last().unwrap(), "stock.rejected", "{name} {before:?}");
                assert_eq!(shop.stock().await, (QUANTITY - 1, STOCK - QUANTITY + 1));
                shop.reservations.release(others, Utc::now()).await.unwrap().unwrap();
            }
        }
        let events = outbox(&shop.database).await;
        let rejected = types_and_data(&events).into_iter().find(|(name, _)| *name == "stock.rejected").unwrap().1;
        assert_eq!(rejected["product_ids"], json!([shop.product.id]));
    }

    async fn an_order_is_not_confirmed_with_released_stock(database: TestDatabase) {
        let shop = Shop::open(&database).await;
        let id = shop.reserve_for(Before::Held).await;
        shop.reservations.release(id.clone(), Utc::now()).await.unwrap().unwrap();
        shop.follow(&id, "placed").await;
        assert_eq!(shop.published().await, [""; 0]);
        shop.follow(&id, "confirmed").await;
        shop.follow(&id, "confirmed").await;
        assert_eq!((shop.published().await, shop.stock().await), (vec!["stock.rejected".to_owned()], (STOCK, 0)));
        // Nothing is short: it was released on purpose.
        let events = outbox(&shop.database).await;
        let rejected = types_and_data(&events).into_iter().find(|(name, _)| *name == "stock.rejected").unwrap().1;
        assert_eq!(rejected["product_ids"], json!([]));
        assert_eq!(shop.reservations.find(&id).await.unwrap().unwrap().order_id, Some(1.try_into().unwrap()));
    }

    async fn two_instances_follow_an_event_once(database: TestDatabase) {
        let (shop, now) = (Shop::open(&database).await, Utc::now());
        let opened = SERVICE.open(&database.url, 4).await.unwrap();
        let other = ReservationStore::new(opened, SERVICE.outbox().unwrap(), Inbox::default());
        let ids = futures::future::join_all((0..2).map(|_| shop.reserve(QUANTITY, now))).await;
        let event = |id: &ReservationId, name: &str, step| OrderEvent {
            event_id: format!("{name} {}", id.as_str()),
            traceparent: None,
            order_id: 1.try_into().unwrap(),
            reservation_id: id.clone(),
            step,
        };
        let mut following = Vec::new();
        for id in &ids {
            for store in [&shop.reservations, &other] {
                following.push(store.follow(event(id, "confirmed", OrderStep::Confirmed), now));
                following.push(store.follow(event(id, "cancelled", OrderStep::Cancelled), now));
            }
        }
        for followed in futures::future::join_all(following).await {
            followed.unwrap();
        }
        assert_eq!(shop.stock().await, (STOCK, 0));
        let published = shop.published().await;
        let (released, rejected): (Vec<_>, Vec<_>) = published.iter().partition(|name| *name == "stock.released");
        assert_eq!(released.len(), 2, "{published:?}");
        // Each order is rejected at most once: if it is told of the cancellation first.
        assert!(rejected.len() <= 2 && rejected.iter().all(|name| *name == "stock.rejected"), "{published:?}");
    }
}

on_both_carriers! {
    async fn the_examples_of_orders_are_handled(carrier: TestCarrier) {
        let (database, transport) = (TestDatabase::new(service_testing::Kind::Sqlite).await, carrier.open().await);
        let shop = Shop::open(&database).await;
        let log = CapturedLog::default();
        let mut config = config_of(&SERVICE, &database.url, &[]);
        config.transport = Some(transport.clone());
        let mut listener = Listener::new(&transport, &["stock.reserved", "stock.released", "stock.rejected"]).await;
        let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
        let id = shop.reserve(2, Utc::now()).await;
        for (number, sample) in [ORDER_CREATED, ORDER_CONFIRMED, ORDER_CANCELLED].into_iter().enumerate() {
            let mut sent: Value = serde_json::from_str(sample).unwrap();
            // In the samples all events have one id.
            sent["id"] = Uuid::new_v4().to_string().into();
            sent["data"]["reservation_id"] = id.as_str().into();
            publish(&transport, &sent).await;
            while log.text().matches("event handled").count() <= number {
                tokio::task::yield_now().await;
            }
            let expected = [(STOCK - 2, 2), (STOCK - 2, 0), (STOCK, 0)][number];
            assert_eq!(shop.stock().await, expected, "{sample}");
        }
        let mut too_much: Value = serde_json::from_str(ORDER_CREATED).unwrap();
        too_much["data"]["items"][0]["quantity"] = (STOCK + 1).into();
        publish(&transport, &too_much).await;
        for name in ["stock.reserved", "stock.released", "stock.rejected"] {
            let event = listener.next().await;
            let mut example = EXAMPLES.iter().find(|example| example["type"] == name).unwrap()["data"].clone();
            if name != "stock.rejected" {
                example["reservation_id"] = id.as_str().into();
            }
            assert_eq!((&event["type"], &event["data"]), (&json!(name), &example));
        }
        server.stop().await;
    }
}

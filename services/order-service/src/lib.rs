//! order-service: owns the orders.
//!
//! A request passes `http` (decode, call, encode), `orders` (the rules) and `store` (all SQL); `dependencies` is what it
//! asks of other services, `events` handles what they publish.
//! `order-service-api` is the contract.

mod dependencies;
mod events;
mod http;
mod items;
mod orders;
mod receipt;
mod reservations;
mod status;
pub mod store;

use service_runtime::{Service, migrations};

use crate::dependencies::products::{self, Products};
use crate::dependencies::users::{self, UserLookup};
use crate::events::StockEvents;
use crate::orders::Orders;
use crate::reservations::Reservations;
use crate::store::OrderStore;

/// order-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Owns the orders of the Orders & Notifications Platform.",
    document: include_str!("../../../openapi/order-service.json"),
    events: Some(include_str!("../../../openapi/events/order-service.json")),
    settings: None,
    migrations: migrations![
        "0001_create_orders",
        "0003_drop_orders_by_user",
        "0004_add_items_and_reservations",
        "0006_tell_of_reservations_by_events",
    ],
    serve: |mut parts| {
        let store = OrderStore::new(parts.database.clone(), parts.outbox()?, parts.inbox());
        let users = parts.dependency("user-service", users::MAX_RESPONSE_BYTES)?.lookups::<UserLookup>();
        let products = parts.optional_dependency("product-service", products::MAX_RESPONSE_BYTES)?;
        let reservations = products.map(|products| Reservations::new(Products::new(products)));
        let stock = StockEvents::new(store.clone(), parts.log().clone());
        parts.handle_events(product_events::TYPES, move |message| {
            let stock = stock.clone();
            async move { product_events::dispatch(&stock, &message).await }
        });
        let orders = Orders::new(store, parts.keys.clone(), users, reservations);
        parts.serve(http::api(), orders)
    },
};

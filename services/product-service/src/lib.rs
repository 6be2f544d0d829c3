//! product-service: owns the catalogue and the stock.
//!
//! A request passes `http` (decode, call, encode), `products` or `reservations` (the rules) and `store` (all SQL); `words`
//! splits texts for search. `product-service-api` is the contract.

mod cache;
mod events;
mod http;
mod products;
mod reservations;
pub mod store;
pub mod words;

use contract::event::Event as _;
use product_service_api::ProductChanged;
use service_runtime::{Service, migrations};

use crate::events::OrderEvents;
use crate::http::Catalogue;
use crate::products::Products;
use crate::reservations::Reservations;
use crate::store::{ProductStore, ReservationStore};

/// product-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Owns the catalogue and the stock of the Orders & Notifications Platform.",
    document: include_str!("../../../openapi/product-service.json"),
    events: Some(include_str!("../../../openapi/events/product-service.json")),
    settings: None,
    migrations: migrations![
        "0001_create_products",
        "0003_index_idempotency_keys_by_location",
        "0004_create_reservations",
        "0006_add_order_to_reservations",
    ],
    serve: |mut parts| {
        let outbox = parts.outbox()?;
        let products = Products::new(ProductStore::new(parts.database.clone(), outbox.clone()), parts.keys.clone());
        parts.watch_events(&[ProductChanged::TYPE], products.forgetting());
        let store = ReservationStore::new(parts.database.clone(), outbox, parts.inbox());
        let orders = OrderEvents::new(store.clone());
        parts.handle_events(order_events::TYPES, move |message| {
            let orders = orders.clone();
            async move { order_events::dispatch(&orders, &message).await }
        });
        let reservations = Reservations::new(store);
        parts.run_in_background(reservations.clone().sweep(parts.log().clone()));
        parts.serve(http::api(), Catalogue { products, reservations })
    },
};

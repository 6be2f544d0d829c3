//! order-service: owns the orders.
//!
//! A request passes `http` (decode, call, encode), `orders` (the rules) and `store` (all SQL); `dependencies` is what it
//! asks of other services, `events` handles what they publish; `status` says how an order moves, and `unpaid` cancels those
//! that nobody pays.
//! `order-service-api` is the contract.

mod dependencies;
mod events;
mod http;
mod items;
mod orders;
mod receipt;
mod reservations;
mod settings;
pub mod status;
pub mod store;
mod unpaid;

use chrono::TimeDelta;
use clap::Args as _;
use service_runtime::{Service, migrations};

use crate::dependencies::products::{self, Products};
use crate::dependencies::users::{self, UserLookup};
use crate::events::OrderEvents;
use crate::orders::Orders;
use crate::reservations::Reservations;
use crate::settings::Settings;
use crate::store::OrderStore;
use crate::unpaid::UnpaidMetrics;

/// order-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Owns the orders of the Orders & Notifications Platform.",
    document: include_str!("../../../openapi/order-service.json"),
    events: Some(include_str!("../../../openapi/events/order-service.json")),
    settings: Some(Settings::augment_args),
    migrations: migrations![
        "0001_create_orders",
        "0003_drop_orders_by_user",
        "0004_add_items_and_reservations",
        "0006_tell_of_reservations_by_events",
        "0007_add_payments",
        "0008_index_orders_by_payment_due_at",
    ],
    serve: |mut parts| {
        let settings: Settings = parts.settings()?;
        let store = OrderStore::new(parts.database.clone(), parts.outbox()?, parts.inbox());
        let users = parts.dependency("user-service", users::MAX_RESPONSE_BYTES)?.lookups::<UserLookup>();
        let products = parts.optional_dependency("product-service", products::MAX_RESPONSE_BYTES)?;
        let reservations = products.map(|products| Reservations::new(Products::new(products)));
        let events = OrderEvents::new(store.clone(), parts.log().clone());
        let of_payments = events.clone();
        parts.handle_events(payment_events::TYPES, move |message| {
            let events = of_payments.clone();
            async move { payment_events::dispatch(&events, &message).await }
        });
        parts.handle_events(product_events::TYPES, move |message| {
            let events = events.clone();
            async move { product_events::dispatch(&events, &message).await }
        });
        let metrics = UnpaidMetrics::new(parts.metrics());
        parts.run_in_background(unpaid::sweep(store.clone(), metrics, parts.log().clone()));
        let payment_timeout = TimeDelta::seconds(settings.payment_timeout_s.into());
        let orders = Orders::new(store, parts.keys.clone(), users, reservations, payment_timeout);
        parts.serve(http::api(), orders)
    },
};

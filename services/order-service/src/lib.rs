//! order-service: owns the orders.
//!
//! A request passes `http` (decode, call, encode), `orders` (the rules) and `store` (all SQL); `dependencies` is what it
//! asks of other services. `reservations` tells product-service in the background what becomes of what is reserved.
//! `order-service-api` is the contract.

mod dependencies;
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
use crate::orders::Orders;
use crate::reservations::Reservations;
use crate::store::OrderStore;

/// order-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Owns the orders of the Orders & Notifications Platform.",
    document: include_str!("../../../openapi/order-service.json"),
    migrations: migrations!["0001_create_orders", "0003_drop_orders_by_user", "0004_add_items_and_reservations"],
    serve: |mut parts| {
        let store = OrderStore::new(parts.database.clone());
        let users = parts.dependency("user-service", users::MAX_RESPONSE_BYTES)?.lookups::<UserLookup>();
        let products = parts.optional_dependency("product-service", products::MAX_RESPONSE_BYTES)?;
        let reservations =
            products.map(|products| Reservations::new(Products::new(products), store.clone(), parts.log().clone()));
        if let Some(reservations) = &reservations {
            parts.run_in_background(reservations.clone().run());
        }
        let orders = Orders::new(store, parts.keys.clone(), users, reservations);
        parts.serve(http::api(), orders)
    },
};

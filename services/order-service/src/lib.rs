//! order-service: owns the orders.
//!
//! A request passes `http` (decode, call, encode), `orders` (the rules) and `store` (all SQL); `dependencies` is what it
//! asks of other services. `order-service-api` is the contract.

mod dependencies;
mod http;
mod orders;
mod receipt;
pub mod store;

use service_runtime::{Service, migrations};

use crate::dependencies::users::{MAX_RESPONSE_BYTES, UserLookup};
use crate::orders::Orders;
use crate::store::OrderStore;

/// order-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Owns the orders of the Orders & Notifications Platform.",
    document: include_str!("../../../openapi/order-service.json"),
    migrations: migrations!["0001_create_orders", "0003_drop_orders_by_user"],
    serve: |mut parts| {
        let users = parts.dependency("user-service", MAX_RESPONSE_BYTES)?.lookups::<UserLookup>();
        let orders = Orders::new(OrderStore::new(parts.database.clone()), parts.keys.clone(), users);
        parts.serve(http::api(), orders)
    },
};

//! product-service: owns the catalogue and the stock.
//!
//! A request passes `http` (decode, call, encode), `products` or `reservations` (the rules) and `store` (all SQL); `words`
//! splits texts for search. `product-service-api` is the contract.

mod cache;
mod http;
mod products;
mod reservations;
pub mod store;
pub mod words;

use service_runtime::{Service, migrations};

use crate::http::Catalogue;
use crate::products::Products;
use crate::reservations::Reservations;
use crate::store::{ProductStore, ReservationStore};

/// product-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Owns the catalogue and the stock of the Orders & Notifications Platform.",
    document: include_str!("../../../openapi/product-service.json"),
    migrations: migrations![
        "0001_create_products",
        "0003_index_idempotency_keys_by_location",
        "0004_create_reservations",
    ],
    serve: |mut parts| {
        let products = Products::new(ProductStore::new(parts.database.clone()), parts.keys.clone());
        let reservations = Reservations::new(ReservationStore::new(parts.database.clone()));
        parts.run_in_background(reservations.clone().sweep(parts.log().clone()));
        parts.serve(http::api(), Catalogue { products, reservations })
    },
};

//! payment-provider: stands for a payment provider, with a ledger of charges and refunds that move no money.
//!
//! A request passes `http` (decode, call, encode), `ledger` (the rules) and `store` (all SQL); `behaviour` is what the
//! payment method makes of it. `payment-provider-api` is the contract.

mod behaviour;
mod http;
mod ledger;
pub mod store;

use service_runtime::{Service, migrations};

use crate::ledger::Ledger;
use crate::store::ChargeStore;

/// payment-provider as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Stands for a payment provider of the Orders & Notifications Platform, for development and tests.",
    document: include_str!("../../../openapi/payment-provider.json"),
    events: None,
    settings: None,
    migrations: migrations!["0001_create_charges"],
    serve: |parts| {
        let ledger = Ledger::new(ChargeStore::new(parts.database.clone()));
        parts.serve(http::api(), ledger)
    },
};

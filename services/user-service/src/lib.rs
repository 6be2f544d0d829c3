//! user-service: owns the users.
//!
//! A request passes `http` (decode, call, encode), `users` (the rules) and `store` (all SQL). `user-service-api` is the
//! contract.

mod http;
pub mod store;
mod users;

use service_runtime::{Service, migrations};

use crate::store::UserStore;
use crate::users::Users;

/// user-service as a whole.
pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    about: "Owns the users of the Orders & Notifications Platform.",
    document: include_str!("../../../openapi/user-service.json"),
    events: Some(include_str!("../../../openapi/events/user-service.json")),
    settings: None,
    migrations: migrations!["0001_create_users", "0003_index_idempotency_keys_by_location", "0006_add_contacts"],
    serve: |parts| {
        let store = UserStore::new(parts.database.clone(), parts.outbox()?);
        let users = Users::new(store, parts.keys.clone());
        parts.serve(http::api(), users)
    },
};

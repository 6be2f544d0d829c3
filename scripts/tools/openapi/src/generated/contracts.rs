// Generated from services/platform.toml by `cargo topology generate`. Do not edit.

use contract::document::Contract;

/// Each service with its contract.
#[rustfmt::skip] // one service a line, however short the list
pub(crate) const CONTRACTS: &[(&str, fn() -> Contract)] = &[
    ("user-service", user_service_api::service_contract),
    ("order-service", order_service_api::service_contract),
];

// Generated from services/platform.toml by `cargo topology generate`. Do not edit.

use contract::document::Contract;

/// Each service with its contract.
pub(crate) const CONTRACTS: &[(&str, fn() -> Contract)] =
    &[("user-service", user_service_api::contract), ("order-service", order_service_api::contract)];

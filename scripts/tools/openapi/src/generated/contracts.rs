// Generated from services/platform.toml by `cargo topology generate`. Do not edit.

use contract::document::Contract;

type Named = (&'static str, fn() -> Contract);

/// Each service with its contract.
#[rustfmt::skip] // one service a line, however short the list
pub(crate) const CONTRACTS: &[Named] = &[
    ("user-service", user_service_api::service_contract),
    ("product-service", product_service_api::service_contract),
    ("order-service", order_service_api::service_contract),
    ("notification-service", notification_service_api::service_contract),
    ("payment-provider", payment_provider_api::service_contract),
    ("payment-service", payment_service_api::service_contract),
];

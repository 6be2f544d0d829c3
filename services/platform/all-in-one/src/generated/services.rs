// Generated from services/platform.toml by `cargo topology generate`. Do not edit.

/// Every service, each after the services that it calls.
#[rustfmt::skip] // one service a line, however short the list
pub(crate) const SERVICES: &[service_runtime::Service] = &[
    user_service::SERVICE,
    product_service::SERVICE,
    order_service::SERVICE,
    notification_service::SERVICE,
    payment_provider::SERVICE,
    payment_service::SERVICE,
];

//! order-service: owns the orders.
//!
//! A request goes `http` (decode, call, encode) → `orders` (the rules) → `store` (the SQL); before an order is written
//! `user_check` asks user-service for the user. What is promised is in `order-service-api`.

mod config;
mod http;
mod insert;
mod orders;
pub mod store;
mod user_check;
mod user_lookup;

use std::time::Duration;

use anyhow::Result;
use service_runtime::database::Database;
use service_runtime::idempotency::Keys;
use service_runtime::server::{ReadinessProbe, Server, Service};
use service_runtime::telemetry::Telemetry;
use slog::{Logger, info, o};

use crate::orders::Orders;
use crate::store::OrderStore;
use crate::user_check::UserCheck;

pub use config::Config;

/// The service's name in logs and documents.
pub const NAME: &str = "order-service";

/// The checked-in OpenAPI document, served byte for byte.
pub const DOCUMENT: &str = include_str!("../../../openapi/order-service.json");

/// Opens the database, brings its schema up to date, and starts to serve.
pub async fn start(config: &Config, log: &Logger) -> Result<Server> {
    let log = log.new(o!("service_name" => NAME));
    let mut telemetry = Telemetry::new(NAME, &config.traces, &log)?;
    let user_check = UserCheck::new(config, &mut telemetry, &log)?;
    let database = open(config, &log).await?;
    let probe = ReadinessProbe::new(database.clone());
    let keys = Keys::new(database.clone());
    let server = Server::start(
        Service {
            name: NAME,
            listen_address: config.listen_address,
            api: http::api()?,
            state: Orders::new(OrderStore::new(database), keys.clone(), user_check),
            limits: config.limits.clone(),
            keys,
            document: DOCUMENT,
            probe,
            telemetry,
        },
        &log,
    )?;
    info!(log, "serving"; "url" => server.url(), "database" => config.database_url.to_string(),
        "user_service_url" => &config.user_service_url);
    Ok(server)
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(config: &Config, log: &Logger) -> Result<()> {
    open(config, log).await?.close().await;
    info!(log, "the schema is up to date"; "database" => config.database_url.to_string());
    Ok(())
}

async fn open(config: &Config, log: &Logger) -> Result<Database> {
    let patience = Duration::from_millis(config.database_start_timeout_ms.into());
    Database::wait_for(&config.database_url, patience, log).await;
    Database::open(&config.database_url, config.database_connections, &store::MIGRATIONS).await
}

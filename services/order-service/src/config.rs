//! The configuration of order-service.

use std::net::SocketAddr;

use clap::Parser;
use service_runtime::config::{calls, connections, listen_address, log_level, milliseconds, service_url};
use service_runtime::database::DatabaseUrl;
use service_runtime::guard::Limits;
use service_runtime::telemetry::Traces;
use slog::Level;

/// Enough to keep a small PostgreSQL busy, few enough for several instances on one server.
const DEFAULT_CONNECTIONS: u32 = 10;
/// Long enough for a server that starts at the same time, or recovers.
const DEFAULT_START_TIMEOUT_MS: u32 = 30_000;

/// A service next door that does not even accept a connection by then is away.
const DEFAULT_CONNECT_TIMEOUT_MS: u32 = 250;
/// Longer than a healthy user-service takes.
const DEFAULT_ATTEMPT_TIMEOUT_MS: u32 = 400;
/// Enough for a second and a third attempt, shorter than a person waits.
const DEFAULT_TIMEOUT_MS: u32 = 900;
/// A healthy user-service answers thousands of calls a second with so many at a time; one that hangs gets no more.
const DEFAULT_CONCURRENCY: u32 = 64;

/// Owns the orders of the Orders & Notifications Platform.
///
/// Every setting is a flag or an environment variable; a file `.env` in the working directory may hold variables too.
#[derive(Clone, Debug, Parser)]
#[command(name = "order-service", version)]
pub struct Config {
    /// Address and port to listen on; port 0 takes any free port.
    #[arg(long, env = "LISTEN_ADDRESS", value_name = "IP:PORT", default_value = "127.0.0.1:8003", value_parser = listen_address)]
    pub listen_address: SocketAddr,

    /// Where the orders are kept: sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE (PostgreSQL 14 or later).
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        default_value = "sqlite:data/order-service.db",
        hide_env_values = true
    )]
    pub database_url: DatabaseUrl,

    /// The most connections to PostgreSQL at a time.
    #[arg(long, env = "DATABASE_CONNECTIONS", value_name = "NUMBER", default_value_t = DEFAULT_CONNECTIONS, value_parser = connections)]
    pub database_connections: u32,

    /// Where user-service answers.
    #[arg(long, env = "USER_SERVICE_URL", value_name = "URL", default_value = "http://127.0.0.1:8001", value_parser = service_url)]
    pub user_service_url: String,

    /// The most milliseconds to wait for a connection to user-service.
    #[arg(long, env = "USER_SERVICE_CONNECT_TIMEOUT_MS", value_name = "MS", default_value_t = DEFAULT_CONNECT_TIMEOUT_MS, value_parser = milliseconds)]
    pub user_service_connect_timeout_ms: u32,

    /// The most milliseconds to wait for user-service's answer to one attempt, connecting included.
    #[arg(long, env = "USER_SERVICE_ATTEMPT_TIMEOUT_MS", value_name = "MS", default_value_t = DEFAULT_ATTEMPT_TIMEOUT_MS, value_parser = milliseconds)]
    pub user_service_attempt_timeout_ms: u32,

    /// The most milliseconds to wait for user-service, all attempts and the waits between them included.
    #[arg(long, env = "USER_SERVICE_TIMEOUT_MS", value_name = "MS", default_value_t = DEFAULT_TIMEOUT_MS, value_parser = milliseconds)]
    pub user_service_timeout_ms: u32,

    /// The most calls to user-service at a time.
    #[arg(long, env = "USER_SERVICE_CONCURRENCY", value_name = "NUMBER", default_value_t = DEFAULT_CONCURRENCY, value_parser = calls)]
    pub user_service_concurrency: u32,

    /// The most milliseconds to wait at the start for a PostgreSQL that does not answer yet.
    #[arg(long, env = "DATABASE_START_TIMEOUT_MS", value_name = "MS", default_value_t = DEFAULT_START_TIMEOUT_MS, value_parser = milliseconds)]
    pub database_start_timeout_ms: u32,

    /// How much it takes on.
    #[command(flatten)]
    pub limits: Limits,

    /// Where traces go.
    #[command(flatten)]
    pub traces: Traces,

    /// The least severe level to log: critical, error, warning, info, debug or trace.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = log_level)]
    pub log_level: Level,

    /// Bring the database's schema up to date, then exit.
    #[arg(long)]
    pub migrate_only: bool,

    /// Ask the service that listens on this address whether it is ready, then exit: 0 if it is, 1 if not.
    #[arg(long, conflicts_with = "migrate_only")]
    pub check_ready: bool,
}

impl Config {
    /// The defaults, and where to listen, to keep the orders, and to find user-service.
    pub fn new(listen_address: SocketAddr, database_url: DatabaseUrl, user_service_url: String) -> Self {
        Self {
            listen_address,
            database_url,
            database_connections: DEFAULT_CONNECTIONS,
            database_start_timeout_ms: DEFAULT_START_TIMEOUT_MS,
            user_service_url,
            user_service_connect_timeout_ms: DEFAULT_CONNECT_TIMEOUT_MS,
            user_service_attempt_timeout_ms: DEFAULT_ATTEMPT_TIMEOUT_MS,
            user_service_timeout_ms: DEFAULT_TIMEOUT_MS,
            user_service_concurrency: DEFAULT_CONCURRENCY,
            limits: Limits::default(),
            traces: Traces::default(),
            log_level: Level::Info,
            migrate_only: false,
            check_ready: false,
        }
    }
}

//! The configuration of the whole platform in one process.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use service_runtime::config::{listen_address, log_level};
use service_runtime::database::DatabaseUrl;
use service_runtime::telemetry::Traces;
use slog::Level;

/// Runs user-service and order-service in one process, each with its own SQLite file.
///
/// For trying the platform and developing against it. To run the services apart, or on PostgreSQL, start the
/// programs `user-service` and `order-service`; see their `--help`.
///
/// Every setting is a flag or an environment variable; a file `.env` in the working directory may hold variables too.
#[derive(Clone, Debug, Parser)]
#[command(name = "all-in-one", version)]
pub(crate) struct Config {
    /// Directory for the database files; created if missing.
    #[arg(long, env = "DATA_DIRECTORY", value_name = "PATH", default_value = "data")]
    data_directory: PathBuf,

    /// Address and port of user-service; port 0 takes any free port.
    #[arg(long, env = "USER_SERVICE_LISTEN_ADDRESS", value_name = "IP:PORT", default_value = "127.0.0.1:8001", value_parser = listen_address)]
    user_service_listen_address: SocketAddr,

    /// Address and port of order-service; port 0 takes any free port.
    #[arg(long, env = "ORDER_SERVICE_LISTEN_ADDRESS", value_name = "IP:PORT", default_value = "127.0.0.1:8003", value_parser = listen_address)]
    order_service_listen_address: SocketAddr,

    /// Where traces go.
    #[command(flatten)]
    traces: Traces,

    /// The least severe level to log: critical, error, warning, info, debug or trace.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = log_level)]
    pub(crate) log_level: Level,
}

impl Config {
    pub(crate) fn user_service(&self) -> user_service::Config {
        let config = user_service::Config::new(self.user_service_listen_address, self.database("user-service"));
        user_service::Config { traces: self.traces.clone(), ..config }
    }

    pub(crate) fn order_service(&self, user_service_url: String) -> order_service::Config {
        let database_url = self.database("order-service");
        let config = order_service::Config::new(self.order_service_listen_address, database_url, user_service_url);
        order_service::Config { traces: self.traces.clone(), ..config }
    }

    /// Whether nothing has been stored yet.
    pub(crate) fn is_first_start(&self) -> bool {
        !self.data_directory.join("user-service.db").exists()
    }

    fn database(&self, service_name: &str) -> DatabaseUrl {
        DatabaseUrl::Sqlite(self.data_directory.join(format!("{service_name}.db")))
    }
}

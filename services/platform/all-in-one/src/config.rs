//! The configuration of the whole platform in one process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Arg, Args, Command, FromArgMatches};
use service_runtime::Service;
use service_runtime::config::values::{listen_address, log_level};
use service_runtime::config::{Config as ServiceConfig, OwnSettings, default_address, read_command, refuse};
use service_runtime::database::DatabaseUrl;
use service_runtime::events::{DeadLetterCommand, Embedded, EventsUrl, RabbitMq, Transport};
use service_runtime::server::Server;
use service_runtime::telemetry::Traces;
use slog::{Level, Logger};

use crate::services::SERVICES;

/// The name of the program.
pub(crate) const NAME: &str = "all-in-one";

const ABOUT: &str = "Runs every service of the platform in one process, each with its own SQLite file.";

/// The settings of the process.
#[derive(Clone, Debug, Args)]
pub(crate) struct Config {
    /// Directory for the database files, and whatever else the services write; created if missing.
    #[arg(long, env = "DATA_DIRECTORY", value_name = "PATH", default_value = "data")]
    data_directory: PathBuf,

    /// Whether to create products to try the platform with. By default only if the data directory holds no data yet.
    #[arg(long, env = "DEMO", value_name = "BOOLEAN", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    demo: Option<bool>,

    /// Where events go: amqp://USER:PASSWORD@HOST:PORT/VHOST (RabbitMQ 3.10 or later); a file in the data directory if not set.
    #[arg(long, env = "EVENTS_URL", value_name = "URL", hide_env_values = true)]
    events_url: Option<EventsUrl>,

    /// Where traces are sent.
    #[command(flatten)]
    traces: Traces,

    /// The least severe level to log: critical, error, warning, info, debug or trace.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = log_level)]
    pub(crate) log_level: Level,

    /// What to do with events that could not be handled, instead of serving.
    #[command(flatten)]
    pub(crate) dead_letters: DeadLetterCommand,

    /// The listen address of each service, by its name.
    #[arg(skip)]
    listen_addresses: BTreeMap<&'static str, SocketAddr>,

    /// The settings that only one service has.
    #[arg(skip)]
    own: OwnSettings,
}

impl Config {
    /// Reads flags, environment and `.env`. An invalid value ends the process with one clear line on stderr.
    pub(crate) fn read() -> Self {
        let matches = read_command(command);
        if std::env::var_os("DATABASE_URL").is_some_and(|url| !url.is_empty()) {
            refuse(
                "DATABASE_URL is set, but all-in-one stores only in SQLite files, in DATA_DIRECTORY: start the services' own \
                 programs to use another database, or unset it",
            );
        }
        // An invalid or missing value has already ended the process.
        let mut config = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        for Service { name, .. } in SERVICES {
            if let Some(address) = matches.get_one(&listen_address_flag(name)) {
                config.listen_addresses.insert(name, *address);
            }
        }
        config.own = OwnSettings::of(matches);
        config
    }

    /// The configuration of `service`, which calls those of `servers` that are already running.
    pub(crate) fn of(&self, service: &Service, servers: &[Server], transport: &Transport) -> ServiceConfig {
        let address = self.listen_addresses.get(service.name).copied();
        let address = address.unwrap_or_else(|| default_address(service.name));
        let mut config = ServiceConfig::new(service.name, address, self.database(service.name));
        config.data_directory.clone_from(&self.data_directory);
        config.own = self.own.clone();
        config.traces = self.traces.clone();
        config.transport = Some(transport.clone());
        for server in servers {
            if let Some(dependency) = config.dependencies.get_mut(server.service_name()) {
                dependency.url = Some(server.url());
            }
        }
        config
    }

    /// What carries events between the services: the broker that is configured, or a file of the data directory.
    pub(crate) async fn transport(&self, log: &Logger) -> Result<Transport> {
        if let Some(url) = &self.events_url {
            return Ok(Transport::RabbitMq(RabbitMq::new(url.clone(), NAME, log)));
        }
        Ok(Transport::Embedded(Embedded::open(&self.data_directory.join("events.db"), log).await?))
    }

    /// The database of a service.
    pub(crate) fn database(&self, service_name: &str) -> DatabaseUrl {
        DatabaseUrl::Sqlite(self.database_file(service_name))
    }

    /// Where notification-service writes messages, unless it is told to send them.
    pub(crate) fn messages(&self) -> PathBuf {
        self.data_directory.join("messages")
    }

    /// Whether nothing has been stored yet.
    pub(crate) fn is_first_start(&self) -> bool {
        SERVICES.iter().all(|service| !self.database_file(service.name).exists())
    }

    /// Whether to create the demo products, at a start that is the first one or not.
    pub(crate) fn wants_demo(&self, first_start: bool) -> bool {
        self.demo.unwrap_or(first_start)
    }

    fn database_file(&self, service_name: &str) -> PathBuf {
        self.data_directory.join(format!("{service_name}.db"))
    }
}

fn command() -> Command {
    let command = Config::augment_args(Command::new(NAME));
    // Before the texts, which it would replace by its own.
    let own = SERVICES.iter().filter_map(|service| service.settings);
    own.fold(command, |command, add| add(command))
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(format!(
            "{ABOUT}\n\n\
             For trying the platform and developing against it. To run the services separately, or on PostgreSQL, start \
             their own programs; see their `--help`.\n\n\
             Every setting is a flag or an environment variable; a file `.env` in the working directory may set variables \
             too."
        ))
        .args(SERVICES.iter().map(|service| listen_address_arg(service.name)))
}

fn listen_address_flag(service_name: &str) -> String {
    format!("{service_name}-listen-address")
}

fn listen_address_arg(service_name: &str) -> Arg {
    let flag = listen_address_flag(service_name);
    let variable = flag.to_uppercase().replace('-', "_");
    Arg::new(flag.clone())
        .long(flag)
        .env(variable)
        .value_name("IP:PORT")
        .help(format!("Address and port of {service_name}; port 0 takes any free port"))
        .default_value(default_address(service_name).to_string())
        .value_parser(listen_address)
}

//! The settings of a service: flags, environment and `.env`, the same for every service.
//!
//! A setting that several services share means the same everywhere. A service that calls others has five settings for each
//! of them, named after it: `USER_SERVICE_URL` and so on.

mod dotenv;
mod own;
mod read;
pub mod values;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStr, Resettable};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use client_policy::Settings;
use slog::Level;

use crate::database::{DEFAULT_START_TIMEOUT_MS, DatabaseUrl};
use crate::events::{DeadLetterCommand, EventsUrl, Transport};
use crate::guard::Limits;
use crate::telemetry::Traces;
use values::{calls, connections, listen_address, log_level, milliseconds, service_url};

pub use own::OwnSettings;
pub use read::{read as read_command, refuse};

/// Enough to keep a small PostgreSQL busy, few enough for several instances on one server.
const DEFAULT_CONNECTIONS: u32 = 10;
const DEFAULT_DATA_DIRECTORY: &str = "data";
/// Enough for a second and a third attempt, shorter than a person waits.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_millis(900);

/// The settings of a service.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Address and port to listen on; port 0 takes any free port.
    #[arg(long, env = "LISTEN_ADDRESS", value_name = "IP:PORT", value_parser = listen_address)]
    pub listen_address: SocketAddr,

    /// Where the data is stored: sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE (PostgreSQL 14 or later).
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,

    /// Directory for what the service writes into files of their own; created when it is needed.
    #[arg(long, env = "DATA_DIRECTORY", value_name = "PATH", default_value = DEFAULT_DATA_DIRECTORY)]
    pub data_directory: PathBuf,

    /// The maximum number of concurrent connections to PostgreSQL.
    #[arg(long, env = "DATABASE_CONNECTIONS", value_name = "NUMBER", default_value_t = DEFAULT_CONNECTIONS, value_parser = connections)]
    pub database_connections: u32,

    /// The maximum milliseconds to wait at the start for a PostgreSQL that does not answer yet, and then for another process
    /// that migrates the database.
    #[arg(long, env = "DATABASE_START_TIMEOUT_MS", value_name = "MS", default_value_t = DEFAULT_START_TIMEOUT_MS, value_parser = milliseconds)]
    pub database_start_timeout_ms: u32,

    /// Where events go: amqp://USER:PASSWORD@HOST:PORT/VHOST (RabbitMQ 3.10 or later). Without it they wait in the database,
    /// and none arrive.
    #[arg(long, env = "EVENTS_URL", value_name = "URL", hide_env_values = true)]
    pub events_url: Option<EventsUrl>,

    /// The concurrency limit and the deadline of requests.
    #[command(flatten)]
    pub limits: Limits,

    /// Where traces are sent.
    #[command(flatten)]
    pub traces: Traces,

    /// The least severe level to log: critical, error, warning, info, debug or trace.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = log_level)]
    pub log_level: Level,

    /// Bring the database's schema up to date, then exit.
    #[arg(long)]
    pub migrate_only: bool,

    /// Check whether the service that listens on this address is ready, then exit: 0 if it is, 1 if not.
    #[arg(long, conflicts_with = "migrate_only")]
    pub check_ready: bool,

    /// What to do with events that could not be handled, instead of serving.
    #[command(flatten)]
    pub dead_letters: DeadLetterCommand,

    /// What carries events between the services of this process, instead of what is at `events_url`.
    #[arg(skip)]
    pub transport: Option<Transport>,

    /// How each called service is called, by its name.
    #[arg(skip)]
    pub dependencies: BTreeMap<String, DependencyConfig>,

    /// The settings of this service alone.
    #[arg(skip)]
    pub own: OwnSettings,
}

/// How another service is called.
#[derive(Clone, Debug)]
pub struct DependencyConfig {
    /// Its base URL; `None` if it is optional and not configured.
    pub url: Option<String>,
    /// The limits of the calls.
    pub settings: Settings,
}

impl Config {
    /// The defaults of the service `name`, with its listen address and database.
    pub fn new(name: &str, listen_address: SocketAddr, database_url: DatabaseUrl) -> Self {
        Self {
            listen_address,
            database_url,
            data_directory: DEFAULT_DATA_DIRECTORY.into(),
            database_connections: DEFAULT_CONNECTIONS,
            database_start_timeout_ms: DEFAULT_START_TIMEOUT_MS,
            events_url: None,
            transport: None,
            limits: Limits::default(),
            traces: Traces::default(),
            log_level: Level::Info,
            migrate_only: false,
            check_ready: false,
            dead_letters: DeadLetterCommand::default(),
            dependencies: called_by(name)
                .map(|called| (called.to_owned(), DependencyConfig::new(name, called)))
                .collect(),
            own: OwnSettings::default(),
        }
    }
}

impl DependencyConfig {
    /// The defaults of the calls by `caller`. An optional service has no default address: to call it is a decision.
    fn new(caller: &str, called: &str) -> Self {
        let settings = Settings { timeout: DEFAULT_CALL_TIMEOUT, ..Settings::default() };
        let url = (!is_optional(caller, called)).then(|| format!("http://{}", default_address(called)));
        Self { url, settings }
    }
}

/// Adds the flags of settings that only one service has.
pub type AddSettings = fn(Command) -> Command;

/// Reads the configuration of the service `name`, which `about` describes and which has settings of its `own`. An invalid
/// value ends the process with one clear line on stderr.
///
/// Call it before any thread is started: it adds the variables of `./.env` to the environment.
pub(crate) fn read(name: &'static str, about: &'static str, own: Option<AddSettings>) -> Config {
    from_matches(name, read_command(|| command(name, about, own)))
}

/// The address at which the service `name` listens by default.
pub fn default_address(name: &str) -> SocketAddr {
    let port = topology::platform().service(name).map_or(0, |service| service.port);
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The services that the service `name` calls.
fn called_by(name: &str) -> impl Iterator<Item = &'static str> {
    topology::platform().service(name).into_iter().flat_map(|service| service.calls.iter().map(String::as_str))
}

/// Whether `caller` works without the service `called`.
fn is_optional(caller: &str, called: &str) -> bool {
    topology::platform().service(caller).is_some_and(|caller| caller.optional_calls.iter().any(|name| name == called))
}

fn command(name: &'static str, about: &'static str, own: Option<AddSettings>) -> Command {
    let note = "Every setting is a flag or an environment variable; a file `.env` in the working directory may set \
                variables too.";
    let command = Config::augment_args(Command::new(name));
    // Before the texts, which it would replace by its own.
    let command = match own {
        Some(add) => add(command),
        None => command,
    };
    let command = command
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .long_about(format!("{about}\n\n{note}"))
        .mut_arg("listen_address", |arg| arg.required(false).default_value(default_address(name).to_string()))
        .mut_arg("database_url", |arg| arg.required(false).default_value(format!("sqlite:data/{name}.db")));
    called_by(name).fold(command, |command, called| command.args(dependency_args(name, called)))
}

/// The five settings of a called service.
fn dependency_args(caller: &str, called: &'static str) -> [Arg; 5] {
    let arg = |setting: &str, value_name: &'static str, help: String| {
        let long = format!("{called}-{setting}");
        let variable = long.to_uppercase().replace('-', "_");
        Arg::new(long.clone()).long(long).env(variable).value_name(value_name).help(help)
    };
    let ms = |setting: &str, default: Duration, help: String| {
        arg(setting, "MS", format!("The maximum milliseconds {help}"))
            .default_value(default.as_millis().to_string())
            .value_parser(|value: &str| milliseconds(value).map(|number| Duration::from_millis(number.into())))
    };
    let DependencyConfig { url, settings } = DependencyConfig::new(caller, called);
    let without = if url.is_none() { "; without it, the service works without that one" } else { "" };
    [
        arg("url", "URL", format!("The base URL of {called}{without}"))
            .default_value(Resettable::from(url.map(OsStr::from)))
            .value_parser(service_url),
        ms("connect-timeout-ms", settings.connect_timeout, format!("to connect to {called}")),
        ms(
            "attempt-timeout-ms",
            settings.attempt_timeout,
            format!("for one attempt to call {called}, connecting included"),
        ),
        ms(
            "timeout-ms",
            settings.timeout,
            format!("for a call of {called}, all attempts and the waits between them included"),
        ),
        arg("concurrency", "NUMBER", format!("The maximum number of concurrent calls of {called}"))
            .default_value(settings.concurrency.to_string())
            .value_parser(calls),
    ]
}

fn from_matches(name: &str, matches: ArgMatches) -> Config {
    // A value that does not parse, or is missing, has already ended the process.
    let mut config = Config::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    for called in called_by(name) {
        let mut dependency = DependencyConfig::new(name, called);
        let DependencyConfig { url, settings } = &mut dependency;
        if let Some(given) = matches.get_one::<String>(&format!("{called}-url")) {
            *url = Some(given.clone());
        }
        set(&matches, called, "connect-timeout-ms", &mut settings.connect_timeout);
        set(&matches, called, "attempt-timeout-ms", &mut settings.attempt_timeout);
        set(&matches, called, "timeout-ms", &mut settings.timeout);
        set(&matches, called, "concurrency", &mut settings.concurrency);
        config.dependencies.insert(called.to_owned(), dependency);
    }
    config.own = OwnSettings::of(matches);
    config
}

/// Sets `value` to the given value of a `setting` of a called service, if there is one.
fn set<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, called: &str, setting: &str, value: &mut T) {
    if let Some(given) = matches.get_one::<T>(&format!("{called}-{setting}")) {
        value.clone_from(given);
    }
}

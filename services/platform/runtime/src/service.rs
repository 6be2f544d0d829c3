//! A service as a value: what differs from one to the next. Everything else is the same for all and is here.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use slog::{Logger, info, o};
use tokio::task::JoinSet;

use crate::config::{self, AddSettings, Config, DependencyConfig};
use crate::database::{Database, DatabaseUrl, Migration, Migrations, StartWait};
use crate::events::{self, Outbox, ServiceEvents, queue_of};
use crate::idempotency::{self, Keys};
use crate::server::{Ending, Parts, Server};
use crate::telemetry::Telemetry;
use crate::{log, process};

/// A service. Its program, the all-in-one program and its tests start it by this value.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// The name in `services/platform.toml`, logs and metrics.
    pub name: &'static str,
    /// What the service is for, in one sentence, for `--help`.
    pub about: &'static str,
    /// The checked-in OpenAPI document, served byte for byte.
    pub document: &'static str,
    /// The checked-in AsyncAPI document of the events that it publishes, served byte for byte; `None` if it publishes none.
    pub events: Option<&'static str>,
    /// Adds the flags of settings that only this service has, by [`clap::Args::augment_args`] of a structure with `#[group(skip)]`; `None` if it has none. `serve`
    /// reads them by [`Parts::settings`].
    pub settings: Option<AddSettings>,
    /// The steps of the schema, from [`migrations!`](crate::migrations); versions 2 and 5 of every schema
    /// are the runtime's tables of idempotency keys and events.
    pub migrations: &'static [Migration],
    /// Makes the service's state from `Parts` and ends with [`Parts::serve`].
    pub serve: fn(Parts) -> Result<Server>,
}

impl Service {
    /// The whole program: reads the configuration, then migrates, checks readiness, or serves until a signal.
    pub fn main(&self) -> ExitCode {
        let config = config::read(self.name, self.about, self.settings);
        if config.check_ready {
            return process::check_ready(self.name, config.listen_address);
        }
        let log = log::to_stdout(self.name, config.log_level, &[self.document]);
        process::run(self.name, &log, async {
            if config.migrate_only {
                self.migrate(&config, &log).await?;
                return Ok(Vec::new());
            }
            if config.dead_letters.is_given() {
                self.manage_dead_letters(&config, &log).await?;
                return Ok(Vec::new());
            }
            Ok(vec![self.start(&config, &log).await?])
        })
    }

    /// The default configuration, with a listen address and a database.
    pub fn config(&self, listen_address: SocketAddr, database_url: DatabaseUrl) -> Config {
        Config::new(self.name, listen_address, database_url)
    }

    /// Opens the database, brings its schema up to date, and starts to serve.
    ///
    /// # Errors
    ///
    /// One clear line: the database cannot be used, or the address cannot be bound.
    pub async fn start(&self, config: &Config, log: &Logger) -> Result<Server> {
        let log = log.new(o!("service_name" => self.name));
        let mut telemetry = Telemetry::new(self.name, &config.traces, &log)?;
        let outbox = self.events.map(|_| self.outbox()).transpose()?;
        let events = ServiceEvents::new(self.name, outbox, config, &mut telemetry, &log);
        let database = self.wait_and_open(config, &log).await?;
        let keys = Keys::new(database.clone());
        let Self { name, document, events: event_document, .. } = *self;
        let background = JoinSet::new();
        let parts = Parts {
            database,
            keys,
            name,
            document,
            event_document,
            config,
            telemetry,
            events,
            background,
            ending: Ending::default(),
            log: log.clone(),
        };
        let server = (self.serve)(parts)?;
        let url_of =
            |(name, dependency): (&String, &DependencyConfig)| Some(format!("{name}={}", dependency.url.as_ref()?));
        let calls = config.dependencies.iter().filter_map(url_of);
        let (url, database) = (server.url(), config.database_url.to_string());
        match calls.collect::<Vec<_>>().join(" ") {
            none if none.is_empty() => info!(log, "serving"; "url" => url, "database" => database),
            calls => info!(log, "serving"; "url" => url, "database" => database, "calls" => calls),
        }
        Ok(server)
    }

    /// The outbox of the events that the service publishes.
    ///
    /// # Errors
    ///
    /// The service has no document of events.
    pub fn outbox(&self) -> Result<Outbox> {
        Outbox::of(self.name, self.events.context("the service has no document of events")?)
    }

    /// Opens the database at `url` with at most `connections` connections and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// As [`Database::open`].
    pub async fn open(&self, url: &DatabaseUrl, connections: u32) -> Result<Database> {
        self.open_within(&StartWait::default(), url, connections).await
    }

    async fn open_within(&self, wait: &StartWait, url: &DatabaseUrl, connections: u32) -> Result<Database> {
        let steps = [self.migrations, &[idempotency::MIGRATION, events::MIGRATION]].concat();
        Database::open_within(wait, url, connections, &Migrations { service_name: self.name, steps: &steps }).await
    }

    async fn migrate(&self, config: &Config, log: &Logger) -> Result<()> {
        self.wait_and_open(config, log).await?.close().await;
        info!(log, "schema is up to date"; "database" => config.database_url.to_string());
        Ok(())
    }

    /// Does what `config` asks for with the events that this service could not handle.
    async fn manage_dead_letters(&self, config: &Config, log: &Logger) -> Result<()> {
        let transport = ServiceEvents::transport(self.name, config, log).context("EVENTS_URL is not set")?;
        let done = config.dead_letters.run(&transport, &[self.queue()]).await;
        transport.close().await;
        done
    }

    /// The queue of the events that this service handles.
    pub fn queue(&self) -> String {
        queue_of(self.name)
    }

    async fn wait_and_open(&self, config: &Config, log: &Logger) -> Result<Database> {
        let url = &config.database_url;
        let limit = Duration::from_millis(config.database_start_timeout_ms.into());
        let wait = StartWait { limit, log: log.new(o!("database" => url.to_string())) };
        self.open_within(&wait, url, config.database_connections).await
    }
}

/// The steps of a schema, by the names of the files in `migrations/<service>/`, without `.sql`.
///
/// A name starts with four digits, the version; versions 2 and 5 are the runtime's.
#[macro_export]
macro_rules! migrations {
    ($($file:literal),* $(,)?) => {
        &[$($crate::database::Migration::new(
            $file,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/../../migrations/", env!("CARGO_PKG_NAME"), "/", $file, ".sql"
            )),
        )),*]
    };
}

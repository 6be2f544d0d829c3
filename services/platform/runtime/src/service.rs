//! A service as a value: what differs from one to the next. Everything else is the same for all and is here.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use client_policy::PolicyClient;
use dropshot::{ApiDescription, ApiDescriptionBuildErrors, ServerContext};
use slog::{Logger, info, o};

use crate::config::{self, Config};
use crate::database::{Database, DatabaseUrl, Migration, Migrations};
use crate::dependency::Dependency;
use crate::guard::Guard;
use crate::idempotency::{self, Keys};
use crate::readiness::ReadinessProbe;
use crate::server::{Parts as ServerParts, Server};
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
    /// The steps of the schema, from [`migrations!`](crate::migrations); version 2 of every schema is the runtime's table
    /// of idempotency keys.
    pub migrations: &'static [Migration],
    /// Makes the service's state from `Parts` and ends with [`Parts::serve`].
    pub serve: fn(Parts) -> Result<Server>,
}

/// What the runtime gives a service to make its state from.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The service's database, its schema up to date.
    pub database: Database,
    /// The idempotency keys in the database.
    pub keys: Keys,
    service: Service,
    config: &'a Config,
    telemetry: Telemetry,
    log: Logger,
}

impl Service {
    /// The whole program: reads the configuration, then migrates, checks readiness, or serves until a signal.
    pub fn main(&self) -> ExitCode {
        let config = config::read(self.name, self.about);
        if config.check_ready {
            return process::check_ready(self.name, config.listen_address);
        }
        let log = log::to_stdout(self.name, config.log_level, &[self.document]);
        process::run(self.name, &log, async {
            if config.migrate_only {
                self.migrate(&config, &log).await?;
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
        let telemetry = Telemetry::new(self.name, &config.traces, &log)?;
        let database = self.wait_and_open(config, &log).await?;
        let keys = Keys::new(database.clone());
        let server = (self.serve)(Parts { database, keys, service: *self, config, telemetry, log: log.clone() })?;
        let calls = config.dependencies.iter().map(|(name, dependency)| format!("{name}={}", dependency.url));
        let (url, database) = (server.url(), config.database_url.to_string());
        match calls.collect::<Vec<_>>().join(" ") {
            none if none.is_empty() => info!(log, "serving"; "url" => url, "database" => database),
            calls => info!(log, "serving"; "url" => url, "database" => database, "calls" => calls),
        }
        Ok(server)
    }

    /// Opens the database at `url` with at most `connections` connections and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// As [`Database::open`].
    pub async fn open(&self, url: &DatabaseUrl, connections: u32) -> Result<Database> {
        let steps = [self.migrations, &[idempotency::MIGRATION]].concat();
        Database::open(url, connections, &Migrations { service_name: self.name, steps: &steps }).await
    }

    async fn migrate(&self, config: &Config, log: &Logger) -> Result<()> {
        self.wait_and_open(config, log).await?.close().await;
        info!(log, "schema is up to date"; "database" => config.database_url.to_string());
        Ok(())
    }

    async fn wait_and_open(&self, config: &Config, log: &Logger) -> Result<Database> {
        let timeout = Duration::from_millis(config.database_start_timeout_ms.into());
        Database::wait_for(&config.database_url, timeout, log).await;
        self.open(&config.database_url, config.database_connections).await
    }
}

impl Parts<'_> {
    /// A client of the service `name`, configured by its flags, with metrics and logged circuit changes. It reads at most
    /// `max_response_bytes` of a response.
    ///
    /// # Errors
    ///
    /// `services/platform.toml` does not list `name` among the calls of this service, or the client cannot be made.
    pub fn dependency<C: PolicyClient>(
        &mut self,
        name: &'static str,
        max_response_bytes: usize,
    ) -> Result<Dependency<C>> {
        let config = self.config.dependencies.get(name);
        let config = config.with_context(|| format!("{} does not list {name} among its calls", self.service.name))?;
        Dependency::connect(name, config, max_response_bytes, &mut self.telemetry, &self.log)
    }

    /// Serves `api` with `state`, at the configured address.
    ///
    /// # Errors
    ///
    /// The API description is not valid, or the address cannot be bound.
    pub fn serve<C>(self, api: Result<ApiDescription<Guard<C>>, ApiDescriptionBuildErrors>, state: C) -> Result<Server>
    where
        Guard<C>: ServerContext,
    {
        let Self { database, keys, service: Service { name, document, .. }, config, telemetry, log } = self;
        let parts = ServerParts {
            name,
            listen_address: config.listen_address,
            api: api.map_err(|error| anyhow!("{error}"))?,
            state,
            limits: config.limits.clone(),
            keys,
            document,
            probe: ReadinessProbe::new(database),
            telemetry,
        };
        Server::start(parts, &log)
    }
}

/// The steps of a schema, by the names of the files in `migrations/<service>/`, without `.sql`.
///
/// A name starts with four digits, the version; version 2 is the runtime's.
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

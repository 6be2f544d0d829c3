//! A dropshot server: starts with everything that every service serves, and stops gracefully.

use std::fmt::Display;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use client_policy::PolicyClient;
use contract::extract::BODY_LIMIT_BYTES;
use dropshot::{
    ApiDescription, ApiDescriptionBuildErrors, Body, ConfigDropshot, HandlerTaskMode, ServerBuilder, ServerContext,
    ShutdownWaitFuture, VersionPolicy,
};
use http::{Response, header};
use prometheus_client::registry::Registry;
use slog::{Logger, info, warn};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::Config;
use crate::database::{Database, DatabaseError};
use crate::dependency::Dependency;
use crate::docs;
use crate::events::{self, Inbox, Outbox, ServiceEvents, Transport};
use crate::guard::{self, Guard};
use crate::idempotency::{self, Keys};
use crate::purge::purge_hourly;
use crate::readiness::ReadinessProbe;
use crate::strict_http::StrictHttp;
use crate::telemetry::{self, DependencyCalls, RequestMetricsDrain, Spans, StartedTelemetry, Telemetry};
use crate::trace::TRACEPARENT;
use crate::unpublished::{self, DOCUMENT, EVENT_DOCUMENT, Endpoint};

/// How long in-flight requests may take when the service stops.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    service_name: &'static str,
    address: SocketAddr,
    probe: ReadinessProbe,
    finished: ShutdownWaitFuture,
    failed: bool,
    spans: Spans,
    background: JoinSet<()>,
    ending: Ending,
    transport: Option<Transport>,
    close: Pin<Box<dyn Future<Output = Result<(), String>> + Send>>,
    log: Logger,
}

/// The tasks that end by themselves when they are asked to.
#[derive(Debug)]
pub(crate) struct Ending {
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

impl Default for Ending {
    fn default() -> Self {
        Self { stop: watch::Sender::new(()), tasks: JoinSet::new() }
    }
}

/// What the runtime gives a service to make its state from.
pub struct Parts<'a> {
    /// The service's database, its schema up to date.
    pub database: Database,
    /// The idempotency keys in the database.
    pub keys: Keys,
    pub(crate) name: &'static str,
    pub(crate) document: &'static str,
    pub(crate) event_document: Option<&'static str>,
    pub(crate) config: &'a Config,
    pub(crate) telemetry: Telemetry,
    pub(crate) events: ServiceEvents,
    pub(crate) background: JoinSet<()>,
    pub(crate) ending: Ending,
    pub(crate) log: Logger,
}

impl Parts<'_> {
    /// The service's log.
    pub fn log(&self) -> &Logger {
        &self.log
    }

    /// The settings that only this service has.
    ///
    /// # Errors
    ///
    /// [`Service::settings`](crate::Service::settings) does not add them.
    pub fn settings<S: Args>(&self) -> Result<S> {
        self.config.own.read().context("the service does not declare these settings")
    }

    /// Directory for what the service writes into files of their own; may not exist yet.
    pub fn data_directory(&self) -> &Path {
        &self.config.data_directory
    }

    /// Where the service registers metrics of its own.
    pub fn metrics(&mut self) -> &mut Registry {
        self.telemetry.registry()
    }

    /// Metrics and spans of calls to `name`, which is no service of the platform.
    pub fn outside_calls(&mut self, name: &'static str) -> DependencyCalls {
        self.telemetry.outside_calls(name)
    }

    /// Runs `task` until the server has answered its last request. It is cancelled then, wherever it waits.
    pub fn run_in_background(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn(task);
    }

    /// Runs the task that `start` makes until the service stops: what the task is given changes then, and it has as long as
    /// requests have to finish what it has begun.
    pub fn run_until_stop<F>(&mut self, start: impl FnOnce(watch::Receiver<()>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.ending.tasks.spawn(start(self.ending.stop.subscribe()));
    }

    /// The outbox of the events that this service publishes.
    ///
    /// # Errors
    ///
    /// The service has no document of events.
    pub fn outbox(&self) -> Result<Outbox> {
        self.events.outbox()
    }

    /// The inbox of the events that this service handles.
    pub fn inbox(&self) -> Inbox {
        self.events.inbox()
    }

    /// Handles the events of one publisher that `services/platform.toml` lists among those that this service consumes.
    /// `types` are those of the publisher; `handle` passes a message to the `dispatch` of its crate for consumers. Call it
    /// once for each publisher.
    ///
    /// Many events are handled at a time, and an event may come again, although it was handled: `handle` records its id by
    /// [`Inbox::record`].
    pub fn handle_events<F, E>(
        &mut self,
        types: &[&'static str],
        handle: impl Fn(Arc<[u8]>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Result<(), DatabaseError>, E>> + Send + 'static,
        E: Display,
    {
        self.events.add_handler(types, handle);
    }

    /// Calls `react` after each event of `types`, in every instance of the service. What happens while the transport is away
    /// is missed: for caches whose entries expire anyway.
    pub fn watch_events(&mut self, types: &[&str], react: impl Fn() + Send + 'static) {
        self.events.watch(types, react);
    }

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
        let config = config.with_context(|| format!("{} does not list {name} among its calls", self.name))?;
        Dependency::connect(name, config, max_response_bytes, &mut self.telemetry, &self.log)
    }

    /// As [`dependency`](Self::dependency), of a service whose address need not be configured; `None` if it is not.
    ///
    /// # Errors
    ///
    /// As of [`dependency`](Self::dependency).
    pub fn optional_dependency<C: PolicyClient>(
        &mut self,
        name: &'static str,
        max_response_bytes: usize,
    ) -> Result<Option<Dependency<C>>> {
        if self.config.dependencies.get(name).is_some_and(|config| config.url.is_none()) {
            return Ok(None);
        }
        self.dependency(name, max_response_bytes).map(Some)
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
        let Self {
            database,
            name,
            document,
            event_document,
            config,
            telemetry,
            events: own,
            mut background,
            ending,
            log,
            ..
        } = self;
        let mut api = api.map_err(|error| anyhow!("{error}"))?;
        let transport = own.start(&database, &mut background)?;
        let (listen_address, probe) = (config.listen_address, ReadinessProbe::new(database));
        register_document(&mut api, DOCUMENT, document)?;
        if let Some(document) = event_document {
            register_document(&mut api, EVENT_DOCUMENT, document)?;
        }
        guard::register_health(&mut api)?;
        docs::register(&mut api, document, event_document)?;
        let settings = ConfigDropshot {
            bind_address: listen_address,
            default_request_body_max_bytes: BODY_LIMIT_BYTES,
            // The guard finishes requests that must be finished although their client has disconnected.
            default_handler_task_mode: HandlerTaskMode::CancelOnDisconnect,
            // `log` turns it into the `trace_id` of every line.
            log_headers: vec![TRACEPARENT.to_owned()],
            ..Default::default()
        };
        let StartedTelemetry { mut registry, requests, spans } = telemetry.start(document);
        let guard = Guard::new(state, probe.clone(), &config.limits, spans.are_exported());
        registry.register_collector(Box::new(guard.admission().clone()));
        probe.database().register(&mut registry);
        telemetry::register(&mut api, registry)?;
        let server = ServerBuilder::new(api, guard, RequestMetricsDrain::around(&log, requests))
            .config(settings)
            .version_policy(VersionPolicy::Dynamic(Box::new(StrictHttp::new(document))))
            .start()
            .map_err(|error| {
                let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                anyhow!("cannot listen on {listen_address}: {cause}")
            })?;
        for memory in [idempotency::MEMORY, events::INBOX] {
            background.spawn(purge_hourly(memory, probe.database().clone(), log.clone()));
        }
        Ok(Server {
            service_name: name,
            address: server.local_addr(),
            probe,
            finished: server.wait_for_shutdown(),
            failed: false,
            spans,
            background,
            ending,
            transport,
            close: Box::pin(server.close()),
            log,
        })
    }
}

impl Server {
    /// The service's name.
    pub fn service_name(&self) -> &'static str {
        self.service_name
    }

    /// The base URL of the service on this machine, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.address))
    }

    /// Waits until the server fails, which only a bug or the operating system causes; returns the cause.
    pub async fn fault(&mut self) -> anyhow::Error {
        let result = (&mut self.finished).await;
        self.failed = true;
        anyhow!(
            "{} stopped serving: {}",
            self.service_name,
            result.err().unwrap_or_else(|| "no cause given".to_owned())
        )
    }

    /// Makes `/ready` fail while the service still serves, so that load balancers send requests elsewhere.
    pub fn announce_stop(&self) {
        self.probe.announce_stop();
    }

    /// Stops gracefully: accepts no new connections, gives in-flight requests and tasks that end by themselves ten seconds,
    /// closes the database, and sends the last traces.
    pub async fn stop(self) {
        self.stop_by(Instant::now() + DRAIN_TIMEOUT).await;
    }

    /// Stops as [`stop`](Self::stop), but gives in-flight requests until `deadline`.
    pub(crate) async fn stop_by(mut self, deadline: Instant) {
        self.announce_stop();
        // dropshot panics when a server that has already ended is closed.
        let close = async { if self.failed { Ok(()) } else { self.close.await } };
        self.ending.stop.send_replace(());
        let tasks = async { while self.ending.tasks.join_next().await.is_some() {} };
        let tasks = tokio::time::timeout_at(deadline, tasks);
        let (closed, ended) = tokio::join!(tokio::time::timeout_at(deadline, close), tasks);
        match closed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(self.log, "server stopped with an error"; "error" => error),
            Err(_) => warn!(self.log, "requests aborted after the drain timeout"),
        }
        if ended.is_err() {
            warn!(self.log, "tasks aborted after the drain timeout");
        }
        self.ending.tasks.shutdown().await;
        self.background.shutdown().await;
        if let Some(transport) = &self.transport {
            transport.close().await;
        }
        tokio::join!(self.probe.database().close(), self.spans.flush());
        info!(self.log, "stopped");
    }
}

/// The address at which a service of this machine that listens on `address` is reached.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// Serves a document, byte for byte, at a path that is not in the document.
fn register_document<C: ServerContext>(
    api: &mut ApiDescription<C>,
    endpoint: Endpoint,
    document: &'static str,
) -> Result<()> {
    unpublished::register(api, endpoint, move |_| {
        Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(Body::from(document))
    })
}

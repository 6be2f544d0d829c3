//! A dropshot server: started with what every service serves, stopped so that requests under way finish.

use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use contract::error_code::{DATABASE_UNAVAILABLE, SHUTTING_DOWN};
use contract::extract::BODY_LIMIT_BYTES;
use contract::health::Readiness;
use dropshot::{
    ApiDescription, Body, ConfigDropshot, HandlerTaskMode, HttpError, HttpResponseOk, ServerBuilder, ServerContext,
    ShutdownWaitFuture,
};
use http::{Response, header};
use slog::{Logger, info, warn};
use tokio::time::Instant;

use crate::database::{Batches, Database, DatabaseError};
use crate::docs;
use crate::guard::{Guard, Limits};
use crate::idempotency::{Keys, Purge};
use crate::telemetry::{self, RequestMetricsDrain, Spans, StartedTelemetry, Telemetry};
use crate::trace::TRACEPARENT;
use crate::unpublished::{self, DOCUMENT};

/// How long requests under way may take when the service stops.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the service can do its work: shared between the running server and its `/ready`.
#[derive(Clone, Debug)]
pub struct ReadinessProbe {
    stopping: Arc<AtomicBool>,
    database: Database,
    pings: Batches<(), ()>,
}

impl ReadinessProbe {
    /// The probe of a service that keeps its data in `database`.
    pub fn new(database: Database) -> Self {
        // However many ask at the same time, the database is asked once.
        let pings = Batches::new(&database, ping_for_all);
        Self { stopping: Arc::default(), database, pings }
    }

    /// The answer of `/ready`.
    pub async fn answer(&self) -> Result<HttpResponseOk<Readiness>, HttpError> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(SHUTTING_DOWN.with_cause("the process was told to stop"));
        }
        self.pings.run(()).await.map_err(|error| DATABASE_UNAVAILABLE.with_cause(error))?;
        Ok(HttpResponseOk(Readiness::READY))
    }
}

async fn ping_for_all(database: Database, asks: Vec<()>) -> Vec<Result<(), DatabaseError>> {
    let outcome = database.ping().await;
    asks.iter().map(|()| outcome.clone()).collect()
}

/// A running server.
pub struct Server {
    service_name: &'static str,
    address: SocketAddr,
    probe: ReadinessProbe,
    finished: ShutdownWaitFuture,
    faulty: bool,
    spans: Spans,
    _purge: Purge,
    close: Pin<Box<dyn Future<Output = Result<(), String>> + Send>>,
    log: Logger,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("service_name", &self.service_name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What a service hands over to be served.
pub struct Service<C>
where
    Guard<C>: ServerContext,
{
    /// The service's name.
    pub name: &'static str,
    /// Where to listen; port 0 takes any free port.
    pub listen_address: SocketAddr,
    /// The operations, implemented.
    pub api: ApiDescription<Guard<C>>,
    /// What the operations share.
    pub state: C,
    /// How much it takes on.
    pub limits: Limits,
    /// The answers it keeps.
    pub keys: Keys,
    /// The checked-in OpenAPI document, served as it is at `/openapi.json` and to read at `/docs`.
    pub document: &'static str,
    /// Whether the service can do its work.
    pub probe: ReadinessProbe,
    /// What it tells of itself.
    pub telemetry: Telemetry,
}

impl Server {
    /// Starts to serve `service`. Fails with one clear line if its address cannot be had.
    pub fn start<C>(service: Service<C>, log: &Logger) -> Result<Self>
    where
        Guard<C>: ServerContext,
    {
        let Service { name, listen_address, mut api, state, limits, keys, document, probe, telemetry } = service;
        register_document(&mut api, document)?;
        docs::register(&mut api, document)?;
        let config = ConfigDropshot {
            bind_address: listen_address,
            default_request_body_max_bytes: BODY_LIMIT_BYTES,
            // What must be finished even if the client has gone away, the edge finishes.
            default_handler_task_mode: HandlerTaskMode::CancelOnDisconnect,
            // `log` makes of it the `trace_id` of every line.
            log_headers: vec![TRACEPARENT.to_owned()],
            ..Default::default()
        };
        let StartedTelemetry { mut registry, requests, spans } = telemetry.start(document);
        let guard = Guard::new(state, probe.clone(), &limits, spans.are_exported());
        registry.register_collector(Box::new(guard.admission().clone()));
        probe.database.register(&mut registry);
        telemetry::register(&mut api, registry)?;
        let server = ServerBuilder::new(api, guard, RequestMetricsDrain::around(log, requests))
            .config(config)
            .start()
            .map_err(|error| {
                let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                anyhow!("cannot listen on {listen_address}: {cause}")
            })?;
        Ok(Self {
            service_name: name,
            address: server.local_addr(),
            probe,
            finished: server.wait_for_shutdown(),
            faulty: false,
            spans,
            _purge: keys.purge_hourly(log.clone()),
            close: Box::pin(server.close()),
            log: log.clone(),
        })
    }

    /// The service's name.
    pub fn service_name(&self) -> &'static str {
        self.service_name
    }

    /// Where the service answers on this machine, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.address))
    }

    /// Waits until the server has ended by itself, which it does only on a fault; gives the cause.
    pub async fn fault(&mut self) -> anyhow::Error {
        let result = (&mut self.finished).await;
        self.faulty = true;
        anyhow!(
            "{} stopped serving: {}",
            self.service_name,
            result.err().unwrap_or_else(|| "no cause given".to_owned())
        )
    }

    /// No longer ready, but still serving: `/ready` tells whoever sends requests to send them elsewhere.
    pub fn announce_stop(&self) {
        self.probe.stopping.store(true, Ordering::Relaxed);
    }

    /// Stops: no new connections, requests under way finish within ten seconds, the database is closed, the
    /// last traces are sent.
    pub async fn stop(self) {
        self.stop_by(Instant::now() + DRAIN_TIMEOUT).await;
    }

    /// Stops as [`stop`](Self::stop), but requests under way have until `deadline`.
    pub(crate) async fn stop_by(self, deadline: Instant) {
        self.announce_stop();
        // dropshot panics when it is told to close what has ended by itself.
        let close = async { if self.faulty { Ok(()) } else { self.close.await } };
        match tokio::time::timeout_at(deadline, close).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(self.log, "the server stopped with an error"; "error" => error),
            Err(_) => warn!(self.log, "some requests did not finish in time"),
        }
        tokio::join!(self.probe.database.close(), self.spans.flush());
        info!(self.log, "stopped");
    }
}

/// Where a service of this machine that listens on `address` can be asked.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// Serves the document, byte for byte, at a path that is not itself part of it.
fn register_document<C: ServerContext>(api: &mut ApiDescription<C>, document: &'static str) -> Result<()> {
    unpublished::register(api, DOCUMENT, move |_| {
        Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(Body::from(document))
    })
}

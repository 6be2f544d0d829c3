//! The events of one service: what it publishes, and what it handles.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use slog::{Logger, warn};
use tokio::task::JoinSet;

use super::consumer::{Consumer, Handler};
use super::inbox::Inbox;
use super::message::{Queue, Subscription};
use super::outbox::Outbox;
use super::rabbitmq::RabbitMq;
use super::relay::Relay;
use super::transport::Transport;
use crate::config::Config;
use crate::database::{Database, DatabaseError};
use crate::telemetry::{EventMetrics, Telemetry};

/// What reacts to events of some types in every instance.
struct Watcher {
    types: Vec<String>,
    react: Box<dyn Fn() + Send>,
}

/// The queue of the events that the service `name` handles.
pub(crate) fn queue_of(name: &str) -> String {
    format!("{name}.events")
}

/// The events of a service before it starts.
pub(crate) struct ServiceEvents {
    outbox: Option<Outbox>,
    inbox: Inbox,
    /// The types that `services/platform.toml` says that it consumes.
    consumes: BTreeSet<&'static str>,
    queue: String,
    handlers: Vec<Handler>,
    watchers: Vec<Watcher>,
    transport: Option<Transport>,
    metrics: EventMetrics,
    log: Logger,
}

impl ServiceEvents {
    /// The events of the service `name`, which publishes those in `outbox`.
    pub(crate) fn new(
        name: &'static str,
        outbox: Option<Outbox>,
        config: &Config,
        telemetry: &mut Telemetry,
        log: &Logger,
    ) -> Self {
        let listed = topology::platform().service(name).into_iter().flat_map(|service| &service.consumes);
        let consumes: BTreeSet<&str> = listed.map(String::as_str).collect();
        let transport = Self::transport(name, config, log);
        if transport.is_none() && (outbox.is_some() || !consumes.is_empty()) {
            warn!(log, "no events are exchanged: EVENTS_URL is not set; those of this service wait in its database");
        }
        let metrics = telemetry.events();
        let published = topology::platform().service(name).into_iter().flat_map(|service| &service.publishes);
        metrics.begin(published.map(String::as_str), consumes.iter().copied());
        let inbox = Inbox::new(metrics.duplicates.clone());
        Self {
            outbox,
            inbox,
            consumes,
            queue: queue_of(name),
            handlers: Vec::new(),
            watchers: Vec::new(),
            transport,
            metrics,
            log: log.clone(),
        }
    }

    /// What carries events, as `config` says; `None` if nothing does.
    pub(crate) fn transport(name: &str, config: &Config, log: &Logger) -> Option<Transport> {
        let broker = || config.events_url.clone().map(|url| Transport::RabbitMq(RabbitMq::new(url, name, log)));
        config.transport.clone().or_else(broker)
    }

    pub(crate) fn outbox(&self) -> Result<Outbox> {
        self.outbox.clone().context("the service has no document of events")
    }

    pub(crate) fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Handles those of `types` that the service consumes.
    pub(crate) fn add_handler<F, E>(
        &mut self,
        types: &[&'static str],
        handle: impl Fn(Arc<[u8]>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Result<(), DatabaseError>, E>> + Send + 'static,
        E: Display,
    {
        let types = types.iter().copied().filter(|name| self.consumes.contains(name)).collect();
        self.handlers.push(Handler::new(types, handle));
    }

    /// Calls `react` after each event of `types`, in every instance.
    pub(crate) fn watch(&mut self, types: &[&str], react: impl Fn() + Send + 'static) {
        let types = types.iter().map(|name| (*name).to_owned()).collect();
        self.watchers.push(Watcher { types, react: Box::new(react) });
    }

    /// Starts to publish and to handle in the background; returns what to close at the end.
    pub(crate) fn start(self, database: &Database, background: &mut JoinSet<()>) -> Result<Option<Transport>> {
        let Self { outbox, consumes, queue, handlers, watchers, transport, metrics, log, .. } = self;
        let handled: BTreeSet<&str> = handlers.iter().flat_map(Handler::types).copied().collect();
        ensure!(
            handled == consumes,
            "services/platform.toml says that it consumes {consumes:?}, but it handles {handled:?}"
        );
        if let Some(outbox) = outbox {
            let platform = topology::platform();
            let consumed = platform.services.iter().flat_map(|service| service.consumes.iter().cloned()).collect();
            let (database, transport) = (database.clone(), transport.clone());
            let relay = Relay { database, outbox, transport, consumed, metrics: metrics.clone(), log: log.clone() };
            background.spawn(relay.run());
        }
        if let (Some(transport), false) = (&transport, consumes.is_empty()) {
            let types = consumes.into_iter().map(str::to_owned).collect();
            let deliveries = transport.subscribe(Subscription { queue: Queue::Shared(queue), types });
            background.spawn(Consumer { handlers: handlers.into(), metrics, log }.run(deliveries));
        }
        if let Some(transport) = &transport {
            for Watcher { types, react } in watchers {
                let mut deliveries = transport.subscribe(Subscription { queue: Queue::Own, types });
                background.spawn(async move {
                    while let Some(delivery) = deliveries.next().await {
                        react();
                        delivery.ack();
                    }
                });
            }
        }
        Ok(transport)
    }
}

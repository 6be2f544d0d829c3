//! The consumer: handles what other services publish.
//!
//! A delivery is acknowledged when its handler has committed. A failure that may pass, such as of the database, is waited
//! out with the delivery in hand, so that the queue waits instead of spinning. What breaks the contract, and what fails
//! again and again for no reason of the environment, goes to the dead letters.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;
use slog::{Logger, error, info, o, warn};
use tokio::task::JoinSet;

use super::delivery::{Deliveries, Delivery};
use crate::database::DatabaseError;
use crate::telemetry::EventMetrics;
use crate::trace::TraceContext;

/// The wait after the first failed attempt; it doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How often an event is attempted whose failure is not of the environment.
const FAULTS: u32 = 5;

/// The type, in metrics, of what is no event or none that this service handles.
const UNKNOWN: &str = "unknown";

/// How an attempt to handle an event ended. The outer error: it breaks the contract.
type Attempt = Result<Result<(), DatabaseError>, String>;

/// What handles the events of one publisher.
#[derive(Clone)]
pub(crate) struct Handler {
    types: BTreeSet<&'static str>,
    handle: Arc<dyn Fn(Arc<[u8]>) -> BoxFuture<'static, Attempt> + Send + Sync>,
}

impl Handler {
    /// Handles events of `types`.
    pub(crate) fn new<F, E>(
        types: BTreeSet<&'static str>,
        handle: impl Fn(Arc<[u8]>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Result<(), DatabaseError>, E>> + Send + 'static,
        E: Display,
    {
        let handle = move |message| handle(message).map(|attempt| attempt.map_err(|error| error.to_string())).boxed();
        Self { types, handle: Arc::new(handle) }
    }

    pub(crate) fn types(&self) -> &BTreeSet<&'static str> {
        &self.types
    }
}

/// What handles the events of all publishers.
#[derive(Clone)]
pub(crate) struct Consumer {
    pub(crate) handlers: Arc<[Handler]>,
    pub(crate) metrics: EventMetrics,
    pub(crate) log: Logger,
}

/// What is read of every event.
#[derive(Debug, Deserialize)]
struct Head {
    id: String,
    r#type: String,
    traceparent: Option<String>,
}

impl Consumer {
    /// Handles `deliveries`, as many at a time as there are, until the transport is closed.
    pub(crate) async fn run(self, mut deliveries: Deliveries) {
        let mut handling = JoinSet::new();
        loop {
            tokio::select! {
                delivery = deliveries.next() => match delivery {
                    Some(delivery) => drop(handling.spawn(self.clone().handle(delivery))),
                    None => return,
                },
                Some(_) = handling.join_next() => {}
            }
        }
    }

    async fn handle(self, mut delivery: Delivery) {
        let message: Arc<[u8]> = std::mem::take(&mut delivery.envelope).into();
        let head: Head = match serde_json::from_slice(&message) {
            Ok(head) => head,
            Err(error) => {
                // The message of the error may repeat what is in the event.
                error!(self.log, "no event"; "line" => error.line(), "column" => error.column());
                self.metrics.dead(UNKNOWN);
                return delivery.dead_letter("it is no CloudEvent in JSON");
            }
        };
        let trace = TraceContext::of(&head.id, head.traceparent.as_deref(), false);
        let log = self
            .log
            .new(o!("event_id" => head.id, "event_type" => head.r#type.clone(), "trace_id" => trace.trace_id()));
        let handler = self.handlers.iter().find(|handler| handler.types.contains(head.r#type.as_str()));
        let kind = if handler.is_some() { head.r#type.as_str() } else { UNKNOWN };
        let began = Instant::now();
        if delivery.redelivered {
            self.metrics.redelivered(kind);
        }
        let outcome = match handler {
            Some(handler) => self.attempt(handler, &message, kind, &log).await,
            None => Err("this service does not handle its type".to_owned()),
        };
        self.metrics.ended(kind, &trace, began, outcome.is_err());
        match outcome {
            Ok(()) => {
                info!(log, "event handled");
                delivery.ack();
            }
            Err(reason) => {
                error!(log, "event moved to the dead letters"; "error" => &reason);
                delivery.dead_letter(reason);
            }
        }
    }

    /// Attempts to handle an event until it is, or never will be: then returns why.
    async fn attempt(&self, handler: &Handler, message: &Arc<[u8]>, kind: &str, log: &Logger) -> Result<(), String> {
        let (mut wait, mut faults) = (FIRST_WAIT, 0);
        loop {
            let failure = match (handler.handle)(message.clone()).await? {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if !matches!(failure, DatabaseError::Unavailable(_)) {
                faults += 1;
                if faults == FAULTS {
                    return Err(failure.to_string());
                }
            }
            warn!(log, "event not handled yet"; "error" => failure.to_string());
            self.metrics.retried(kind);
            // Those that failed together do not try again together.
            tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            wait = (wait * 2).min(MAX_WAIT);
        }
    }
}

//! Orders that wait to be paid: cancels those whose time is over, and measures the others.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chrono::Utc;
use futures::future::join_all;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use service_runtime::database::DatabaseError;
use slog::{Logger, info, warn};

use crate::status::Step;
use crate::store::{OrderStore, StatusChange};

/// The time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of orders that are cancelled at a time.
const BATCH: i64 = 500;

/// What is measured of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnpaidMetrics {
    waiting: Gauge,
    overdue_seconds: Gauge<f64, AtomicU64>,
}

impl UnpaidMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("orders_unpaid", "Orders that wait to be paid", metrics.waiting.clone());
        let overdue = "How long ago the first of the orders that wait should have been paid or cancelled";
        registry.register("orders_overdue_seconds", overdue, metrics.overdue_seconds.clone());
        metrics
    }
}

/// Cancels overdue orders, for ever. Several instances may do so at the same time: each change is conditional.
pub(crate) async fn sweep(store: OrderStore, metrics: UnpaidMetrics, log: Logger) {
    loop {
        if let Err(error) = sweep_due(&store, &metrics, &log).await {
            warn!(log, "sweep of unpaid orders failed"; "error" => error.to_string());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn sweep_due(store: &OrderStore, metrics: &UnpaidMetrics, log: &Logger) -> Result<(), DatabaseError> {
    let (waiting, first_due) = store.unpaid().await?;
    metrics.waiting.set(waiting);
    let overdue = first_due.map_or(0, |due| (Utc::now() - due).num_milliseconds().max(0));
    metrics.overdue_seconds.set(overdue as f64 / 1000.0);
    loop {
        let at = Utc::now();
        let due = store.overdue(at, BATCH).await?;
        let is_last = due.len() < BATCH as usize;
        let cancel = |id| store.change(StatusChange { id, step: Step::Overdue, at, traceparent: None, event_id: None });
        for cancelled in join_all(due.into_iter().map(cancel)).await {
            if let Some(order) = cancelled? {
                info!(log, "order status changed"; "order_id" => order.id.get(), "order_status" => order.status.as_str());
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

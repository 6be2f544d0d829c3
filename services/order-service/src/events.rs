//! Handles the events of other services.

use chrono::Utc;
use order_service_api::{CancellationReason, OrderId, OrderStatus};
use product_events::types::StockRejected;
use product_events::{Event, Handler};
use service_runtime::database::DatabaseError;
use slog::{Logger, error, info};

use crate::status::predecessors;
use crate::store::{OrderStore, StatusChange};

/// What the events of product-service do to orders.
#[derive(Clone)]
pub(crate) struct StockEvents {
    store: OrderStore,
    log: Logger,
}

impl StockEvents {
    pub(crate) fn new(store: OrderStore, log: Logger) -> Self {
        Self { store, log }
    }
}

impl Handler for StockEvents {
    type Error = DatabaseError;

    /// Cancels the order, unless that or its end has come first.
    async fn stock_rejected(&self, event: Event<StockRejected>) -> Result<(), DatabaseError> {
        let id = i64::try_from(u64::from(event.data.order_id)).map_err(DatabaseError::decode_error)?;
        let id = OrderId::try_from(id).map_err(DatabaseError::decode_error)?;
        let change = StatusChange {
            id,
            to: OrderStatus::Cancelled,
            reason: Some(CancellationReason::OutOfStock),
            at: Utc::now(),
            traceparent: event.traceparent.as_deref(),
        };
        let moved = self.store.change_by_event(&event.id, change, predecessors(OrderStatus::Cancelled)).await?;
        if moved.is_some() {
            info!(self.log, "order status changed"; "order_id" => id.get(), "order_status" => "cancelled");
        } else if self.store.find(id).await?.is_some_and(|order| order.status == OrderStatus::Completed) {
            error!(self.log, "completed order has no stock"; "order_id" => id.get());
        }
        Ok(())
    }
}

//! Handles the events of other services: what becomes of the payments and the stock of orders.

use std::time::Duration;

use chrono::Utc;
use contract::money::{Currency, Money};
use order_service_api::{OrderId, OrderStatus};
use payment_events::types::{PaymentCompleted, PaymentFailed, PaymentRefunded};
use product_events::types::StockRejected;
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use slog::{Logger, error, info, warn};

use crate::status::Step;
use crate::store::{OrderStore, StatusChange};

/// What the events of other services do to orders.
#[derive(Clone)]
pub(crate) struct OrderEvents {
    store: OrderStore,
    log: Logger,
}

impl OrderEvents {
    pub(crate) fn new(store: OrderStore, log: Logger) -> Self {
        Self { store, log }
    }

    /// Takes `step` with the order because of the event with this id, unless another one or the order's end has come first.
    /// Returns the order's status if it was not moved.
    async fn follow(
        &self,
        event_id: String,
        traceparent: Option<String>,
        id: OrderId,
        step: Step,
    ) -> Result<Option<OrderStatus>, DatabaseError> {
        let RequestScope { log, .. } =
            RequestScope::of_event(&event_id, traceparent.as_deref(), Duration::ZERO, &self.log);
        let change = StatusChange { id, step, at: Utc::now(), traceparent, event_id: Some(event_id) };
        if let Some(order) = self.store.change(change).await? {
            info!(log, "order status changed"; "order_id" => id.get(), "order_status" => order.status.as_str());
            return Ok(None);
        }
        Ok(self.store.find(id).await?.map(|order| order.status))
    }
}

impl product_events::Handler for OrderEvents {
    type Error = DatabaseError;

    async fn stock_rejected(&self, event: product_events::Event<StockRejected>) -> Result<(), DatabaseError> {
        let id = own(u64::from(event.data.order_id))?;
        let unmoved = self.follow(event.id, event.traceparent, id, Step::OutOfStock).await?;
        if unmoved == Some(OrderStatus::Completed) {
            error!(self.log, "completed order has no stock"; "order_id" => id.get());
        }
        Ok(())
    }
}

impl payment_events::Handler for OrderEvents {
    type Error = DatabaseError;

    async fn payment_completed(&self, event: payment_events::Event<PaymentCompleted>) -> Result<(), DatabaseError> {
        let PaymentCompleted { order_id, amount, .. } = event.data;
        let id = own(u64::from(order_id))?;
        let amount = Money {
            amount: i64::from(amount.amount).try_into().map_err(DatabaseError::decode_error)?,
            currency: Currency::from_stored(amount.currency.into()),
        };
        let unmoved = self.follow(event.id, event.traceparent, id, Step::Paid(amount)).await?;
        if unmoved == Some(OrderStatus::Created) {
            // It is cancelled when its time is over, and then refunded.
            warn!(self.log, "payment is not the total of its order"; "order_id" => id.get());
        }
        Ok(())
    }

    async fn payment_failed(&self, event: payment_events::Event<PaymentFailed>) -> Result<(), DatabaseError> {
        let id = own(u64::from(event.data.order_id))?;
        let unmoved = self.follow(event.id, event.traceparent, id, Step::PaymentFailed).await?;
        if unmoved == Some(OrderStatus::Completed) {
            error!(self.log, "payment of a completed order failed"; "order_id" => id.get());
        }
        Ok(())
    }

    async fn payment_refunded(&self, event: payment_events::Event<PaymentRefunded>) -> Result<(), DatabaseError> {
        if i64::from(event.data.remaining.amount) == 0 {
            let id = own(u64::from(event.data.order_id))?;
            self.follow(event.id, event.traceparent, id, Step::Refunded).await?;
        }
        Ok(())
    }
}

/// An order's id as this service has it; the bounds are the same.
fn own(id: u64) -> Result<OrderId, DatabaseError> {
    let id = i64::try_from(id).map_err(DatabaseError::decode_error)?;
    Ok(id.try_into().map_err(DatabaseError::decode_error)?)
}

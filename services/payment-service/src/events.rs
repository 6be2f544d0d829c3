//! Handles the events of order-service: an order that is placed is paid, and one that is cancelled is refunded.

use std::time::Duration;

use chrono::Utc;
use contract::money::{Currency, Money};
use order_events::types::{OrderCancelled, OrderCreated};
use order_events::{Event, Handler};
use payment_service_api::{OrderId, PaymentMethod, UserId};
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use slog::{Logger, info};
use tokio::sync::watch;

use crate::store::{NewPayment, PaymentStore};

/// What the events of orders do.
#[derive(Clone)]
pub(crate) struct OrderEvents {
    store: PaymentStore,
    /// Changes when there may be something to ask the provider for.
    stored: watch::Sender<()>,
    log: Logger,
}

impl OrderEvents {
    pub(crate) fn new(store: PaymentStore, stored: watch::Sender<()>, log: Logger) -> Self {
        Self { store, stored, log }
    }
}

impl Handler for OrderEvents {
    type Error = DatabaseError;

    async fn order_created(&self, event: Event<OrderCreated>) -> Result<(), DatabaseError> {
        let OrderCreated { order_id, user_id, total, payment_method, .. } = event.data;
        // An order without prices is not paid.
        let Some(total) = total else { return Ok(()) };
        let new = NewPayment {
            order_id: own::<OrderId>(u64::from(order_id))?,
            user_id: own::<UserId>(u64::from(user_id))?,
            amount: Money {
                amount: i64::from(total.amount).try_into().map_err(DatabaseError::decode_error)?,
                currency: Currency::from_stored(total.currency.into()),
            },
            payment_method: payment_method.map(|method| PaymentMethod::from_stored(method.into())),
            traceparent: event.traceparent,
        };
        let RequestScope { log, .. } =
            RequestScope::of_event(&event.id, new.traceparent.as_deref(), Duration::ZERO, &self.log);
        if let Some(payment) = self.store.pay_by_event(event.id, new, Utc::now()).await? {
            info!(log, "payment created"; "payment_id" => payment.id.get(), "order_id" => payment.order_id.get());
            self.stored.send_replace(());
        }
        Ok(())
    }

    async fn order_cancelled(&self, event: Event<OrderCancelled>) -> Result<(), DatabaseError> {
        let order_id = own::<OrderId>(u64::from(event.data.order_id))?;
        self.store.cancel_order(&event.id, order_id, event.traceparent.as_deref(), Utc::now()).await?;
        self.stored.send_replace(());
        Ok(())
    }
}

/// A number of an event as this service has it; the bounds are the same.
fn own<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(number: u64) -> Result<T, DatabaseError> {
    let number = i64::try_from(number).map_err(DatabaseError::decode_error)?;
    Ok(T::try_from(number).map_err(DatabaseError::decode_error)?)
}

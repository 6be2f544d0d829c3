//! Handles the events of other services: queues what is to be sent.

use chrono::Utc;
use notification_service_api::EventId;
use order_events::types::{OrderCancelled, OrderCompleted, OrderConfirmed};
use payment_events::types::{Money, PaymentCompleted, PaymentRefunded};
use serde::Serialize;
use service_runtime::database::DatabaseError;
use tokio::sync::watch;
use user_events::types::{UserDeleted, UserRegistered};

use crate::plan;
use crate::store::{NewEvent, NotificationStore};

/// What the events of users, orders and payments do to notifications.
#[derive(Clone)]
pub(crate) struct Events {
    store: NotificationStore,
    /// Wakes who sends.
    queued: watch::Sender<()>,
}

impl Events {
    pub(crate) fn new(store: NotificationStore, queued: watch::Sender<()>) -> Self {
        Self { store, queued }
    }

    async fn queue(
        &self,
        id: &str,
        event_type: &str,
        traceparent: Option<&str>,
        (user_id, order_id): (u64, Option<u64>),
        data: &impl Serialize,
    ) -> Result<(), DatabaseError> {
        // It becomes part of names, and is what the API promises.
        let id = id.parse::<EventId>().map_err(DatabaseError::decode_error)?;
        let id = id.as_str();
        let data = serde_json::to_string(data).map_err(DatabaseError::decode_error)?;
        let order_id = order_id.map(stored).transpose()?;
        let event = NewEvent { id, event_type, user_id: stored(user_id)?, order_id, data: &data, traceparent };
        if self.store.queue(event, plan::channels(event_type), Utc::now()).await? {
            self.queued.send_replace(());
        }
        Ok(())
    }
}

/// Queues notifications of an event about an order, unless it is one to say nothing of.
macro_rules! notify_of_order {
    ($events:ident: $($method:ident($data:ident) of $event_type:literal $(unless $silent:ident($field:ident))?;)*) => { $(
        async fn $method(&self, event: $events::Event<$data>) -> Result<(), DatabaseError> {
            $(if $silent(&event.data.$field) {
                return Ok(());
            })?
            let about = (u64::from(event.data.user_id), Some(u64::from(event.data.order_id)));
            self.queue(&event.id, $event_type, event.traceparent.as_deref(), about, &event.data).await
        }
    )* };
}

impl order_events::Handler for Events {
    type Error = DatabaseError;

    notify_of_order! { order_events:
        order_confirmed(OrderConfirmed) of "order.confirmed";
        order_completed(OrderCompleted) of "order.completed";
        order_cancelled(OrderCancelled) of "order.cancelled";
    }
}

/// Those that fail are not consumed: the cancellation of the order tells of them.
impl payment_events::Handler for Events {
    type Error = DatabaseError;

    notify_of_order! { payment_events:
        payment_completed(PaymentCompleted) of "payment.completed" unless is_nothing(amount);
        payment_refunded(PaymentRefunded) of "payment.refunded" unless is_nothing(amount);
    }
}

impl user_events::Handler for Events {
    type Error = DatabaseError;

    async fn user_registered(&self, event: user_events::Event<UserRegistered>) -> Result<(), DatabaseError> {
        let about = (u64::from(event.data.user_id), None);
        self.queue(&event.id, "user.registered", event.traceparent.as_deref(), about, &event.data).await
    }

    /// What is queued later is suppressed when it is to be sent: user-service does not know the user any more.
    async fn user_deleted(&self, event: user_events::Event<UserDeleted>) -> Result<(), DatabaseError> {
        self.store.suppress_user(&event.id, stored(u64::from(event.data.user_id))?, Utc::now()).await
    }
}

/// Whether no money is paid, as for a free order.
fn is_nothing(money: &Money) -> bool {
    *money.amount == 0
}

/// A number of an event as it is stored; the contract keeps it below 2^53.
fn stored(number: u64) -> Result<i64, DatabaseError> {
    Ok(i64::try_from(number).map_err(DatabaseError::decode_error)?)
}

//! Handles the events of other services.

use chrono::Utc;
use order_events::types::{self, OrderCancelled, OrderConfirmed, OrderCreated};
use order_events::{Event, Handler};
use product_service_api::{ProductId, Quantity, ReservationId, ReservationItem};
use service_runtime::database::DatabaseError;

use crate::store::{OrderEvent, OrderStep, ReservationStore};

/// What the events of orders do to their reservations. Orders without one have nothing here.
#[derive(Clone)]
pub(crate) struct OrderEvents {
    store: ReservationStore,
}

impl OrderEvents {
    pub(crate) fn new(store: ReservationStore) -> Self {
        Self { store }
    }

    async fn follow<T>(
        &self,
        event: Event<T>,
        order_id: types::OrderId,
        reservation_id: Option<types::ReservationId>,
        step: OrderStep,
    ) -> Result<(), DatabaseError> {
        let Some(reservation_id) = reservation_id else { return Ok(()) };
        let event = OrderEvent {
            event_id: event.id,
            traceparent: event.traceparent,
            order_id: own(u64::from(order_id))?,
            reservation_id: ReservationId::from_stored(reservation_id.to_string()),
            step,
        };
        self.store.follow(event, Utc::now()).await
    }
}

impl Handler for OrderEvents {
    type Error = DatabaseError;

    async fn order_created(&self, event: Event<OrderCreated>) -> Result<(), DatabaseError> {
        let OrderCreated { order_id, reservation_id, ref items, .. } = event.data.clone();
        let item = |item: &types::PlacedItem| {
            let (product_id, quantity): (ProductId, Quantity) =
                (own(u64::from(item.product_id))?, own(u64::from(item.quantity))?);
            Ok(ReservationItem { product_id, quantity })
        };
        let items = items.iter().map(item).collect::<Result<_, DatabaseError>>()?;
        self.follow(event, order_id, reservation_id, OrderStep::Placed(items)).await
    }

    async fn order_confirmed(&self, event: Event<OrderConfirmed>) -> Result<(), DatabaseError> {
        let OrderConfirmed { order_id, reservation_id, .. } = event.data.clone();
        self.follow(event, order_id, reservation_id, OrderStep::Confirmed).await
    }

    async fn order_cancelled(&self, event: Event<OrderCancelled>) -> Result<(), DatabaseError> {
        let OrderCancelled { order_id, reservation_id, .. } = event.data.clone();
        self.follow(event, order_id, reservation_id, OrderStep::Cancelled).await
    }
}

/// A number of an event as this service has it; the bounds are the same.
fn own<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(number: u64) -> Result<T, DatabaseError> {
    let number = i64::try_from(number).map_err(DatabaseError::decode_error)?;
    Ok(T::try_from(number).map_err(DatabaseError::decode_error)?)
}

//! What a batch of changes does to stock and reservations: decided in memory, in the order of the changes, between reading
//! the rows and writing them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use contract::money::Money;
use product_service_api::{
    OrderId, Pieces, ProductId, ProductName, Reservation, ReservationCreate, ReservationId, ReservationItem,
    ReservationStatus, ReservedItem,
};

use ReservationStatus::{Bound, Committed, Expired, Held, Released};

/// How long a reservation is held.
const HELD_FOR: TimeDelta = TimeDelta::minutes(15);
/// How long a reservation that holds nothing any more can be read. Longer than events wait anywhere: to an event that comes
/// later, an order that was cancelled would look like one that is new.
const KEPT_FOR: TimeDelta = TimeDelta::days(14);

/// A change of a reservation, and of the stock of its products.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: ChangeKind,
    pub(super) at: DateTime<Utc>,
}

#[derive(Debug)]
pub(super) enum ChangeKind {
    /// Makes a reservation.
    Reserve(ReservationCreate),
    /// Releases a reservation.
    Release(ReservationId),
    /// Expires a reservation that is held for too long, or removes one that holds nothing for too long.
    Sweep(ReservationId),
    /// Does what an order's event asks for, unless it did already.
    Follow(OrderEvent),
}

/// What happened to the order of a reservation.
#[derive(Debug)]
pub struct OrderEvent {
    /// The id of the event.
    pub event_id: String,
    /// Where in a trace it happened.
    pub traceparent: Option<String>,
    /// The order.
    pub order_id: OrderId,
    /// Its reservation.
    pub reservation_id: ReservationId,
    /// What happened to it.
    pub step: OrderStep,
}

/// A step in the life of an order.
#[derive(Debug)]
pub enum OrderStep {
    /// It was placed, with these items.
    Placed(Vec<ReservationItem>),
    /// It was confirmed.
    Confirmed,
    /// It was cancelled.
    Cancelled,
}

/// What became of the stock of an order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReservationOutcome {
    Reserved,
    /// Of these products too little is available.
    Rejected(Vec<ProductId>),
    Released,
}

impl Change {
    pub(super) fn reservation_id(&self) -> &ReservationId {
        match &self.kind {
            ChangeKind::Reserve(new) => &new.reservation_id,
            ChangeKind::Release(id) | ChangeKind::Sweep(id) => id,
            ChangeKind::Follow(event) => &event.reservation_id,
        }
    }
}

/// An event to publish about the stock of an order.
#[derive(Debug)]
pub(super) struct PendingEvent {
    pub(super) order_id: OrderId,
    pub(super) reservation_id: ReservationId,
    pub(super) traceparent: Option<String>,
    pub(super) at: DateTime<Utc>,
    pub(super) outcome: ReservationOutcome,
}

impl PendingEvent {
    /// What to publish because of `event`.
    fn new(event: &OrderEvent, at: DateTime<Utc>, outcome: ReservationOutcome) -> Self {
        let OrderEvent { order_id, reservation_id, traceparent, .. } = event;
        Self {
            order_id: *order_id,
            reservation_id: reservation_id.clone(),
            traceparent: traceparent.clone(),
            at,
            outcome,
        }
    }
}

/// The rule that a change breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No reservation has the id.
    NotFound,
    /// No products have these ids.
    ProductsNotFound(Vec<ProductId>),
    /// Of these products less is available than was asked for.
    InsufficientStock(Vec<(ProductId, i64)>),
    /// A reservation of other items has the id.
    IdTaken,
    /// The reservation was released, or it has expired and is not available any more.
    Released,
}

/// The stock of a product, and what a reservation of it copies.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    pub(super) on_hand: i64,
    pub(super) reserved: i64,
    pub(super) name: ProductName,
    pub(super) price: Money,
}

impl Stock {
    fn available(&self) -> i64 {
        self.on_hand - self.reserved
    }
}

/// A reservation and when it is due: see the table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) reservation: Reservation,
    pub(super) due_at: Option<DateTime<Utc>>,
}

/// The rows that a batch reads, changed in memory, and which of them to write.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) stock: BTreeMap<ProductId, Stock>,
    /// By id.
    pub(super) reservations: BTreeMap<String, Entry>,
    pub(super) changed_stock: BTreeSet<ProductId>,
    /// The ids of changed reservations, and of those that are to be removed and are not in `reservations` any more.
    pub(super) changed_reservations: BTreeSet<String>,
    /// The ids of events that have no effect any more.
    pub(super) handled: HashSet<String>,
    /// The events to publish.
    pub(super) pending: Vec<PendingEvent>,
}

impl Plan {
    /// Applies `change`, all of it or nothing. `None`: the reservation is removed, or the change is an event's.
    pub(super) fn apply(&mut self, change: &Change) -> Result<Option<Reservation>, Refusal> {
        match &change.kind {
            ChangeKind::Reserve(new) => self.reserve(new, change.at).map(Some),
            ChangeKind::Release(id) => self.settle(id, Released, change.at).map(Some),
            ChangeKind::Sweep(id) => self.sweep(id, change.at),
            ChangeKind::Follow(event) => {
                let outcome = self.follow(event, change.at);
                self.pending.extend(outcome.map(|outcome| PendingEvent::new(event, change.at, outcome)));
                Ok(None)
            }
        }
    }

    /// Does what `event` asks for, in any order of the events of one order. Returns what to publish.
    fn follow(&mut self, event: &OrderEvent, at: DateTime<Utc>) -> Option<ReservationOutcome> {
        if !self.handled.insert(event.event_id.clone()) {
            return None;
        }
        let id = &event.reservation_id;
        let status = self.reservations.get(id.as_str()).map(|entry| entry.reservation.status);
        let outcome = match (&event.step, status) {
            (OrderStep::Placed(items), None) => Some(self.reserve_again(id, items, at)),
            // Only an event that is older than the reservations which are removed can come so late.
            (OrderStep::Confirmed, None) => Some(ReservationOutcome::Rejected(Vec::new())),
            (OrderStep::Placed(_), Some(Held | Expired)) => {
                Some(self.keep(id, Bound, at).err().unwrap_or(ReservationOutcome::Reserved))
            }
            // Of a released one too: the order must not stay confirmed without its stock. For one that was cancelled, which
            // is told before, this changes nothing.
            (OrderStep::Confirmed, Some(Held | Expired | Bound | Released)) => self.keep(id, Committed, at).err(),
            (OrderStep::Cancelled, Some(status @ (Held | Expired | Bound | Committed))) => {
                let _ = self.settle(id, Released, at);
                (status != Expired).then_some(ReservationOutcome::Released)
            }
            // A later step has come first, or the same by a request.
            (OrderStep::Cancelled, None) | (_, Some(Bound | Committed | Released)) => None,
        };
        self.name_order(id, event.order_id);
        outcome
    }

    /// Notes which order a reservation is kept for.
    fn name_order(&mut self, id: &ReservationId, order_id: OrderId) {
        let Some(entry) = self.reservations.get_mut(id.as_str()) else { return };
        if entry.reservation.order_id.replace(order_id) != Some(order_id) {
            self.changed_reservations.insert(id.as_str().to_owned());
        }
    }

    /// Settles a reservation for its order, or returns that it is rejected.
    fn keep(&mut self, id: &ReservationId, to: ReservationStatus, at: DateTime<Utc>) -> Result<(), ReservationOutcome> {
        let short = |plan: &Self| {
            let items = plan.reservations.get(id.as_str()).map(|entry| entry.reservation.items.clone());
            plan.short_of(&items.unwrap_or_default()).into_iter().map(|(id, _)| id).collect()
        };
        self.settle(id, to, at).map(drop).map_err(|_| ReservationOutcome::Rejected(short(self)))
    }

    /// Makes a reservation that was removed after it had expired, at once for its order.
    fn reserve_again(
        &mut self,
        id: &ReservationId,
        items: &[ReservationItem],
        at: DateTime<Utc>,
    ) -> ReservationOutcome {
        let new = ReservationCreate { reservation_id: id.clone(), items: items.to_vec() };
        match self.reserve(&new, at).and_then(|_| self.settle(id, Bound, at)) {
            Ok(_) => ReservationOutcome::Reserved,
            Err(Refusal::ProductsNotFound(missing)) => ReservationOutcome::Rejected(missing),
            Err(Refusal::InsufficientStock(short)) => {
                ReservationOutcome::Rejected(short.into_iter().map(|(id, _)| id).collect())
            }
            Err(Refusal::NotFound | Refusal::IdTaken | Refusal::Released) => ReservationOutcome::Rejected(Vec::new()),
        }
    }

    fn reserve(&mut self, new: &ReservationCreate, at: DateTime<Utc>) -> Result<Reservation, Refusal> {
        let mut items = new.items.clone();
        items.sort_by_key(|item| item.product_id);
        if let Some(Entry { reservation, .. }) = self.reservations.get(new.reservation_id.as_str()) {
            let same = reservation.items.iter().map(|item| (item.product_id, item.quantity));
            return match reservation.status {
                _ if !same.eq(items.iter().map(|item| (item.product_id, item.quantity))) => Err(Refusal::IdTaken),
                Expired | Released => Err(Refusal::Released),
                Held | Bound | Committed => Ok(reservation.clone()),
            };
        }
        let items = self.reserved_items(&items)?;
        let due_at = at + HELD_FOR;
        let reservation = Reservation {
            reservation_id: new.reservation_id.clone(),
            status: Held,
            order_id: None,
            items,
            expires_at: Some(due_at.into()),
            created_at: at.into(),
        };
        self.check_available(&reservation.items, Held)?;
        self.take(&reservation.items, Held);
        self.write(Entry { reservation: reservation.clone(), due_at: Some(due_at) });
        Ok(reservation)
    }

    /// `items` with names and prices.
    fn reserved_items(&self, items: &[ReservationItem]) -> Result<Vec<ReservedItem>, Refusal> {
        let missing = items.iter().map(|item| item.product_id).filter(|id| !self.stock.contains_key(id));
        let missing: Vec<_> = missing.collect();
        if !missing.is_empty() {
            return Err(Refusal::ProductsNotFound(missing));
        }
        let reserved = items.iter().filter_map(|ReservationItem { product_id, quantity }| {
            let Stock { name, price, .. } = self.stock.get(product_id)?.clone();
            Some(ReservedItem { product_id: *product_id, quantity: *quantity, name, unit_price: price })
        });
        Ok(reserved.collect())
    }

    fn settle(&mut self, id: &ReservationId, to: ReservationStatus, at: DateTime<Utc>) -> Result<Reservation, Refusal> {
        let Entry { reservation, .. } = self.reservations.get(id.as_str()).ok_or(Refusal::NotFound)?.clone();
        match (reservation.status, to) {
            (Released, Released) | (Bound, Bound) | (Committed, Bound | Committed) => return Ok(reservation),
            (Released, _) => return Err(Refusal::Released),
            _ => {}
        }
        if reservation.status == Expired {
            self.check_available(&reservation.items, to).map_err(|_| Refusal::Released)?;
        }
        self.give_back(&reservation.items, reservation.status);
        self.take(&reservation.items, to);
        let due_at = matches!(to, Expired | Released).then(|| at + KEPT_FOR);
        let settled = Reservation { status: to, expires_at: None, ..reservation };
        self.write(Entry { reservation: settled.clone(), due_at });
        Ok(settled)
    }

    fn sweep(&mut self, id: &ReservationId, at: DateTime<Utc>) -> Result<Option<Reservation>, Refusal> {
        let Entry { reservation, due_at } = self.reservations.get(id.as_str()).ok_or(Refusal::NotFound)?;
        if due_at.is_none_or(|due_at| due_at > at) {
            // Settled meanwhile.
            return Ok(Some(reservation.clone()));
        }
        if reservation.status == Held {
            return self.settle(id, Expired, at).map(Some);
        }
        self.reservations.remove(id.as_str());
        self.changed_reservations.insert(id.as_str().to_owned());
        Ok(None)
    }

    /// Refuses a reservation with this status of more than is available.
    fn check_available(&self, items: &[ReservedItem], status: ReservationStatus) -> Result<(), Refusal> {
        if matches!(status, Expired | Released) {
            return Ok(());
        }
        let short = self.short_of(items);
        if short.is_empty() { Ok(()) } else { Err(Refusal::InsufficientStock(short)) }
    }

    /// The products of `items` of which too little is available, with what is.
    fn short_of(&self, items: &[ReservedItem]) -> Vec<(ProductId, i64)> {
        let available = |item: &ReservedItem| self.stock.get(&item.product_id).map_or(0, Stock::available);
        let short = items.iter().filter(|item| available(item) < item.quantity.get());
        short.map(|item| (item.product_id, available(item))).collect()
    }

    /// Takes the pieces of `items` that a reservation with this status holds. A product may have been deleted.
    fn take(&mut self, items: &[ReservedItem], status: ReservationStatus) {
        for item in items {
            self.change(item, |stock, pieces| match status {
                Expired | Released => {}
                Held | Bound => stock.reserved += pieces,
                Committed => stock.on_hand -= pieces,
            });
        }
    }

    /// Gives back the pieces of `items` that a reservation with this status holds. A product may have been deleted.
    fn give_back(&mut self, items: &[ReservedItem], status: ReservationStatus) {
        for item in items {
            self.change(item, |stock, pieces| match status {
                Expired | Released => {}
                Held | Bound => stock.reserved -= pieces,
                // No stock has more, or the product could not be read.
                Committed => stock.on_hand = (stock.on_hand + pieces).min(Pieces::MAX),
            });
        }
    }

    fn change(&mut self, item: &ReservedItem, change: impl FnOnce(&mut Stock, i64)) {
        if let Some(stock) = self.stock.get_mut(&item.product_id) {
            change(stock, item.quantity.get());
            self.changed_stock.insert(item.product_id);
        }
    }

    fn write(&mut self, entry: Entry) {
        let id = entry.reservation.reservation_id.as_str().to_owned();
        self.changed_reservations.insert(id.clone());
        self.reservations.insert(id, entry);
    }
}

#[cfg(test)]
mod tests;

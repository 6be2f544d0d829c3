//! What belongs together in a snapshot.

use std::collections::{BTreeMap, HashMap};

use super::super::snapshot::{Order, Payment, Reservation, Snapshot};

/// A snapshot with what belongs together.
pub(super) struct Index<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) orders: HashMap<u64, &'a Order>,
    pub(super) payments: HashMap<u64, &'a Payment>,
    pub(super) payments_of_orders: BTreeMap<u64, Vec<&'a Payment>>,
    pub(super) reservations_of_orders: HashMap<u64, Vec<&'a Reservation>>,
}

impl<'a> Index<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let mut payments_of_orders: BTreeMap<u64, Vec<&Payment>> = BTreeMap::new();
        for payment in &snapshot.payments {
            payments_of_orders.entry(payment.order_id).or_default().push(payment);
        }
        let mut reservations_of_orders: HashMap<u64, Vec<&Reservation>> = HashMap::new();
        for reservation in &snapshot.reservations {
            if let Some(order_id) = reservation.order_id {
                reservations_of_orders.entry(order_id).or_default().push(reservation);
            }
        }
        Self {
            snapshot,
            orders: snapshot.orders.iter().map(|order| (order.id, order)).collect(),
            payments: snapshot.payments.iter().map(|payment| (payment.id, payment)).collect(),
            payments_of_orders,
            reservations_of_orders,
        }
    }

    pub(super) fn payments_of(&self, order: &Order) -> &[&'a Payment] {
        self.payments_of_orders.get(&order.id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn reservations_of(&self, order: &Order) -> &[&'a Reservation] {
        self.reservations_of_orders.get(&order.id).map_or(&[], Vec::as_slice)
    }
}

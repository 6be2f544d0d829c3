//! Orders, their reservations and the stock: the stock of a confirmed order is sold, that of a cancelled one is free.

use std::collections::HashMap;

use order_client::types::OrderStatus;
use product_client::types::ReservationStatus::{self, Bound, Committed, Held};

use super::index::Index;
use crate::reconcile::finding::{Code, Finding};
use crate::reconcile::snapshot::{Order, Reservation};

pub(super) fn compare(index: &Index<'_>) -> Vec<Finding> {
    // Orders without a total have no reservation.
    let orders = index.snapshot.orders.iter().filter(|order| order.total.is_some());
    let mut findings: Vec<_> = orders.filter_map(|order| of_order(order, index.reservations_of(order))).collect();
    findings.extend(index.snapshot.reservations.iter().filter_map(|reservation| of_reservation(reservation, index)));
    findings.extend(of_products(index));
    findings
}

fn of_order(order: &Order, reservations: &[&Reservation]) -> Option<Finding> {
    let has = |statuses: &[ReservationStatus]| reservations.iter().any(|one| statuses.contains(&one.status));
    let (code, wanted) = match order.status {
        OrderStatus::Created if !has(&[Held, Bound, Committed]) => (Code::OrderNotReserved, "reserved"),
        OrderStatus::Confirmed | OrderStatus::Completed if !has(&[Committed]) => (Code::ConfirmedNotCommitted, "sold"),
        _ => return None,
    };
    let state = match reservations {
        [] => "it has no reservation".to_owned(),
        [first, ..] => format!("its reservation is {}", first.status),
    };
    let message = format!("The order is {}, but its items are not {wanted}: {state}.", order.status);
    let about = [format!("orders/{}", order.id)].into_iter().chain(reservations.iter().map(|one| about(one)));
    Some(Finding::new(code, about, message))
}

fn of_reservation(reservation: &Reservation, index: &Index<'_>) -> Option<Finding> {
    let order_id = reservation.order_id?;
    let status = reservation.status;
    let (code, message) = match index.orders.get(&order_id) {
        Some(order) if order.status == OrderStatus::Cancelled && matches!(status, Held | Bound | Committed) => {
            (Code::CancelledStillReserved, format!("The order is cancelled, but its reservation is {status}."))
        }
        None if matches!(status, Bound | Committed) => {
            (Code::ReservationWithoutOrder, format!("The reservation is {status} for an order that does not exist."))
        }
        _ => return None,
    };
    Some(Finding::new(code, [format!("orders/{order_id}"), about(reservation)], message))
}

fn of_products(index: &Index<'_>) -> Vec<Finding> {
    let mut held: HashMap<u64, u64> = HashMap::new();
    for reservation in index.snapshot.reservations.iter().filter(|one| matches!(one.status, Held | Bound)) {
        for (product_id, quantity) in &reservation.items {
            *held.entry(*product_id).or_default() += quantity;
        }
    }
    let mut findings = Vec::new();
    for product in &index.snapshot.products {
        let held = held.get(&product.id).copied().unwrap_or_default();
        if product.reserved != held {
            let message =
                format!("{} pieces of the product are reserved, but its reservations hold {held}.", product.reserved);
            findings.push(Finding::new(Code::StockDiffers, [format!("products/{}", product.id)], message));
        }
    }
    findings
}

fn about(reservation: &Reservation) -> String {
    format!("reservations/{}", reservation.id)
}

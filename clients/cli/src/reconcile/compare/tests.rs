use chrono::TimeDelta;
use order_client::types::OrderStatus::{self, Cancelled, Completed, Confirmed, Created};
use payment_client::types::PaymentStatus::{self, Failed, Pending, Refunded};
use payment_provider_client::types::ChargeStatus::{self, Declined, Succeeded};
use product_client::types::ReservationStatus::{self, Bound, Committed, Expired, Held, Released};

use super::*;
use crate::reconcile::finding::Code;
use crate::reconcile::snapshot::{Charge, Money, Order, Payment, Product, Reservation};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;
const PAID: PaymentStatus = PaymentStatus::Completed;
/// What each order costs.
const TOTAL: i64 = 1998;

fn euro(amount: i64) -> Money {
    Money { amount, currency: "EUR".into() }
}

/// An order that was placed with prices, and has to be paid in a minute if it is created.
fn order(id: u64, status: OrderStatus) -> Order {
    let payment_due_at = (status == Created).then(|| NOW + TimeDelta::minutes(1));
    Order { id, status, total: Some(euro(TOTAL)), payment_due_at }
}

/// A payment whose id is that of its order; it was made a minute ago.
fn payment(order_id: u64, status: PaymentStatus) -> Payment {
    let refunded = if status == Refunded { TOTAL } else { 0 };
    let created_at = NOW - TimeDelta::minutes(1);
    Payment { id: order_id, order_id, status, amount: euro(TOTAL), refunded, created_at }
}

/// A reservation of 2 pieces of the product 1.
fn reservation(order_id: impl Into<Option<u64>>, status: ReservationStatus) -> Reservation {
    let order_id = order_id.into();
    let id = order_id.map_or_else(|| "nobody".to_owned(), |id| format!("of-{id}"));
    Reservation { id, status, order_id, items: vec![(1, 2)] }
}

fn charge(id: &str, payment_id: u64, status: ChargeStatus) -> Charge {
    let reference = Some(format!("payments/{payment_id}"));
    Charge { id: id.into(), status, amount: Some(euro(TOTAL)), refunded: 0, reference }
}

fn given_back(charge: Charge) -> Charge {
    Charge { refunded: TOTAL, ..charge }
}

/// Every state that is right, each in an order of its own.
fn healthy() -> Snapshot {
    let free = |id, status| Order { total: None, payment_due_at: None, ..order(id, status) };
    let mut snapshot = Snapshot {
        orders: vec![
            order(1, Created),
            order(2, Created),
            order(3, Created),
            order(4, Confirmed),
            order(5, Completed),
            order(6, Completed),
            order(7, Cancelled),
            order(8, Cancelled),
            order(9, Cancelled),
            Order { total: Some(euro(0)), ..order(10, Confirmed) },
            free(11, Created),
            free(12, Confirmed),
            free(13, Completed),
            free(14, Cancelled),
        ],
        payments: vec![
            // Two of an order without prices, which nobody asked for, are no concern of this.
            Payment { id: 111, ..payment(11, PAID) },
            Payment { id: 112, ..payment(11, PAID) },
            payment(2, Pending),
            payment(3, Failed),
            payment(4, PAID),
            Payment { id: 104, ..payment(4, Failed) },
            Payment { refunded: 500, ..payment(5, PAID) },
            payment(6, Refunded),
            payment(7, Failed),
            payment(8, Refunded),
            Payment { amount: euro(0), ..payment(10, PAID) },
        ],
        reservations: vec![
            reservation(1, Bound),
            reservation(2, Held),
            reservation(3, Bound),
            reservation(4, Committed),
            reservation(5, Committed),
            reservation(6, Committed),
            reservation(7, Released),
            reservation(8, Expired),
            reservation(10, Committed),
            // Of orders that were never placed, or not yet.
            reservation(None, Held),
            reservation(None, Expired),
            reservation(None, Released),
            reservation(99, Released),
        ],
        products: vec![Product { id: 1, reserved: 8 }, Product { id: 2, reserved: 3 }, Product { id: 3, reserved: 0 }],
        charges: Some(vec![
            charge("2", 2, Succeeded),
            charge("3", 3, Declined),
            charge("4", 4, Succeeded),
            given_back(charge("4-again", 4, Succeeded)),
            given_back(charge("104", 104, Succeeded)),
            Charge { refunded: 500, ..charge("5", 5, Succeeded) },
            charge("111", 111, Succeeded),
            charge("112", 112, Succeeded),
            given_back(charge("6", 6, Succeeded)),
            charge("7", 7, ChargeStatus::Cancelled),
            Charge { amount: None, reference: None, ..charge("7-early", 7, ChargeStatus::Cancelled) },
            given_back(charge("8", 8, Succeeded)),
            given_back(charge("gone", 999, Succeeded)),
            Charge { reference: Some("invoices/1".into()), ..charge("other", 1, Declined) },
        ]),
    };
    // Of several products, one of which was deleted.
    snapshot.reservations[0].items = vec![(1, 2), (2, 3), (9, 1)];
    snapshot
}

fn order_of(snapshot: &mut Snapshot, id: u64) -> &mut Order {
    snapshot.orders.iter_mut().find(|order| order.id == id).unwrap()
}

fn payment_of(snapshot: &mut Snapshot, id: u64) -> &mut Payment {
    snapshot.payments.iter_mut().find(|payment| payment.id == id).unwrap()
}

fn charge_of<'a>(snapshot: &'a mut Snapshot, id: &str) -> &'a mut Charge {
    charges(snapshot).iter_mut().find(|charge| charge.id == id).unwrap()
}

fn charges(snapshot: &mut Snapshot) -> &mut Vec<Charge> {
    snapshot.charges.as_mut().unwrap()
}

/// A paid order in the status, whose stock is sold.
fn add_paid(snapshot: &mut Snapshot, status: OrderStatus) {
    snapshot.orders.push(order(20, status));
    snapshot.payments.push(payment(20, PAID));
    snapshot.reservations.push(reservation(20, Committed));
    charges(snapshot).push(charge("20", 20, Succeeded));
}

#[test]
fn every_right_state_is_without_findings() {
    assert_eq!(compare(&healthy(), NOW), []);
    let empty = Snapshot { orders: vec![], payments: vec![], reservations: vec![], products: vec![], charges: None };
    assert_eq!(compare(&empty, NOW), []);
}

type Plant = fn(&mut Snapshot);

/// Things that do not agree, and what must be found about what, and nothing else. Orders 20 and above are new.
const PLANTED: &[(Code, &str, Plant)] = &[
    (Code::ConfirmedNotPaid, "orders/20", |all| {
        add_paid(all, Confirmed);
        all.payments.pop();
        charges(all).pop();
    }),
    (Code::ConfirmedNotPaid, "orders/4", |all| order_of(all, 4).total = Some(euro(TOTAL + 1))),
    (Code::ConfirmedNotPaid, "orders/4", |all| order_of(all, 4).total.as_mut().unwrap().currency = "USD".into()),
    (Code::ConfirmedNotPaid, "orders/20", |all| {
        add_paid(all, Confirmed);
        *payment_of(all, 20) = payment(20, Refunded);
        charge_of(all, "20").refunded = TOTAL;
    }),
    (Code::ConfirmedNotPaid, "orders/20", |all| {
        add_paid(all, Confirmed);
        payment_of(all, 20).status = Pending;
    }),
    (Code::CompletedNotPaid, "orders/20", |all| {
        add_paid(all, Completed);
        payment_of(all, 20).status = Failed;
        charges(all).pop();
    }),
    (Code::CompletedNotPaid, "orders/20", |all| {
        add_paid(all, Completed);
        payment_of(all, 20).status = Pending;
    }),
    (Code::CancelledNotRefunded, "orders/8 payments/8", |all| {
        *payment_of(all, 8) = payment(8, PAID);
        charge_of(all, "8").refunded = 0;
    }),
    (Code::CancelledNotRefunded, "orders/8 payments/8", |all| {
        *payment_of(all, 8) = Payment { refunded: TOTAL - 1, ..payment(8, PAID) };
        charge_of(all, "8").refunded = TOTAL - 1;
    }),
    (Code::PaidNotConfirmed, "orders/2 payments/2", |all| payment_of(all, 2).status = PAID),
    (Code::PaidNotConfirmed, "orders/2 payments/2", |all| {
        order_of(all, 2).total = Some(euro(1));
        payment_of(all, 2).status = PAID;
    }),
    (Code::OrderOverdue, "orders/1", |all| order_of(all, 1).payment_due_at = Some(NOW - TimeDelta::microseconds(1))),
    (Code::PaidTwice, "orders/4 payments/4 payments/20", |all| {
        all.payments.push(Payment { id: 20, ..payment(4, PAID) });
        charges(all).push(charge("20", 20, Succeeded));
    }),
    (Code::PaidTwice, "orders/2 payments/2 payments/20", |all| {
        all.payments.push(Payment { id: 20, ..payment(2, Pending) });
    }),
    (Code::PaidTwice, "orders/98 payments/20 payments/21", |all| {
        all.payments.extend([20, 21].map(|id| Payment { id, ..payment(98, Pending) }));
    }),
    (Code::OutcomeUnknown, "orders/2 payments/2", |all| {
        payment_of(all, 2).created_at -= TimeDelta::microseconds(1);
        charge_of(all, "2").status = Declined;
    }),
    (Code::PaymentWithoutOrder, "orders/98 payments/98", |all| {
        all.payments.push(payment(98, PAID));
        charges(all).push(charge("98", 98, Succeeded));
    }),
    (Code::ConfirmedNotCommitted, "orders/4 reservations/of-4", |all| all.reservations[3].status = Released),
    (Code::ConfirmedNotCommitted, "orders/20 reservations/of-20", |all| {
        add_paid(all, Confirmed);
        all.reservations.last_mut().unwrap().status = Bound;
        all.products[0].reserved += 2;
    }),
    (Code::ConfirmedNotCommitted, "orders/5", |all| {
        all.reservations.remove(4);
    }),
    (Code::CancelledStillReserved, "orders/7 reservations/of-7", |all| all.reservations[6].status = Committed),
    (Code::CancelledStillReserved, "orders/7 reservations/of-7", |all| {
        all.reservations[6].status = Bound;
        all.products[0].reserved += 2;
    }),
    (Code::CancelledStillReserved, "orders/9 reservations/of-9", |all| {
        all.reservations.push(reservation(9, Held));
        all.products[0].reserved += 2;
    }),
    (Code::ReservationWithoutOrder, "orders/98 reservations/of-98", |all| {
        all.reservations.push(reservation(98, Committed));
    }),
    (Code::ReservationWithoutOrder, "orders/98 reservations/of-98", |all| {
        all.reservations.push(reservation(98, Bound));
        all.products[0].reserved += 2;
    }),
    (Code::OrderNotReserved, "orders/20", |all| all.orders.push(order(20, Created))),
    (Code::OrderNotReserved, "orders/3 reservations/of-3", |all| {
        all.reservations[2].status = Released;
        all.products[0].reserved -= 2;
    }),
    (Code::OrderNotReserved, "orders/3 reservations/of-3", |all| {
        all.reservations[2].status = Expired;
        all.products[0].reserved -= 2;
    }),
    (Code::StockDiffers, "products/1", |all| all.products[0].reserved += 1),
    (Code::StockDiffers, "products/1", |all| all.products[0].reserved = 0),
    (Code::StockDiffers, "products/3", |all| all.products[2].reserved = 1),
    (Code::ChargedNotRecorded, "payments/3 charges/3", |all| charge_of(all, "3").status = Succeeded),
    (Code::ChargedNotRecorded, "payments/999 charges/gone", |all| charge_of(all, "gone").refunded = TOTAL - 1),
    (Code::ChargedTwice, "payments/4 charges/4 charges/4-again", |all| charge_of(all, "4-again").refunded = 0),
    (Code::ChargedTwice, "payments/4 charges/4 charges/4-again", |all| charge_of(all, "4-again").refunded = 1),
    (Code::ChargedTwice, "payments/2 charges/2 charges/20", |all| charges(all).push(charge("20", 2, Succeeded))),
    (Code::PaymentNotInLedger, "payments/5", |all| charge_of(all, "5").status = Declined),
    (Code::PaymentNotInLedger, "payments/6", |all| charges(all).retain(|charge| charge.id != "6")),
    (Code::LedgerDiffers, "payments/4 charges/4", |all| charge_of(all, "4").amount = Some(euro(TOTAL + 1))),
    (Code::LedgerDiffers, "payments/4 charges/4", |all| {
        charge_of(all, "4").amount.as_mut().unwrap().currency = "USD".into();
    }),
    (Code::LedgerDiffers, "payments/5 charges/5", |all| charge_of(all, "5").refunded = 499),
    (Code::LedgerDiffers, "payments/5 charges/5", |all| charge_of(all, "5").refunded = TOTAL),
    (Code::LedgerDiffers, "payments/6 charges/6-again", |all| {
        charges(all).push(charge("6-again", 6, Succeeded));
    }),
    (Code::UnknownCharge, "charges/other", |all| charge_of(all, "other").status = Succeeded),
    (Code::UnknownCharge, "charges/other", |all| {
        *charge_of(all, "other") = Charge { reference: Some("payments/".into()), ..charge("other", 1, Succeeded) };
    }),
];

#[test]
fn each_thing_that_does_not_agree_is_found_alone() {
    for (number, (code, about, plant)) in PLANTED.iter().enumerate() {
        let mut snapshot = healthy();
        plant(&mut snapshot);
        let findings = compare(&snapshot, NOW);
        let found: Vec<_> = findings.iter().map(|finding| (finding.code, finding.about.join(" "))).collect();
        assert_eq!(found, [(*code, (*about).to_owned())], "planted number {number}: {findings:?}");
    }
}

#[test]
fn every_kind_of_finding_is_planted() {
    for code in Code::ALL {
        assert!(PLANTED.iter().any(|(planted, ..)| planted == code), "{code:?}");
    }
}

#[test]
fn a_charge_whose_outcome_did_not_arrive_is_found_on_both_sides() {
    let mut snapshot = healthy();
    payment_of(&mut snapshot, 2).created_at -= TimeDelta::microseconds(1);
    let codes: Vec<_> = compare(&snapshot, NOW).into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::OutcomeUnknown, Code::ChargedNotRecorded]);
}

#[test]
fn without_the_ledger_only_the_rest_is_compared() {
    let mut snapshot = healthy();
    charges(&mut snapshot).clear();
    let missing: Vec<_> = compare(&snapshot, NOW).into_iter().map(|finding| finding.code).collect();
    assert_eq!(missing, [Code::PaymentNotInLedger; 6]);
    snapshot.charges = None;
    assert_eq!(compare(&snapshot, NOW), []);
    snapshot.products[0].reserved = 0;
    assert_eq!(compare(&snapshot, NOW).len(), 1);
}

#[test]
fn messages_say_what_was_found() {
    let mut snapshot = healthy();
    payment_of(&mut snapshot, 4).amount = euro(TOTAL + 1);
    order_of(&mut snapshot, 2).total = Some(euro(1));
    payment_of(&mut snapshot, 2).status = PAID;
    snapshot.reservations[4].status = Expired;
    let messages: Vec<_> = compare(&snapshot, NOW).into_iter().map(|finding| finding.message).collect();
    let expected = [
        "The order waits for its payment, but 1998 EUR in place of 1 EUR is paid.",
        "The order is confirmed, but no payment of 1998 EUR is completed.",
        "The order is completed, but its items are not sold: its reservation is expired.",
        "The payment is 1999 EUR with 0 refunded, the charge 1998 EUR with 0 refunded.",
    ];
    assert_eq!(messages, expected);
}

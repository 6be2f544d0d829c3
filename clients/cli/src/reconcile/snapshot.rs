//! What the services have stored at about the same time: only what is compared.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use order_client::types::OrderStatus;
use payment_client::types::PaymentStatus;
use payment_provider_client::types::ChargeStatus;
use product_client::types::ReservationStatus;
use serde::Serialize;

/// For how long the outcome of a payment may be unknown.
const PENDING_FOR: TimeDelta = TimeDelta::minutes(1);

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) orders: Vec<Order>,
    pub(super) payments: Vec<Payment>,
    pub(super) reservations: Vec<Reservation>,
    pub(super) products: Vec<Product>,
    /// The ledger of the payment provider, unless it is left out.
    pub(super) charges: Option<Vec<Charge>>,
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) id: u64,
    pub(super) status: OrderStatus,
    /// `None`: placed without prices, so without payment and reservation.
    pub(super) total: Option<Money>,
    pub(super) payment_due_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) id: u64,
    pub(super) order_id: u64,
    pub(super) status: PaymentStatus,
    pub(super) amount: Money,
    /// In the same currency.
    pub(super) refunded: i64,
    pub(super) created_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(super) struct Reservation {
    pub(super) id: String,
    pub(super) status: ReservationStatus,
    pub(super) order_id: Option<u64>,
    /// Products, and how many pieces of each.
    pub(super) items: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Product {
    pub(super) id: u64,
    pub(super) reserved: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Charge {
    pub(super) id: String,
    pub(super) status: ChargeStatus,
    /// Like the reference, absent only if it was cancelled before it was requested.
    pub(super) amount: Option<Money>,
    /// In the same currency.
    pub(super) refunded: i64,
    pub(super) reference: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Money {
    /// In the smallest unit of the currency.
    pub(super) amount: i64,
    pub(super) currency: String,
}

impl Payment {
    /// Whether its outcome is unknown for longer than it takes to ask the provider.
    pub(super) fn is_in_doubt(&self, now: DateTime<Utc>) -> bool {
        self.status == PaymentStatus::Pending && self.created_at + PENDING_FOR < now
    }
}

impl Charge {
    /// Whether the provider has kept some of the money.
    pub(super) fn is_kept(&self) -> bool {
        self.is_made() && self.amount.as_ref().is_some_and(|money| self.refunded < money.amount)
    }

    pub(super) fn is_made(&self) -> bool {
        self.status == ChargeStatus::Succeeded
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.amount, self.currency)
    }
}

impl From<order_client::types::Order> for Order {
    fn from(order: order_client::types::Order) -> Self {
        let total = order.total.map(|money| Money { amount: money.amount.0, currency: money.currency.to_string() });
        Self { id: order.id.get(), status: order.status, total, payment_due_at: order.payment_due_at }
    }
}

impl From<payment_client::types::Payment> for Payment {
    fn from(payment: payment_client::types::Payment) -> Self {
        let amount = Money { amount: payment.amount.amount.0, currency: payment.amount.currency.to_string() };
        Self {
            id: payment.id.get(),
            order_id: payment.order_id.get(),
            status: payment.status,
            amount,
            refunded: payment.refunded.amount.0,
            created_at: payment.created_at,
        }
    }
}

impl From<product_client::types::Reservation> for Reservation {
    fn from(reservation: product_client::types::Reservation) -> Self {
        Self {
            id: reservation.reservation_id.to_string(),
            status: reservation.status,
            order_id: reservation.order_id.map(|id| id.get()),
            items: reservation.items.iter().map(|item| (item.product_id.get(), item.quantity.get())).collect(),
        }
    }
}

impl From<product_client::types::Product> for Product {
    fn from(product: product_client::types::Product) -> Self {
        // Never negative.
        Self { id: product.id.get(), reserved: product.reserved.0.unsigned_abs() }
    }
}

impl From<payment_provider_client::types::Charge> for Charge {
    fn from(charge: payment_provider_client::types::Charge) -> Self {
        let money = |money: payment_provider_client::types::Money| Money {
            amount: money.amount.0,
            currency: money.currency.to_string(),
        };
        Self {
            id: charge.charge_id.to_string(),
            status: charge.status,
            amount: charge.amount.map(money),
            refunded: charge.refunded.0,
            reference: charge.reference.map(|reference| reference.to_string()),
        }
    }
}

/// How much was compared and found.
#[derive(Serialize)]
pub(super) struct Counts {
    orders: usize,
    payments: usize,
    reservations: usize,
    products: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    charges: Option<usize>,
    findings: usize,
}

impl Counts {
    pub(super) fn of(snapshot: &Snapshot, findings: usize) -> Self {
        Self {
            orders: snapshot.orders.len(),
            payments: snapshot.payments.len(),
            reservations: snapshot.reservations.len(),
            products: snapshot.products.len(),
            charges: snapshot.charges.as_ref().map(Vec::len),
            findings,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, payments, reservations, products, charges, findings } = self;
        write!(
            formatter,
            "compared {orders} orders, {payments} payments, {reservations} reservations, {products} products, "
        )?;
        match charges {
            Some(charges) => write!(formatter, "{charges} charges: ")?,
            None => write!(formatter, "without the ledger: ")?,
        }
        write!(formatter, "{findings} findings")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_say_whether_the_ledger_was_compared() {
        for (charges, text, json) in [
            (Some(5), "5 charges", r#""products":4,"charges":5,"findings":6}"#),
            (None, "without the ledger", r#""products":4,"findings":6}"#),
        ] {
            let counts = Counts { orders: 1, payments: 2, reservations: 3, products: 4, charges, findings: 6 };
            let expected = format!("compared 1 orders, 2 payments, 3 reservations, 4 products, {text}: 6 findings");
            assert_eq!(counts.to_string(), expected);
            let start = r#"{"orders":1,"payments":2,"reservations":3,"#;
            assert_eq!(serde_json::to_string(&counts).unwrap(), format!("{start}{json}"));
        }
    }
}

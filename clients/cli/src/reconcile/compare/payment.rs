//! Orders and their payments: an order is confirmed if and only if it is paid, and a cancelled one is refunded.

use chrono::{DateTime, SecondsFormat, Utc};
use order_client::types::OrderStatus::{Cancelled, Completed, Confirmed, Created};
use payment_client::types::PaymentStatus;

use super::index::Index;
use crate::reconcile::finding::{Code, Finding};
use crate::reconcile::snapshot::{Money, Order, Payment};

pub(super) fn compare(index: &Index<'_>, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for order in &index.snapshot.orders {
        // Others are not paid.
        if let Some(total) = &order.total {
            of_order(order, total, index.payments_of(order), now, &mut findings);
        }
    }
    for (order_id, payments) in &index.payments_of_orders {
        of_payments(*order_id, payments, index, now, &mut findings);
    }
    findings
}

fn of_order(order: &Order, total: &Money, payments: &[&Payment], now: DateTime<Utc>, findings: &mut Vec<Finding>) {
    let completed = || payments.iter().filter(|payment| payment.status == PaymentStatus::Completed);
    let is_charged = |payment: &&Payment| matches!(payment.status, PaymentStatus::Completed | PaymentStatus::Refunded);
    match order.status {
        Created => {
            for payment in completed() {
                let message = match &payment.amount {
                    amount if amount == total => format!("The order waits for its payment, but {total} is paid."),
                    amount => format!("The order waits for its payment, but {amount} in place of {total} is paid."),
                };
                findings.push(Finding::new(Code::PaidNotConfirmed, [about(order), about_payment(payment)], message));
            }
            if let Some(due) = order.payment_due_at.filter(|due| *due < now) {
                let due = due.to_rfc3339_opts(SecondsFormat::Secs, true);
                let message = format!("The order is still created, but had to be paid until {due}.");
                findings.push(Finding::new(Code::OrderOverdue, [about(order)], message));
            }
        }
        Confirmed if !completed().any(|payment| payment.amount == *total) => {
            let message = format!("The order is confirmed, but no payment of {total} is completed.");
            findings.push(Finding::new(Code::ConfirmedNotPaid, [about(order)], message));
        }
        Completed if !payments.iter().any(is_charged) => {
            let message = format!("The order of {total} is completed, but it was never paid.");
            findings.push(Finding::new(Code::CompletedNotPaid, [about(order)], message));
        }
        Cancelled => {
            for payment in completed() {
                let Money { amount, currency } = &payment.amount;
                let left = amount - payment.refunded;
                // Nothing was charged for what is free.
                if left == 0 {
                    continue;
                }
                let message = format!("The order is cancelled, but {left} {currency} of its payment are not refunded.");
                let about = [about(order), about_payment(payment)];
                findings.push(Finding::new(Code::CancelledNotRefunded, about, message));
            }
        }
        Confirmed | Completed => {}
    }
}

/// Checks the payments of the order `order_id`, which may not exist.
fn of_payments(
    order_id: u64,
    payments: &[&Payment],
    index: &Index<'_>,
    now: DateTime<Utc>,
    findings: &mut Vec<Finding>,
) {
    let order = index.orders.get(&order_id);
    let is_live = |payment: &&&Payment| matches!(payment.status, PaymentStatus::Pending | PaymentStatus::Completed);
    let live: Vec<_> = payments.iter().filter(is_live).collect();
    if live.len() > 1 && order.is_none_or(|order| order.total.is_some()) {
        let about = [format!("orders/{order_id}")].into_iter().chain(live.iter().map(|payment| about_payment(payment)));
        let message = format!("{} payments of the order are pending or completed.", live.len());
        findings.push(Finding::new(Code::PaidTwice, about, message));
    }
    for payment in payments {
        if payment.is_in_doubt(now) {
            let since = payment.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let message = format!("Whether {} were charged is unknown since {since}.", payment.amount);
            let about = [format!("orders/{order_id}"), about_payment(payment)];
            findings.push(Finding::new(Code::OutcomeUnknown, about, message));
        }
        if order.is_none() && payment.status == PaymentStatus::Completed {
            let message = format!("{} are paid for an order that does not exist.", payment.amount);
            let about = [format!("orders/{order_id}"), about_payment(payment)];
            findings.push(Finding::new(Code::PaymentWithoutOrder, about, message));
        }
    }
}

fn about(order: &Order) -> String {
    format!("orders/{}", order.id)
}

fn about_payment(payment: &Payment) -> String {
    format!("payments/{}", payment.id)
}

//! Payments and the ledger of the provider: both know of the same money.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use payment_client::types::PaymentStatus;

use super::index::Index;
use crate::reconcile::finding::{Code, Finding};
use crate::reconcile::snapshot::{Charge, Money, Payment};

pub(super) fn compare(index: &Index<'_>, charges: &[Charge], now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut charges_of: HashMap<u64, Vec<&Charge>> = HashMap::new();
    for charge in charges.iter().filter(|charge| charge.is_made()) {
        match payment_id(charge) {
            Some(id) if index.payments.contains_key(&id) => charges_of.entry(id).or_default().push(charge),
            id if charge.is_kept() => findings.push(without_payment(charge, id)),
            // Given back.
            _ => {}
        }
    }
    for payment in &index.snapshot.payments {
        let charges = charges_of.get(&payment.id).map_or(&[][..], Vec::as_slice);
        findings.extend(of_payment(payment, charges, now));
    }
    findings
}

/// The payment that a charge is for.
fn payment_id(charge: &Charge) -> Option<u64> {
    charge.reference.as_deref()?.strip_prefix("payments/")?.parse().ok()
}

/// Money was kept for `payment_id`, which does not exist; `None`: for somebody else.
fn without_payment(charge: &Charge, payment_id: Option<u64>) -> Finding {
    match payment_id {
        Some(id) => {
            let message = format!("{} are charged for a payment that does not exist.", describe(charge));
            Finding::new(Code::ChargedNotRecorded, [format!("payments/{id}"), about(charge)], message)
        }
        None => {
            let reference = charge.reference.as_deref().unwrap_or_default();
            let message = format!("{} are charged for \"{reference}\", which is no payment.", describe(charge));
            Finding::new(Code::UnknownCharge, [about(charge)], message)
        }
    }
}

/// Compares a payment with the charges that were made for it.
fn of_payment(payment: &Payment, charges: &[&Charge], now: DateTime<Utc>) -> Option<Finding> {
    let kept: Vec<&&Charge> = charges.iter().filter(|charge| charge.is_kept()).collect();
    let id = format!("payments/{}", payment.id);
    if kept.len() > 1 {
        let about = [id].into_iter().chain(kept.iter().map(|charge| about(charge)));
        return Some(Finding::new(Code::ChargedTwice, about, format!("The payment is charged {} times.", kept.len())));
    }
    let is_charged = matches!(payment.status, PaymentStatus::Completed | PaymentStatus::Refunded);
    if !is_charged {
        let is_final = payment.status == PaymentStatus::Failed || payment.is_in_doubt(now);
        let charge = kept.first().filter(|_| is_final)?;
        let message = format!("{} are charged, but the payment is {}.", describe(charge), payment.status);
        return Some(Finding::new(Code::ChargedNotRecorded, [id, about(charge)], message));
    }
    let agrees =
        |charge: &&&Charge| charge.amount.as_ref() == Some(&payment.amount) && charge.refunded == payment.refunded;
    // All others were given back.
    let charge = kept.first().copied().or_else(|| charges.iter().find(agrees)).or(charges.first());
    let Some(charge) = charge else {
        let message = format!("The payment of {} is {}, but nothing is charged.", payment.amount, payment.status);
        return (payment.amount.amount > 0).then(|| Finding::new(Code::PaymentNotInLedger, [id], message));
    };
    if agrees(&charge) {
        return None;
    }
    let Money { amount, currency } = &payment.amount;
    let message = format!(
        "The payment is {amount} {currency} with {} refunded, the charge {} with {} refunded.",
        payment.refunded,
        describe(charge),
        charge.refunded
    );
    Some(Finding::new(Code::LedgerDiffers, [id, about(charge)], message))
}

fn about(charge: &Charge) -> String {
    format!("charges/{}", charge.id)
}

fn describe(charge: &Charge) -> String {
    charge.amount.as_ref().map_or_else(String::new, Money::to_string)
}

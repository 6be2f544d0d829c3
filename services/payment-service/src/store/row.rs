//! The rows of payments and refunds.

use std::io::Error;

use chrono::{DateTime, SubsecRound as _, Utc};
use contract::money::{Currency, Money};
use payment_service_api::{FailureReason, Payment, PaymentStatus, Refund, RefundStatus};
use service_runtime::database::DatabaseError;

/// The columns of a [`PaymentRow`].
macro_rules! columns {
    () => {
        "id, order_id, user_id, amount, currency, refunded, status, failure_reason, created_at, updated_at, charge_id"
    };
}
pub(super) use columns;

pub(super) type PaymentRow =
    (i64, i64, i64, i64, String, i64, String, Option<String>, DateTime<Utc>, DateTime<Utc>, String);

/// The columns of a [`RefundRow`].
macro_rules! refund_columns {
    () => {
        "id, payment_id, amount, currency, status, created_at, updated_at"
    };
}
pub(super) use refund_columns;

pub(super) type RefundRow = (i64, i64, i64, String, String, DateTime<Utc>, DateTime<Utc>);

/// The payment in a row.
pub(super) fn payment(row: PaymentRow) -> sqlx::Result<Payment> {
    charged_payment(row).map(|(payment, _)| payment)
}

/// The payment in a row, and the id of its charge.
pub(super) fn charged_payment(row: PaymentRow) -> sqlx::Result<(Payment, String)> {
    let (id, order_id, user_id, amount, currency, refunded, status, reason, created_at, updated_at, charge_id) = row;
    let reason = reason.map(|reason| known(FailureReason::ALL, FailureReason::as_str, &reason)).transpose()?;
    let payment = Payment {
        id: own(id)?,
        order_id: own(order_id)?,
        user_id: own(user_id)?,
        amount: money(amount, currency.clone())?,
        refunded: money(refunded, currency)?,
        status: known(PaymentStatus::ALL, PaymentStatus::as_str, &status)?,
        failure_reason: reason,
        created_at: created_at.into(),
        updated_at: updated_at.into(),
    };
    Ok((payment, charge_id))
}

/// The refund in a row.
pub(super) fn refund(
    (id, payment_id, amount, currency, status, created_at, updated_at): RefundRow,
) -> sqlx::Result<Refund> {
    Ok(Refund {
        id: own(id)?,
        payment_id: own(payment_id)?,
        amount: money(amount, currency)?,
        status: known(RefundStatus::ALL, RefundStatus::as_str, &status)?,
        created_at: created_at.into(),
        updated_at: updated_at.into(),
    })
}

/// An amount as it is stored.
pub(super) fn money(amount: i64, currency: String) -> sqlx::Result<Money> {
    Ok(Money { amount: own(amount)?, currency: Currency::from_stored(currency) })
}

/// A number as the contract has it.
pub(super) fn own<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(number: i64) -> sqlx::Result<T> {
    number.try_into().map_err(DatabaseError::decode_error)
}

/// The one of `all` that is stored as `text`.
pub(super) fn known<T: Copy, const N: usize>(
    all: [T; N],
    name: impl Fn(T) -> &'static str,
    text: &str,
) -> sqlx::Result<T> {
    let found = all.into_iter().find(|value| name(*value) == text);
    found.ok_or_else(|| DatabaseError::decode_error(Error::other("unknown value")))
}

/// As sqlx writes a time to SQLite, where times are compared as text.
pub(super) fn time_text(time: DateTime<Utc>) -> String {
    time.trunc_subsecs(6).to_rfc3339()
}

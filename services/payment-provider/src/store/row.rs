//! The rows of charges and refunds.

use chrono::{DateTime, Utc};
use contract::money::{Currency, Money};
use payment_provider_api::{Charge, ChargeId, ChargeStatus, PaymentMethod, Reference, Refund, RefundId};
use service_runtime::database::DatabaseError;

/// A charge as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCharge {
    /// Its position in the order of a list.
    pub number: i64,
    /// The charge.
    pub charge: Charge,
    /// What it was charged to.
    pub payment_method: Option<PaymentMethod>,
}

/// The columns of a [`ChargeRow`].
macro_rules! columns {
    () => {
        "id, charge_id, status, amount, currency, refunded, reference, payment_method, created_at"
    };
}
pub(super) use columns;

/// The beginning of a statement that reads [`ChargeRow`]s, up to its condition.
macro_rules! select {
    () => {
        concat!("SELECT ", $crate::store::row::columns!(), " FROM charges")
    };
}
pub(super) use select;

pub(super) type ChargeRow =
    (i64, String, String, Option<i64>, Option<String>, i64, Option<String>, Option<String>, DateTime<Utc>);

/// The charge in a row.
pub(super) fn stored_charge(row: ChargeRow) -> sqlx::Result<StoredCharge> {
    let (number, charge_id, status, amount, currency, refunded, reference, payment_method, created_at) = row;
    let known = ChargeStatus::ALL.into_iter().find(|known| known.as_str() == status);
    let charge = Charge {
        charge_id: ChargeId::from_stored(charge_id),
        status: known.ok_or_else(|| DatabaseError::decode_error(std::io::Error::other("unknown status")))?,
        amount: amount.zip(currency).map(|(amount, currency)| money(amount, currency)).transpose()?,
        refunded: refunded.try_into().map_err(DatabaseError::decode_error)?,
        reference: reference.map(Reference::from_stored),
        created_at: created_at.into(),
    };
    Ok(StoredCharge { number, charge, payment_method: payment_method.map(PaymentMethod::from_stored) })
}

/// The ids of refund and charge, amount, currency and time.
pub(super) type RefundRow = (String, String, i64, String, DateTime<Utc>);

/// The refund in a row.
pub(super) fn refund((refund_id, charge_id, amount, currency, created_at): RefundRow) -> sqlx::Result<Refund> {
    Ok(Refund {
        refund_id: RefundId::from_stored(refund_id),
        charge_id: ChargeId::from_stored(charge_id),
        amount: money(amount, currency)?,
        created_at: created_at.into(),
    })
}

fn money(amount: i64, currency: String) -> sqlx::Result<Money> {
    let amount = amount.try_into().map_err(DatabaseError::decode_error)?;
    Ok(Money { amount, currency: Currency::from_stored(currency) })
}

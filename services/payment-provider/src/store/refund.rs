//! Refunds.

use chrono::{DateTime, SubsecRound, Utc};
use payment_provider_api::{ChargeId, ChargeStatus, Refund, RefundCreate, RefundId};
use service_runtime::database::DatabaseError;
use service_runtime::with_pool;

use super::ChargeStore;
use super::outcome::{Refusal, Stored};
use super::row::{RefundRow, refund};

impl ChargeStore {
    /// Stores a refund of a charge; if the same one is stored already, returns it.
    pub async fn refund(
        &self,
        charge_id: &ChargeId,
        new: &RefundCreate,
        at: DateTime<Utc>,
    ) -> Result<Result<Stored<Refund>, Refusal>, DatabaseError> {
        let at = at.trunc_subsecs(6);
        let RefundCreate { refund_id, amount } = new;
        let is_made = with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            let update = sqlx::query(
                "UPDATE charges SET refunded = refunded + $2
                 WHERE charge_id = $1 AND status = $3 AND currency = $4 AND $2 > 0 AND refunded + $2 <= amount",
            )
            .bind(charge_id.as_str())
            .bind(amount.amount.get())
            .bind(ChargeStatus::Succeeded.as_str())
            .bind(amount.currency.as_str());
            let is_possible = update.execute(&mut *transaction).await?.rows_affected() > 0;
            if is_possible {
                let insert = sqlx::query(
                    "INSERT INTO refunds (refund_id, charge_id, amount, currency, created_at)
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (refund_id) DO NOTHING",
                )
                .bind(refund_id.as_str())
                .bind(charge_id.as_str())
                .bind(amount.amount.get())
                .bind(amount.currency.as_str())
                .bind(at);
                if insert.execute(&mut *transaction).await?.rows_affected() > 0 {
                    transaction.commit().await?;
                    return Ok(true);
                }
            }
            // Nothing is refunded a second time.
            transaction.rollback().await?;
            Ok(false)
        })?;
        if is_made {
            let (refund_id, charge_id, amount) = (refund_id.clone(), charge_id.clone(), amount.clone());
            let value = Refund { refund_id, charge_id, amount, created_at: at.into() };
            return Ok(Ok(Stored { value, is_new: true }));
        }
        self.made_before(charge_id, new).await
    }

    /// The refund, if it was made before, or why it cannot be made.
    async fn made_before(
        &self,
        charge_id: &ChargeId,
        new: &RefundCreate,
    ) -> Result<Result<Stored<Refund>, Refusal>, DatabaseError> {
        if let Some(value) = self.find_refund(&new.refund_id).await? {
            let is_same = value.charge_id == *charge_id && value.amount == new.amount;
            return Ok(if is_same { Ok(Stored { value, is_new: false }) } else { Err(Refusal::RefundIdTaken) });
        }
        let Some(stored) = self.find(charge_id).await? else { return Ok(Err(Refusal::ChargeNotFound)) };
        Ok(Err(match (stored.charge.status, stored.charge.amount) {
            (ChargeStatus::Succeeded, Some(amount)) => Refusal::TooLarge {
                left: amount.amount.get() - stored.charge.refunded.get(),
                currency: amount.currency,
            },
            (status, _) => Refusal::NotRefundable(status),
        }))
    }

    /// The refund with this id.
    pub async fn find_refund(&self, id: &RefundId) -> Result<Option<Refund>, DatabaseError> {
        let rows: Vec<RefundRow> = with_pool!(self.database.reader(), |pool| async {
            let find = "SELECT refund_id, charge_id, amount, currency, created_at FROM refunds WHERE refund_id = $1";
            sqlx::query_as(find).bind(id.as_str()).fetch_all(pool).await
        })?;
        Ok(rows.into_iter().next().map(refund).transpose()?)
    }
}

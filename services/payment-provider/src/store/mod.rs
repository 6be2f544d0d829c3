//! The ledger in the database: all SQL of the service.

mod charge;
mod outcome;
mod refund;
mod row;

use chrono::{DateTime, SubsecRound, Utc};
use payment_provider_api::{Charge, ChargeCreate, ChargeId, ChargeStatus, Reference};
use service_runtime::database::{Batches, Connections, Database, DatabaseError, Pool};
use service_runtime::with_pool;

pub use outcome::{Refusal, Stored};
pub use row::StoredCharge;

use charge::{NewCharge, charge_all};
use row::{ChargeRow, select, stored_charge};

/// The stored charges and refunds.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct ChargeStore {
    database: Database,
    charges: Batches<NewCharge, Result<Stored<Charge>, Refusal>>,
}

impl ChargeStore {
    /// The charges and refunds in `database`.
    pub fn new(database: Database) -> Self {
        let charges = Batches::new(&database, charge_all);
        Self { database, charges }
    }

    /// Stores a charge with this status; if the same one is stored already, returns it. One that is cancelled stays
    /// cancelled, and now has the content of `create`.
    pub async fn charge(
        &self,
        create: ChargeCreate,
        status: ChargeStatus,
        at: DateTime<Utc>,
    ) -> Result<Result<Stored<Charge>, Refusal>, DatabaseError> {
        self.charges.run(NewCharge { create, status, created_at: at.trunc_subsecs(6) }).await
    }

    /// Stores that a charge is cancelled; if one is stored already, returns it.
    pub async fn cancel(&self, id: &ChargeId, at: DateTime<Utc>) -> Result<Stored<Charge>, DatabaseError> {
        let cancelled = with_pool!(self.database.writer(), |pool| async {
            let insert = sqlx::query(
                "INSERT INTO charges (charge_id, status, refunded, created_at) VALUES ($1, $2, 0, $3)
                 ON CONFLICT (charge_id) DO NOTHING",
            )
            .bind(id.as_str())
            .bind(ChargeStatus::Cancelled.as_str())
            .bind(at.trunc_subsecs(6));
            Ok(insert.execute(pool).await?.rows_affected())
        })?;
        // Charges are never removed.
        let stored = self.find(id).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Stored { value: stored.charge, is_new: cancelled > 0 })
    }

    /// Stores that the first request for a charge has failed. Returns whether it was the first.
    pub async fn fail_first(&self, id: &ChargeId) -> Result<bool, DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let insert = "INSERT INTO failed_charges (charge_id) VALUES ($1) ON CONFLICT (charge_id) DO NOTHING";
            Ok(sqlx::query(insert).bind(id.as_str()).execute(pool).await?.rows_affected() > 0)
        })
    }

    /// The charge with this id.
    pub async fn find(&self, id: &ChargeId) -> Result<Option<StoredCharge>, DatabaseError> {
        let rows: Vec<ChargeRow> = with_pool!(self.database.reader(), |pool| async {
            let find = sqlx::query_as(concat!(select!(), " WHERE charge_id = $1")).bind(id.as_str());
            find.fetch_all(pool).await
        })?;
        Ok(rows.into_iter().next().map(stored_charge).transpose()?)
    }

    /// At most `limit` charges with numbers below `before`, of this reference if there is one, by descending number.
    pub async fn list_before(
        &self,
        before: i64,
        reference: Option<&Reference>,
        limit: i64,
    ) -> Result<Vec<StoredCharge>, DatabaseError> {
        let condition = match (reference, &self.database.reader().connections) {
            (None, _) => " WHERE id < $1 ORDER BY id DESC",
            // With an equality PostgreSQL could scan the newest charges of all references. Row comparisons and this
            // order fit only the index by reference. Every id is above 0.
            (Some(_), Connections::Postgres(_)) => {
                " WHERE (reference, id) > ($2, 0) AND (reference, id) < ($2, $1) ORDER BY reference DESC, id DESC"
            }
            (Some(_), Connections::Sqlite(_)) => " WHERE id < $1 AND reference = $2 ORDER BY id DESC",
        };
        let rows: Vec<ChargeRow> = with_pool!(self.database.reader(), |pool| async {
            let mut query = Pool::query_for(pool, select!());
            // Not bound: PostgreSQL would make a new plan for every page of an unknown length.
            query.push(condition).push(" LIMIT ").push(limit);
            let mut query = query.build_query_as().bind(before);
            if let Some(reference) = reference {
                query = query.bind(reference.as_str());
            }
            query.fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(stored_charge).collect::<sqlx::Result<_>>()?)
    }
}

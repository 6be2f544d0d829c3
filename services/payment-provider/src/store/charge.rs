//! Storing new charges, many by one statement.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use payment_provider_api::{Charge, ChargeCreate, ChargeStatus, PaymentMethod};
use serde::Serialize;
use service_runtime::database::{BatchConnection, Connections, Database, DatabaseError, InList, fail_all};
use service_runtime::with_batch_connection;
use sqlx::types::Json;

use super::outcome::{Refusal, Stored};
use super::row::{ChargeRow, StoredCharge, columns, select, stored_charge};

/// A charge to store, with its status unless it is cancelled.
#[derive(Debug)]
pub(super) struct NewCharge {
    pub(super) create: ChargeCreate,
    pub(super) status: ChargeStatus,
    pub(super) created_at: DateTime<Utc>,
}

type Outcome = Result<Stored<Charge>, Refusal>;

/// Stores each of `charges`, independently of each other.
pub(super) async fn charge_all(database: Database, charges: Vec<NewCharge>) -> Vec<Result<Outcome, DatabaseError>> {
    match write(&database, &charges).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        // No charge alone can be the cause: the contract allows only what the table accepts.
        Err(error) => fail_all(charges.len(), &error),
    }
}

async fn write(database: &Database, charges: &[NewCharge]) -> Result<Vec<Outcome>, DatabaseError> {
    let insert = match database.writer().connections {
        Connections::Postgres(_) => POSTGRES,
        Connections::Sqlite(_) => SQLITE,
    };
    // The first request for each id, because a statement can write a row only once; in the order of the ids, so that
    // instances do not deadlock.
    let first: BTreeMap<&str, &NewCharge> = charges.iter().rev().map(|charge| (charge.id(), charge)).collect();
    // One parameter for any number of rows, so that the statement is prepared once.
    let rows: Vec<NewRow<'_>> = first.values().map(|charge| charge.row()).collect();
    let rows = serde_json::value::to_raw_value(&rows).map_err(DatabaseError::decode_error)?;
    with_batch_connection!(database.writer(), |connection| async {
        let mut select = BatchConnection::query_for(&connection, concat!(select!(), " WHERE charge_id"));
        let written: Vec<ChargeRow> = sqlx::query_as(insert).bind(Json(&*rows)).fetch_all(&mut *connection).await?;
        let mut stored: HashMap<String, Stored<StoredCharge>> = HashMap::new();
        for row in written {
            let value = stored_charge(row)?;
            // One that is cancelled was stored before, without its content.
            let is_new = value.charge.status != ChargeStatus::Cancelled;
            stored.insert(value.charge.charge_id.as_str().to_owned(), Stored { value, is_new });
        }
        let others: Vec<String> =
            first.keys().filter(|id| !stored.contains_key(**id)).map(|id| (*id).to_owned()).collect();
        if !others.is_empty() {
            InList::push_in_list(&mut select, others)?;
            let found: Vec<ChargeRow> = select.build_query_as().fetch_all(&mut *connection).await?;
            for row in found {
                let value = stored_charge(row)?;
                stored.insert(value.charge.charge_id.as_str().to_owned(), Stored { value, is_new: false });
            }
        }
        charges.iter().map(|charge| charge.outcome(stored.get_mut(charge.id()))).collect::<sqlx::Result<_>>()
    })
}

/// Stores the charges in `$1`, and the content of those that are cancelled and have none.
macro_rules! insert {
    ($rows:literal) => {
        concat!(
            "INSERT INTO charges (charge_id, status, reference, payment_method, amount, currency, refunded,
                                  created_at) ",
            $rows,
            " ON CONFLICT (charge_id) DO UPDATE
                 SET reference = excluded.reference, payment_method = excluded.payment_method,
                     amount = excluded.amount, currency = excluded.currency
                 WHERE charges.amount IS NULL
             RETURNING ",
            columns!()
        )
    };
}

const POSTGRES: &str = insert!(
    "SELECT charge_id, status, reference, payment_method, amount, currency, 0, created_at
     FROM jsonb_to_recordset($1::jsonb)
          AS new (charge_id text, status text, reference text, payment_method text, amount bigint, currency text,
                  created_at timestamptz)"
);

const SQLITE: &str = insert!(
    "SELECT value ->> 'charge_id', value ->> 'status', value ->> 'reference', value ->> 'payment_method',
            value ->> 'amount', value ->> 'currency', 0, value ->> 'created_at'
     FROM json_each($1) WHERE true"
);

/// The values of a new row.
#[derive(Serialize)]
struct NewRow<'a> {
    charge_id: &'a str,
    status: &'static str,
    reference: &'a str,
    payment_method: Option<&'a str>,
    amount: i64,
    currency: &'a str,
    created_at: String,
}

impl NewCharge {
    fn id(&self) -> &str {
        self.create.charge_id.as_str()
    }

    fn row(&self) -> NewRow<'_> {
        let ChargeCreate { charge_id, amount, payment_method, reference } = &self.create;
        NewRow {
            charge_id: charge_id.as_str(),
            status: self.status.as_str(),
            reference: reference.as_str(),
            payment_method: payment_method.as_ref().map(PaymentMethod::as_str),
            amount: amount.amount.get(),
            currency: amount.currency.as_str(),
            // As sqlx writes a time to SQLite.
            created_at: self.created_at.to_rfc3339(),
        }
    }

    /// What became of this charge, if its id belongs to `stored`. Of equal charges only the first is new.
    fn outcome(&self, stored: Option<&mut Stored<StoredCharge>>) -> sqlx::Result<Outcome> {
        let ChargeCreate { charge_id: _, amount, payment_method, reference } = &self.create;
        let Stored { value: StoredCharge { charge, payment_method: stored_method, .. }, is_new } =
            stored.ok_or(sqlx::Error::RowNotFound)?;
        let is_same = charge.amount.as_ref() == Some(amount)
            && charge.reference.as_ref() == Some(reference)
            && stored_method == payment_method;
        if !is_same {
            return Ok(Err(Refusal::ChargeIdTaken));
        }
        Ok(Ok(Stored { value: charge.clone(), is_new: std::mem::take(is_new) }))
    }
}

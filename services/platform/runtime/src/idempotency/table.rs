//! The table `idempotency_keys`, which every service has.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use contract::answer::Created;
use sqlx::database::HasStatementCache;
use sqlx::{Encode, Executor, IntoArguments, QueryBuilder, Transaction, Type};

use super::claim::Claim;
use crate::database::{BatchConnection, Database, DatabaseError, InList, Migration, fail_all};
use crate::purge::Memory;

/// The step that creates the table: version 2 of every service's schema.
pub(crate) const MIGRATION: Migration = Migration::new(
    "0002_create_idempotency_keys",
    include_str!("../../../../../migrations/every-service/0002_create_idempotency_keys.sql"),
);

/// How long the responses are stored.
pub(crate) const MEMORY: Memory = Memory { table: "idempotency_keys", retention: TimeDelta::hours(24) };

/// A response stored under a key.
#[derive(Clone, Debug)]
pub(super) struct StoredResponse {
    pub(super) fingerprint: String,
    pub(super) body: String,
    pub(super) location: String,
}

/// The responses stored under each of `keys`.
pub(super) async fn look_up(
    database: Database,
    keys: Vec<String>,
) -> Vec<Result<Option<StoredResponse>, DatabaseError>> {
    let rows: Result<Vec<(String, String, String, String)>, DatabaseError> =
        crate::with_batch_connection!(database.reader(), |connection| async {
            let mut query = BatchConnection::query_for(
                &connection,
                "SELECT idempotency_key, fingerprint, body, location FROM idempotency_keys WHERE idempotency_key",
            );
            InList::push_in_list(&mut query, keys.clone())?;
            query.build_query_as().fetch_all(&mut *connection).await
        });
    let stored: HashMap<String, StoredResponse> = match rows {
        Ok(rows) => rows
            .into_iter()
            .map(|(key, fingerprint, body, location)| (key, StoredResponse { fingerprint, body, location }))
            .collect(),
        Err(error) => return fail_all(keys.len(), &error),
    };
    keys.iter().map(|key| Ok(stored.get(key).cloned())).collect()
}

impl Claim {
    /// Stores each response under its key, with its time, in the transaction that writes what they are about.
    /// [`DatabaseError::UniqueViolation`]: another process has stored one of the keys first.
    pub async fn store_responses<T, DB>(
        transaction: &mut Transaction<'_, DB>,
        mut responses: Vec<(&Self, &Created<T>, DateTime<Utc>)>,
    ) -> sqlx::Result<()>
    where
        DB: sqlx::Database + HasStatementCache,
        DB::Arguments: IntoArguments<DB>,
        for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
        for<'q> &'q str: Encode<'q, DB> + Type<DB>,
        for<'q> DateTime<Utc>: Encode<'q, DB> + Type<DB>,
    {
        // The same lock order in every process, so that there is no deadlock.
        let number = responses.len();
        responses.sort_unstable_by_key(|(claim, ..)| claim.0.key.as_str());
        let mut query =
            QueryBuilder::new("INSERT INTO idempotency_keys (idempotency_key, fingerprint, body, location, kept_at) ");
        query.push_values(responses, |mut row, (Self(claimed), response, time)| {
            row.push_bind(claimed.key.as_str()).push_bind(claimed.fingerprint.as_str());
            row.push_bind(response.body.as_str()).push_bind(response.location.as_str());
            row.push_bind(time.trunc_subsecs(6));
        });
        query.push(" ON CONFLICT (idempotency_key) DO NOTHING RETURNING kept_at");
        // The text differs with the number of keys, which would fill the statement cache.
        let stored = query.build().persistent(false).fetch_all(&mut **transaction).await?.len();
        if stored == number { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
    }
}

/// Removes the responses about what is at `location`, in the transaction that deletes it: they may hold personal data.
/// The table needs an index by `location` in the schema of a service that deletes.
pub async fn remove_responses<DB>(transaction: &mut Transaction<'_, DB>, location: &str) -> sqlx::Result<()>
where
    DB: sqlx::Database + HasStatementCache,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    let delete = sqlx::query("DELETE FROM idempotency_keys WHERE location = $1").bind(location);
    delete.execute(&mut **transaction).await.map(|_| ())
}

//! Answers that are kept under their `Idempotency-Key`, so that a repeated request creates nothing twice.
//!
//! A key is kept in the transaction that writes what it created: there is nothing between "not done" and "done", and a
//! crash leaves nothing behind. While a request with a key is being worked on, this process refuses others with the
//! same key; of two processes on one database, the unique key lets one write, and the other finds its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use contract::error_code::{IDEMPOTENCY_KEY_IN_USE, IDEMPOTENCY_KEY_REUSED};
use contract::idempotency::IdempotencyKey;
use dropshot::HttpError;
use rusqlite::Connection;
use serde::Serialize;
use sha2::{Digest, Sha256};
use slog::{Logger, info, warn};
use sqlx::database::HasStatementCache;
use sqlx::{Encode, Executor, IntoArguments, QueryBuilder, Transaction, Type};
use tokio::task::JoinHandle;

use crate::database::{BatchConnection, Batches, Database, DatabaseError, InList, Pool, fail_all, time_text};
use crate::{with_batch_connection, with_pool};

/// How long an answer is kept at least.
const KEPT_FOR: chrono::TimeDelta = chrono::TimeDelta::hours(24);
/// How often older ones are removed.
const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How many are removed at a time: few, so that nobody waits for it.
const PURGE_BATCH: u64 = 500;

/// Why a request with a key is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key was used for another request.
    #[error("the key was used with another body")]
    Reused,
    /// This process still works on a request with the key.
    #[error("a request with the key is being worked on")]
    InUse,
    /// It is not known: the database does not say.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<KeyError> for HttpError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Reused => IDEMPOTENCY_KEY_REUSED.to_error(),
            KeyError::InUse => IDEMPOTENCY_KEY_IN_USE.to_error(),
            KeyError::Database(error) => error.into(),
        }
    }
}

/// What is answered about a `Row` that was just written.
pub type AnswerOf<Row, T> = fn(&Row) -> serde_json::Result<Created<T>>;

/// The SHA-256 of what a request asks for, in Base64.
type Fingerprint = String;

/// Fingerprint, body and location that are kept under a key.
type StoredResponse = (Fingerprint, String, String);

/// The keys of a service and the answers kept under them, in its table `idempotency_keys`.
#[derive(Clone, Debug)]
pub struct Keys {
    database: Database,
    lookups: Batches<String, Option<StoredResponse>>,
    in_use: Arc<Mutex<HashMap<IdempotencyKey, Fingerprint>>>,
}

/// A key that is being worked on, until the last clone of this is dropped.
#[derive(Clone, Debug)]
pub struct Claim(Arc<Claimed>);

#[derive(Debug)]
struct Claimed {
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    in_use: Arc<Mutex<HashMap<IdempotencyKey, Fingerprint>>>,
}

impl Keys {
    /// The keys in `database`.
    pub fn new(database: Database) -> Self {
        Self { lookups: Batches::new(&database, look_up), database, in_use: Arc::default() }
    }

    /// Takes `key` for `request` to `operation`; without a key there is nothing to take. What `request` asks for is its
    /// JSON, whatever spaces and order it was written in.
    pub fn claim(
        &self,
        operation: &str,
        key: Option<IdempotencyKey>,
        request: &impl Serialize,
    ) -> Result<Option<Claim>, KeyError> {
        let Some(key) = key else { return Ok(None) };
        let request = serde_json::to_vec(&(operation, request))
            .map_err(|error| DatabaseError::from(DatabaseError::unreadable(error)))?;
        let fingerprint = STANDARD_NO_PAD.encode(Sha256::digest(request));
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        match in_use.get(&key) {
            Some(other) if *other != fingerprint => return Err(KeyError::Reused),
            Some(_) => return Err(KeyError::InUse),
            None => in_use.insert(key.clone(), fingerprint.clone()),
        };
        Ok(Some(Claim(Arc::new(Claimed { key, fingerprint, in_use: Arc::clone(&self.in_use) }))))
    }

    /// The answer kept under the key of `claim`.
    pub async fn answer<T>(&self, claim: Option<&Claim>) -> Result<Option<Created<T>>, KeyError> {
        let Some(claim) = claim else { return Ok(None) };
        match self.lookups.run(claim.0.key.as_str().to_owned()).await? {
            None => Ok(None),
            Some((fingerprint, ..)) if fingerprint != claim.0.fingerprint => Err(KeyError::Reused),
            Some((_, body, location)) => Ok(Some(Created::replay(body, location))),
        }
    }

    /// Removes the keys kept before `time`; gives their number.
    pub async fn purge(&self, time: DateTime<Utc>) -> Result<u64, DatabaseError> {
        let mut all = 0;
        loop {
            let some = with_pool!(self.database.writer(), |pool| async {
                // ListQuery the index by age alone: to look the keys up again PostgreSQL may read the whole table.
                let time = time.trunc_subsecs(6);
                let mut query = Pool::query_for(pool, "DELETE FROM idempotency_keys WHERE kept_at < ");
                query
                    .push_bind(time)
                    .push(" AND kept_at <= COALESCE((SELECT kept_at FROM idempotency_keys WHERE kept_at < ");
                query.push_bind(time).push(" ORDER BY kept_at LIMIT 1 OFFSET ").push(PURGE_BATCH - 1).push("), ");
                query.push_bind(time).push(")");
                Ok(query.build().execute(pool).await?.rows_affected())
            })?;
            all += some;
            if some < PURGE_BATCH {
                return Ok(all);
            }
        }
    }

    /// Removes old keys now and every hour, until what is returned is dropped.
    pub(crate) fn purge_hourly(self, log: Logger) -> Purge {
        Purge(tokio::spawn(async move {
            loop {
                match self.purge(Utc::now() - KEPT_FOR).await {
                    Ok(0) => {}
                    Ok(number) => info!(log, "removed old idempotency keys"; "number" => number),
                    Err(error) => warn!(log, "cannot remove old idempotency keys"; "error" => error.to_string()),
                }
                tokio::time::sleep(PURGE_INTERVAL).await;
            }
        }))
    }
}

/// What is kept under each of `keys`.
async fn look_up(database: Database, keys: Vec<String>) -> Vec<Result<Option<StoredResponse>, DatabaseError>> {
    let rows: Result<Vec<(String, String, String, String)>, DatabaseError> =
        with_batch_connection!(database.reader(), |connection| async {
            let mut query = BatchConnection::query_for(
                &connection,
                "SELECT idempotency_key, fingerprint, body, location FROM idempotency_keys WHERE idempotency_key",
            );
            InList::push_in_list(&mut query, keys.clone())?;
            query.build_query_as().fetch_all(&mut *connection).await
        });
    let kept: HashMap<String, StoredResponse> = match rows {
        Ok(rows) => {
            rows.into_iter().map(|(key, fingerprint, body, location)| (key, (fingerprint, body, location))).collect()
        }
        Err(error) => return fail_all(keys.len(), &error),
    };
    keys.iter().map(|key| Ok(kept.get(key).cloned())).collect()
}

/// Removing old keys.
#[derive(Debug)]
pub(crate) struct Purge(JoinHandle<()>);

impl Drop for Purge {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Claim {
    /// Keeps `answer` under the key, in the transaction that writes what it is about.
    /// [`DatabaseError::UniqueViolation`]: another process has written first.
    pub async fn store_response<T, DB>(
        &self,
        transaction: &mut Transaction<'_, DB>,
        answer: &Created<T>,
        kept_at: DateTime<Utc>,
    ) -> sqlx::Result<()>
    where
        DB: sqlx::Database + HasStatementCache,
        DB::Arguments: IntoArguments<DB>,
        for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
        for<'q> &'q str: Encode<'q, DB> + Type<DB>,
        for<'q> DateTime<Utc>: Encode<'q, DB> + Type<DB>,
    {
        Self::store_responses(transaction, vec![(self, answer, kept_at)]).await
    }

    /// Keeps each answer under its key, and from its time on, in the transaction that writes what they are about.
    /// [`DatabaseError::UniqueViolation`]: another process has written one of them first.
    pub async fn store_responses<T, DB>(
        transaction: &mut Transaction<'_, DB>,
        mut answers: Vec<(&Self, &Created<T>, DateTime<Utc>)>,
    ) -> sqlx::Result<()>
    where
        DB: sqlx::Database + HasStatementCache,
        DB::Arguments: IntoArguments<DB>,
        for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
        for<'q> &'q str: Encode<'q, DB> + Type<DB>,
        for<'q> DateTime<Utc>: Encode<'q, DB> + Type<DB>,
    {
        // In the same order in every process, so that none waits for another that waits for it.
        let number = answers.len();
        answers.sort_unstable_by_key(|(claim, ..)| claim.0.key.as_str());
        let mut query =
            QueryBuilder::new("INSERT INTO idempotency_keys (idempotency_key, fingerprint, body, location, kept_at) ");
        query.push_values(answers, |mut row, (Self(claimed), answer, kept_at)| {
            row.push_bind(claimed.key.as_str()).push_bind(claimed.fingerprint.as_str());
            row.push_bind(answer.body.as_str()).push_bind(answer.location.as_str());
            row.push_bind(kept_at.trunc_subsecs(6));
        });
        query.push(" ON CONFLICT (idempotency_key) DO NOTHING RETURNING kept_at");
        // A text for each number of keys is not worth keeping.
        let kept = query.build().persistent(false).fetch_all(&mut **transaction).await?.len();
        if kept == number { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
    }

    /// Like [`keep`](Self::store_response), where SQLite is written to by a [`GroupCommit`](crate::database::GroupCommit).
    pub fn store_response_sqlite<T>(
        &self,
        connection: &Connection,
        answer: &Created<T>,
        kept_at: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        let Claimed { key, fingerprint, .. } = &*self.0;
        let kept = connection
            .prepare_cached(
                "INSERT INTO idempotency_keys (idempotency_key, fingerprint, body, location, kept_at)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (idempotency_key) DO NOTHING",
            )?
            .execute((key.as_str(), fingerprint, &answer.body, &answer.location, time_text(kept_at)))?;
        if kept == 1 { Ok(()) } else { Err(DatabaseError::UniqueViolation) }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

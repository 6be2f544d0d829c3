//! Creation under an `Idempotency-Key`.

use std::future::Future;
use std::time::{Duration, Instant};

use contract::answer::Created;
use contract::error_code::{IDEMPOTENCY_KEY_IN_USE, IDEMPOTENCY_KEY_REUSED};
use contract::idempotency::IdempotencyKey;
use dropshot::HttpError;
use serde::Serialize;
use slog::{Logger, info};

use crate::database::{Batches, Database, DatabaseError};

use super::claim::{Claim, KeysInUse, fingerprint};
use super::table::{MEMORY, StoredResponse, look_up};
use crate::purge::Purge;

/// How long a creation and the lookup after its failure may take in all: a failure of the database is answered within a
/// second.
const TIME_LIMIT: Duration = Duration::from_millis(850);
/// How long the lookup may take, however long the creation took.
const MIN_LOOKUP_TIME: Duration = Duration::from_millis(50);

/// Why a request with a key is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// The key was used for another request.
    #[error("the key was used with another body")]
    Reused,
    /// This process is handling a request with the key.
    #[error("a request with the key is in progress")]
    InUse,
    /// The database does not answer.
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

/// The keys of a service with their stored responses.
#[derive(Clone, Debug)]
pub struct Keys {
    database: Database,
    lookups: Batches<String, Option<StoredResponse>>,
    in_use: KeysInUse,
}

impl Keys {
    /// A purge of the keys that are older than a day.
    pub fn purge(&self) -> Purge {
        Purge::new(MEMORY, self.database.clone())
    }

    /// The keys in `database`.
    pub fn new(database: Database) -> Self {
        Self { lookups: Batches::new(&database, look_up), database, in_use: KeysInUse::default() }
    }

    /// Runs `create` for `request` to `operation`, or returns the stored response if it was run for the same request with
    /// the same key before. `create` stores its response under the claim that it is given, in its own transaction.
    pub async fn once<T, E, F>(
        &self,
        operation: &str,
        key: Option<IdempotencyKey>,
        request: &impl Serialize,
        log: &Logger,
        create: impl FnOnce(Option<Claim>) -> F,
    ) -> Result<Created<T>, E>
    where
        E: From<KeyError>,
        F: Future<Output = Result<Created<T>, E>>,
    {
        let claim = self.claim(operation, key, request)?;
        if let Some(stored) = self.stored_response(claim.as_ref()).await? {
            return Ok(replayed(stored, log));
        }
        let began = Instant::now();
        let error = match create(claim.clone()).await {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        // The same request, on another instance or given up by its client, may have succeeded meanwhile, and this one have
        // failed for that very reason: the value is taken, the version is old, or nothing is left. A database that has not
        // answered is not waited for once more.
        let limit = TIME_LIMIT.saturating_sub(began.elapsed()).max(MIN_LOOKUP_TIME);
        let stored = tokio::time::timeout(limit, self.stored_response(claim.as_ref())).await;
        match stored.unwrap_or_else(|_| Err(DatabaseError::no_answer_within(limit).into()))? {
            Some(stored) => Ok(replayed(stored, log)),
            None => Err(error),
        }
    }

    /// Claims `key` for `request` to `operation`; `None` without a key. Two requests are the same if their JSON values are,
    /// whatever their whitespace and field order.
    pub fn claim(
        &self,
        operation: &str,
        key: Option<IdempotencyKey>,
        request: &impl Serialize,
    ) -> Result<Option<Claim>, KeyError> {
        let Some(key) = key else { return Ok(None) };
        let fingerprint =
            fingerprint(operation, request).map_err(|error| DatabaseError::from(DatabaseError::decode_error(error)))?;
        match self.in_use.claim(key, fingerprint.clone()) {
            Ok(claim) => Ok(Some(claim)),
            Err(other) if other != fingerprint => Err(KeyError::Reused),
            Err(_) => Err(KeyError::InUse),
        }
    }

    /// The response stored under the key of `claim`.
    pub async fn stored_response<T>(&self, claim: Option<&Claim>) -> Result<Option<Created<T>>, KeyError> {
        let Some(Claim(claimed)) = claim else { return Ok(None) };
        match self.lookups.run(claimed.key.as_str().to_owned()).await? {
            None => Ok(None),
            Some(stored) if stored.fingerprint != claimed.fingerprint => Err(KeyError::Reused),
            Some(stored) => Ok(Some(Created::replay(stored.body, stored.location))),
        }
    }
}

fn replayed<T>(stored: Created<T>, log: &Logger) -> Created<T> {
    info!(log, "replayed idempotent response"; "location" => &stored.location);
    stored
}

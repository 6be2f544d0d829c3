//! The inbox: events that are handled already.
//!
//! An event may come twice. Its id is recorded in the transaction of its effect, so that it has the effect once.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, SubsecRound, Utc};
use prometheus_client::metrics::counter::Counter;
use sqlx::types::Json;
use sqlx::{Decode, Encode, Executor, IntoArguments, Transaction, Type};

use super::table::EventSql;

/// The inbox of a service. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    duplicates: Counter,
}

impl Inbox {
    pub(super) fn new(duplicates: Counter) -> Self {
        Self { duplicates }
    }

    /// Records that the events with these ids are handled at the time `at`, in the transaction of their effects. Returns
    /// the ids that are new: all others must have no effect.
    ///
    /// Another process that handles one of them at this moment is waited for.
    pub async fn record<DB>(
        &self,
        transaction: &mut Transaction<'_, DB>,
        ids: impl IntoIterator<Item = &str>,
        at: DateTime<Utc>,
    ) -> sqlx::Result<HashSet<String>>
    where
        DB: EventSql,
        DB::Arguments: IntoArguments<DB>,
        for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
        for<'q> Json<Vec<&'q str>>: Encode<'q, DB> + Type<DB>,
        for<'q> DateTime<Utc>: Encode<'q, DB> + Type<DB>,
        for<'r> String: Decode<'r, DB> + Type<DB>,
        for<'r> (String,): sqlx::FromRow<'r, DB::Row>,
    {
        // The same lock order in every process, so that there is no deadlock.
        let ids: BTreeSet<&str> = ids.into_iter().collect();
        let number = ids.len();
        if number == 0 {
            return Ok(HashSet::new());
        }
        let record = sqlx::query_as(DB::RECORD_HANDLED)
            .bind(Json(ids.into_iter().collect::<Vec<_>>()))
            .bind(at.trunc_subsecs(6));
        let new: Vec<(String,)> = record.fetch_all(&mut **transaction).await?;
        self.duplicates.inc_by((number - new.len()) as u64);
        Ok(new.into_iter().map(|(id,)| id).collect())
    }
}

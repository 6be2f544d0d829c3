//! The relay: publishes what is in the outbox.
//!
//! Each process publishes what it has written itself, at once. A row is removed when the transport has confirmed it, so a
//! process that is killed in between leaves it to be published again: by itself after its start, or by another instance,
//! which takes over rows that have not moved for a while. Rows are never passed over by position: of two transactions, the
//! later one may commit first.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use slog::{Logger, debug, info, warn};
use tokio::time::{Instant, timeout};

use super::message::{Outgoing, Published, TransportError};
use super::outbox::Outbox;
use super::transport::Transport;
use crate::database::{Database, DatabaseError, InList, Pool};
use crate::telemetry::EventMetrics;

/// How many events are published at a time.
const BATCH: i64 = 256;
/// How many rows are taken over at a time: a statement has a time limit.
const ADOPTED: u64 = 1024;
/// How long to wait for the next look at the outbox if nobody wakes the relay: an event may have been refused, or its commit
/// have come after the wake-up.
const POLL: Duration = Duration::from_secs(1);
/// How long another process's rows must stay before they are taken over.
const PATIENCE: Duration = Duration::from_secs(5);

/// What publishes the outbox of a service.
pub(crate) struct Relay {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    /// `None`: nothing is published, and the outbox grows.
    pub(crate) transport: Option<Transport>,
    /// The types that some service consumes: a queue must receive them.
    pub(crate) consumed: HashSet<String>,
    pub(crate) metrics: EventMetrics,
    pub(crate) log: Logger,
}

/// Why a pass over the outbox ended early.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Transport(#[from] TransportError),
}

type Row = (i64, String, String, String);

impl Relay {
    /// Publishes for ever.
    pub(crate) async fn run(self) {
        // What is there at the start is of nobody, or of an instance that runs beside this one: then some events come twice.
        let mut abandoned = i64::MAX;
        let mut look_at = Instant::now();
        let mut state = State::default();
        loop {
            if look_at <= Instant::now() {
                match self.look(abandoned, !state.failing).await {
                    // There may be more, which is taken over once this is published.
                    Ok(None) => {}
                    Ok(Some(newest)) => (abandoned, look_at) = (newest, Instant::now() + PATIENCE),
                    Err(error) => {
                        look_at = Instant::now() + POLL;
                        warn!(self.log, "outbox not read"; "error" => error.to_string());
                    }
                }
            }
            let Some(transport) = &self.transport else {
                tokio::time::sleep(PATIENCE).await;
                continue;
            };
            let passed = self.pass(transport).await;
            state.log(&passed, &self.log);
            match passed {
                Ok(_) if look_at <= Instant::now() => {}
                // A new event or a look at the outbox, whichever comes first.
                Ok(_) => drop(timeout(POLL, self.outbox.written()).await),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Measures the outbox, and takes over the first rows up to `abandoned` if `adopt`: while nothing can be published, others
    /// keep theirs. Returns the newest row once there is nothing more to take over.
    async fn look(&self, abandoned: i64, adopt: bool) -> Result<Option<i64>, DatabaseError> {
        // By the index: connections to PostgreSQL forbid a scan of the table, which it makes all the same but takes for so
        // expensive that it first compiles the statement, for a good part of a second.
        let measure = "SELECT COUNT(*), MIN(created_at), COALESCE(MAX(id), 0) FROM outbox WHERE id > 0";
        let (rows, oldest, newest): (i64, Option<DateTime<Utc>>, i64) =
            crate::with_pool!(self.database.writer(), |pool| sqlx::query_as(measure).fetch_one(pool))?;
        self.metrics.outbox(rows, oldest);
        if !adopt || self.transport.is_none() {
            return Ok(Some(newest));
        }
        let relay = self.outbox.relay();
        let adopted = crate::with_pool!(self.database.writer(), |pool| async {
            // Not a list of ids, which PostgreSQL would join.
            let mut query = Pool::query_for(pool, "UPDATE outbox SET relay = ");
            query.push_bind(relay).push(" WHERE relay <> ").push_bind(relay);
            query.push(" AND id <= COALESCE((SELECT id FROM outbox WHERE id <= ").push_bind(abandoned);
            query.push(" AND relay <> ").push_bind(relay).push(" ORDER BY id LIMIT 1 OFFSET ").push(ADOPTED - 1);
            query.push("), ").push_bind(abandoned).push(")");
            query.build().execute(pool).await.map(|adopted| adopted.rows_affected())
        })?;
        Ok((adopted < ADOPTED).then_some(newest))
    }

    /// Publishes every event of this process. Returns how many no queue receives; they stay in the outbox.
    async fn pass(&self, transport: &Transport) -> Result<usize, PassError> {
        let (mut after, mut unroutable) = (0, 0);
        loop {
            let rows = self.read(after).await?;
            let Some((last, ..)) = rows.last() else { return Ok(unroutable) };
            after = *last;
            let is_last = (rows.len() as i64) < BATCH;
            let heads: Vec<(i64, String, String)> =
                rows.iter().map(|(id, event_id, kind, _)| (*id, event_id.clone(), kind.clone())).collect();
            let outgoing = rows.into_iter().map(|(_, event_id, event_type, envelope)| {
                let mandatory = self.consumed.contains(&event_type);
                Outgoing { event_id, event_type, mandatory, envelope }
            });
            let published = transport.publish(outgoing.collect()).await?;
            let (stored, refused): (Vec<_>, Vec<_>) =
                heads.into_iter().zip(published).partition(|(_, published)| *published == Published::Stored);
            unroutable += refused.len();
            for ((_, event_id, event_type), _) in &stored {
                self.metrics.published(event_type);
                debug!(self.log, "event published"; "event_id" => event_id, "event_type" => event_type);
            }
            self.remove(stored.into_iter().map(|((id, ..), _)| id).collect()).await?;
            if is_last {
                return Ok(unroutable);
            }
        }
    }

    /// The first events of this process after the row `after`.
    async fn read(&self, after: i64) -> Result<Vec<Row>, DatabaseError> {
        // On the writer, which fails once the file is no longer at its path: what a removed file has never happened.
        crate::with_pool!(self.database.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "SELECT id, event_id, type, envelope FROM outbox WHERE id > ");
            query.push_bind(after).push(" AND relay = ").push_bind(self.outbox.relay());
            query.push(" ORDER BY id LIMIT ").push(BATCH).build_query_as().fetch_all(pool).await
        })
    }

    async fn remove(&self, ids: Vec<i64>) -> Result<(), DatabaseError> {
        if ids.is_empty() {
            return Ok(());
        }
        crate::with_pool!(self.database.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "DELETE FROM outbox WHERE id");
            InList::push_in_list(&mut query, ids)?;
            query.build().execute(pool).await.map(|_| ())
        })
    }
}

/// How the last pass ended: only changes are logged.
#[derive(Default)]
struct State {
    failing: bool,
    unroutable: bool,
}

impl State {
    fn log(&mut self, passed: &Result<usize, PassError>, log: &Logger) {
        match passed {
            Err(error) if !self.failing => {
                warn!(log, "events stay in the outbox for now"; "error" => error.to_string());
            }
            Ok(_) if self.failing => info!(log, "events are published again"),
            _ => {}
        }
        self.failing = passed.is_err();
        if let Ok(unroutable) = *passed {
            if unroutable > 0 && !self.unroutable {
                warn!(log, "events stay in the outbox: no queue receives them"; "number" => unroutable);
            }
            self.unroutable = unroutable > 0;
        }
    }
}

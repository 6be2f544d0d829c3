//! The notifications in the database: all SQL of the service.

mod list;
mod row;

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use notification_service_api::{Channel, Notification, NotificationId, NotificationReason, NotificationStatus};
use service_runtime::database::{Batches, ClaimSql, Database, DatabaseError, ListSql, Pool, read_by_id};
use service_runtime::events::Inbox;
use service_runtime::with_pool;

pub use list::Filter;
pub use row::Due;

use row::{DueRow, NotificationRow, columns, due, notification};

/// The condition that a row found by another column is queued: without the index of what is queued, which PostgreSQL would
/// choose while it is small, and keep.
macro_rules! is_queued {
    () => {
        "status || '' = 'queued'"
    };
}

/// The condition of a row that whoever has claimed it with these attempts may change.
macro_rules! is_claimed {
    () => {
        concat!("id = $1 AND attempts = $2 AND ", is_queued!())
    };
}

/// The stored notifications.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct NotificationStore {
    database: Database,
    finds: Batches<NotificationId, Option<Notification>>,
    inbox: Inbox,
}

/// An event that users are notified of.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its type.
    pub event_type: &'a str,
    /// Whom it concerns.
    pub user_id: i64,
    /// The order that it is about.
    pub order_id: Option<i64>,
    /// Its data, in JSON.
    pub data: &'a str,
    /// Where in a trace it happened.
    pub traceparent: Option<&'a str>,
}

/// What waits to be sent on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// The number of notifications.
    pub queued: i64,
    /// When the oldest of them was queued.
    pub oldest: Option<DateTime<Utc>>,
}

impl NotificationStore {
    /// The notifications in `database`, about events that come through `inbox`.
    pub fn new(database: Database, inbox: Inbox) -> Self {
        let finds = Batches::new(&database, find_all);
        Self { database, finds, inbox }
    }

    /// Queues a notification of `event` on each of `channels`, unless the event is handled already. Returns whether it was
    /// new.
    pub async fn queue(
        &self,
        event: NewEvent<'_>,
        channels: &[Channel],
        at: DateTime<Utc>,
    ) -> Result<bool, DatabaseError> {
        let at = at.trunc_subsecs(6);
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            if self.inbox.record(&mut transaction, [event.id], at).await?.is_empty() {
                return Ok(false);
            }
            for channel in channels {
                // The inbox forgets after some days; this does not.
                let insert = sqlx::query(
                    "INSERT INTO notifications (event_id, event_type, channel, user_id, order_id, data, traceparent,
                         status, attempts, next_attempt_at, created_at, updated_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', 0, $8, $8, $8)
                     ON CONFLICT (event_id, channel) DO NOTHING",
                )
                .bind(event.id)
                .bind(event.event_type)
                .bind(channel.as_str())
                .bind(event.user_id)
                .bind(event.order_id)
                .bind(event.data)
                .bind(event.traceparent)
                .bind(at);
                insert.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(true)
        })
    }

    /// Suppresses what is queued for a user who was deleted by the event with this id, unless the event is handled already.
    pub async fn suppress_user(&self, event_id: &str, user_id: i64, at: DateTime<Utc>) -> Result<(), DatabaseError> {
        let at = at.trunc_subsecs(6);
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            if self.inbox.record(&mut transaction, [event_id], at).await?.is_empty() {
                return Ok(());
            }
            let suppress = sqlx::query(concat!(
                "UPDATE notifications SET status = 'suppressed', reason = $3, data = '', updated_at = $2
                 WHERE user_id = $1 AND ",
                is_queued!()
            ))
            .bind(user_id)
            .bind(at)
            .bind(NotificationReason::UserDeleted.as_str());
            suppress.execute(&mut *transaction).await?;
            transaction.commit().await
        })
    }

    /// Takes at most `limit` notifications of `channel` that are due, those that are due longest first. Each counts as tried
    /// once more, and is not due again before `lease` has passed: for nobody else, until this process dies or says how it
    /// ended.
    pub async fn claim(
        &self,
        channel: Channel,
        limit: i64,
        now: DateTime<Utc>,
        lease: TimeDelta,
    ) -> Result<Vec<Due>, DatabaseError> {
        let now = now.trunc_subsecs(6);
        let rows: Vec<DueRow> = with_pool!(self.database.writer(), |pool| async {
            let mut query =
                Pool::query_for(pool, "UPDATE notifications SET attempts = attempts + 1, next_attempt_at = ");
            query.push_bind(now + lease).push(" WHERE id");
            ClaimSql::push_one_of(&mut query, |query| {
                query.push("SELECT id FROM notifications WHERE status = 'queued' AND channel = ");
                query.push_bind(channel.as_str()).push(" AND next_attempt_at <= ").push_bind(now);
                query.push(" ORDER BY next_attempt_at LIMIT ").push(limit);
            });
            query.push(" RETURNING id, attempts, event_id, event_type, user_id, data, traceparent, created_at");
            query.build_query_as().fetch_all(pool).await
        })?;
        let mut claimed: Vec<Due> = rows.into_iter().map(due).collect();
        claimed.sort_unstable_by_key(|due| (due.created_at, due.id));
        Ok(claimed)
    }

    /// Lets a claimed notification be due again at `next`; does nothing if it was claimed again since, or has ended.
    pub async fn postpone(&self, claimed: &Due, next: DateTime<Utc>) -> Result<(), DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let update = sqlx::query(concat!("UPDATE notifications SET next_attempt_at = $3 WHERE ", is_claimed!()))
                .bind(claimed.id)
                .bind(claimed.attempts)
                .bind(next.trunc_subsecs(6));
            update.execute(pool).await.map(drop)
        })
    }

    /// Gives a claimed notification its final status; does nothing if it was claimed again since, or has ended. Returns
    /// whether it did.
    pub async fn end(
        &self,
        claimed: &Due,
        status: NotificationStatus,
        reason: Option<NotificationReason>,
        at: DateTime<Utc>,
    ) -> Result<bool, DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let update = sqlx::query(concat!(
                "UPDATE notifications SET status = $3, reason = $4, data = '', updated_at = $5 WHERE ",
                is_claimed!()
            ))
            .bind(claimed.id)
            .bind(claimed.attempts)
            .bind(status.as_str())
            .bind(reason.map(NotificationReason::as_str))
            .bind(at.trunc_subsecs(6));
            Ok(update.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// What waits to be sent, by channel.
    pub async fn backlog(&self) -> Result<HashMap<String, Backlog>, DatabaseError> {
        // On the writer, as the claims: it keeps no reader busy.
        let rows: Vec<(String, i64, DateTime<Utc>)> = with_pool!(self.database.writer(), |pool| async {
            let select =
                "SELECT channel, COUNT(*), MIN(created_at) FROM notifications WHERE status = 'queued' GROUP BY channel";
            sqlx::query_as(select).fetch_all(pool).await
        })?;
        let backlog = |(channel, queued, oldest)| (channel, Backlog { queued, oldest: Some(oldest) });
        Ok(rows.into_iter().map(backlog).collect())
    }

    /// The notification with this id.
    pub async fn find(&self, id: NotificationId) -> Result<Option<Notification>, DatabaseError> {
        self.finds.run(id).await
    }

    /// At most `limit` notifications of `filter` with ids below `before`, by descending id.
    pub async fn list_before(
        &self,
        before: i64,
        filter: Filter,
        limit: i64,
    ) -> Result<Vec<Notification>, DatabaseError> {
        let rows: Vec<NotificationRow> = with_pool!(self.database.reader(), |pool| async {
            let mut query = Pool::query_for(pool, concat!("SELECT ", columns!(), " FROM notifications"));
            ListSql::push_list(&mut query, before, filter.columns());
            // Not bound: PostgreSQL would make a new plan for every page of an unknown length.
            query.push(" LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(notification).collect::<sqlx::Result<_>>()?)
    }
}

/// The notification with each of these ids.
async fn find_all(database: Database, ids: Vec<NotificationId>) -> Vec<Result<Option<Notification>, DatabaseError>> {
    let select = concat!("SELECT ", columns!(), " FROM notifications WHERE id");
    let rows = read_by_id(database, select, ids.into_iter().map(NotificationId::get).collect()).await;
    rows.into_iter().map(|row| Ok(row?.map(notification).transpose()?)).collect()
}

//! The row of a notification.

use chrono::{DateTime, Utc};
use notification_service_api::{Channel, EventId, EventTypeName, Notification, NotificationReason, NotificationStatus};
use service_runtime::database::DatabaseError;

/// A notification that is to be sent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// Its id.
    pub id: i64,
    /// How often it has been tried, this time included.
    pub attempts: i64,
    /// The event that it is about.
    pub event_id: String,
    /// The event's type.
    pub event_type: String,
    /// Whom to notify.
    pub user_id: i64,
    /// The event's data, in JSON.
    pub data: String,
    /// Where in a trace the event happened.
    pub traceparent: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
}

/// The columns of a [`NotificationRow`].
macro_rules! columns {
    () => {
        "id, event_id, event_type, user_id, order_id, channel, status, reason, attempts, created_at, updated_at"
    };
}
pub(super) use columns;

pub(super) type NotificationRow =
    (i64, String, String, i64, Option<i64>, String, String, Option<String>, i64, DateTime<Utc>, DateTime<Utc>);

/// Id, attempts, event, type, user, data, trace and time.
pub(super) type DueRow = (i64, i64, String, String, i64, String, Option<String>, DateTime<Utc>);

/// The notification in a row.
pub(super) fn notification(row: NotificationRow) -> sqlx::Result<Notification> {
    let (id, event_id, event_type, user_id, order_id, channel, status, reason, attempts, created_at, updated_at) = row;
    Ok(Notification {
        id: id.try_into().map_err(DatabaseError::decode_error)?,
        event_id: EventId::from_stored(event_id),
        event_type: EventTypeName::from_stored(event_type),
        user_id: user_id.try_into().map_err(DatabaseError::decode_error)?,
        order_id: order_id.map(TryInto::try_into).transpose().map_err(DatabaseError::decode_error)?,
        channel: known(Channel::ALL, Channel::as_str, &channel)?,
        status: known(NotificationStatus::ALL, NotificationStatus::as_str, &status)?,
        reason: reason.map(|reason| known(NotificationReason::ALL, NotificationReason::as_str, &reason)).transpose()?,
        attempts: attempts.try_into().map_err(DatabaseError::decode_error)?,
        created_at: created_at.into(),
        updated_at: updated_at.into(),
    })
}

/// The notification to send in a row.
pub(super) fn due((id, attempts, event_id, event_type, user_id, data, traceparent, created_at): DueRow) -> Due {
    Due { id, attempts, event_id, event_type, user_id, data, traceparent, created_at }
}

/// The one of `all` that is stored as `text`.
fn known<T: Copy, const N: usize>(all: [T; N], name: impl Fn(T) -> &'static str, text: &str) -> sqlx::Result<T> {
    let found = all.into_iter().find(|value| name(*value) == text);
    found.ok_or_else(|| DatabaseError::decode_error(std::io::Error::other("unknown value")))
}

//! The rules about reading notifications.

use contract::page::PageLimit;
use notification_service_api::{Notification, NotificationId, NotificationListQuery, NotificationPage};
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::page::{PageError, PageState, page_of, same_filter};

use crate::store::{Filter, NotificationStore};

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotificationError {
    #[error("no notification has this id")]
    NotFound,
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The state in a page token: where the next page starts, and the filter of the list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextNotifications {
    before: i64,
    filter: Filter,
    limit: PageLimit,
}

impl PageState for NextNotifications {
    const LIST: &'static str = "notifications";
}

/// About how many bytes a notification has.
const BYTES: usize = 384;

/// The notifications as clients see them.
pub(crate) struct Notifications {
    store: NotificationStore,
}

impl Notifications {
    pub(crate) fn new(store: NotificationStore) -> Self {
        Self { store }
    }

    pub(crate) async fn view(&self, id: NotificationId) -> Result<Notification, NotificationError> {
        self.store.find(id).await?.ok_or(NotificationError::NotFound)
    }

    pub(crate) async fn list(&self, query: NotificationListQuery) -> Result<NotificationPage, NotificationError> {
        let sent = Filter { user_id: query.user_id, order_id: query.order_id, status: query.status };
        let from = match &query.page_token {
            Some(token) => {
                let from = NextNotifications::from_token(token)?;
                same_filter(sent.user_id.as_ref(), from.filter.user_id.as_ref())?;
                same_filter(sent.order_id.as_ref(), from.filter.order_id.as_ref())?;
                same_filter(sent.status.as_ref(), from.filter.status.as_ref())?;
                from
            }
            None => NextNotifications { before: i64::MAX, filter: sent, limit: PageLimit::default() },
        };
        let filter = from.filter;
        let limit = query.limit.unwrap_or(from.limit);
        let rows = self.store.list_before(from.before, filter, limit.get() + 1).await?;
        let next = |last: &Notification| NextNotifications { before: last.id.get(), filter, limit };
        let (items, next_page) = page_of(rows, limit, |_| BYTES, next)?;
        Ok(NotificationPage { items, next_page })
    }
}

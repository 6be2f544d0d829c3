//! The rules about orders: who may place one, and how its status moves.

use chrono::Utc;
use contract::answer::Created;
use contract::idempotency::IdempotencyKey;
use contract::page::PageLimit;
use order_service_api::{Order, OrderCreate, OrderId, OrderListQuery, OrderPage, OrderReceipt, OrderStatus};
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::dependency::{LookupError, Lookups};
use service_runtime::guard::RequestScope;
use service_runtime::idempotency::{CreateError, KeyError, Keys};
use service_runtime::page::{PageError, PageState, page_of, same_filter};
use slog::info;

use crate::dependencies::users::UserLookup;
use crate::store::{Filter, OrderStore};

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("no order has this id")]
    NotFound,
    #[error("an order that is {from:?} cannot become {to:?}")]
    InvalidTransition { from: OrderStatus, to: OrderStatus },
    #[error(transparent)]
    User(LookupError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl CreateError for OrderError {
    fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(DatabaseError::UniqueViolation))
    }
}

/// The statuses from which an order may move to `to`.
fn predecessors(to: OrderStatus) -> &'static [OrderStatus] {
    match to {
        OrderStatus::Created => &[],
        OrderStatus::Confirmed => &[OrderStatus::Created],
        OrderStatus::Completed => &[OrderStatus::Confirmed],
        OrderStatus::Cancelled => &[OrderStatus::Created, OrderStatus::Confirmed],
    }
}

/// The state in a page token: where the next page starts, and the filter of the list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextOrders {
    before: i64,
    filter: Filter,
    limit: PageLimit,
}

impl PageState for NextOrders {
    const LIST: &'static str = "orders";
}

/// An order that has the requested status.
pub(crate) struct StatusChange {
    pub(crate) order: Order,
    /// Whether this request changed it.
    pub(crate) moved: bool,
}

/// The orders and their rules.
pub(crate) struct Orders {
    store: OrderStore,
    keys: Keys,
    users: Lookups<UserLookup>,
}

impl Orders {
    pub(crate) fn new(store: OrderStore, keys: Keys, users: Lookups<UserLookup>) -> Self {
        Self { store, keys, users }
    }

    /// Places an order if user-service says that its user exists. A repeated request with the same key gets the stored
    /// response.
    pub(crate) async fn create(
        &self,
        order: OrderCreate,
        key: Option<IdempotencyKey>,
        request: &RequestScope,
    ) -> Result<Created<OrderReceipt>, OrderError> {
        let place = |claim| async {
            self.users.get(order.user_id, request).await.map_err(OrderError::User)?;
            let (placed, receipt) = self.store.insert(&order, Utc::now(), claim).await?;
            info!(request.log, "order created"; "order_id" => placed.id.get(), "user_id" => placed.user_id.get());
            Ok(receipt)
        };
        self.keys.once("order_create", key, &order, &request.log, place).await
    }

    pub(crate) async fn view(&self, id: OrderId) -> Result<Order, OrderError> {
        self.store.find(id).await?.ok_or(OrderError::NotFound)
    }

    /// Moves the order to `to`, unless it has that status already. One conditional statement decides; the read afterwards
    /// only explains its refusal.
    pub(crate) async fn set_status(&self, id: OrderId, to: OrderStatus) -> Result<StatusChange, OrderError> {
        loop {
            if let Some(order) = self.store.update_status(id, predecessors(to), to, Utc::now()).await? {
                return Ok(StatusChange { order, moved: true });
            }
            let order = self.view(id).await?;
            if order.status == to {
                return Ok(StatusChange { order, moved: false });
            }
            if !predecessors(to).contains(&order.status) {
                return Err(OrderError::InvalidTransition { from: order.status, to });
            }
            // Another request changed the status in between, to one from which this move is allowed. Statuses form no
            // cycle, so the loop ends.
        }
    }

    pub(crate) async fn list(&self, query: OrderListQuery) -> Result<OrderPage, OrderError> {
        let sent = Filter { user_id: query.user_id, status: query.status };
        let from = match &query.page_token {
            Some(token) => {
                let from = NextOrders::from_token(token)?;
                same_filter(sent.user_id.as_ref(), from.filter.user_id.as_ref())?;
                same_filter(sent.status.as_ref(), from.filter.status.as_ref())?;
                from
            }
            None => NextOrders { before: i64::MAX, filter: sent, limit: PageLimit::default() },
        };
        let filter = from.filter;
        let limit = query.limit.unwrap_or(from.limit);
        let rows = self.store.list_before(from.before, filter, limit.get() + 1).await?;
        let next = |last: &Order| NextOrders { before: last.id.get(), filter, limit };
        let (items, next_page) = page_of(rows, limit, next)?;
        Ok(OrderPage { items, next_page })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_and_cancelled_are_final() {
        for to in OrderStatus::ALL {
            assert!(!predecessors(to).contains(&OrderStatus::Completed), "{to:?}");
            assert!(!predecessors(to).contains(&OrderStatus::Cancelled), "{to:?}");
        }
        assert!(predecessors(OrderStatus::Created).is_empty());
    }
}

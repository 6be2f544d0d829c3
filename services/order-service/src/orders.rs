//! The rules about orders: who may place one, and how its status moves.

use std::time::Instant;

use chrono::Utc;
use contract::answer::Created;
use contract::idempotency::IdempotencyKey;
use contract::page::PageLimit;
use order_service_api::{Order, OrderCreate, OrderId, OrderListQuery, OrderPage, OrderReceipt, OrderStatus};
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::idempotency::{KeyError, Keys};
use service_runtime::page::{PageError, PageState, page_of};
use service_runtime::trace::TraceContext;

use crate::store::{Filter, OrderStore};
use crate::user_check::{UserCheck, UserCheckError};

/// The rule that a request breaks, or what kept it from being judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("no order has this id")]
    NotFound,
    #[error("an order that is {from:?} cannot become {to:?}")]
    InvalidTransition { from: OrderStatus, to: OrderStatus },
    #[error(transparent)]
    User(#[from] UserCheckError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
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

/// Where the next page of orders begins, and which orders the list is of.
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

/// An order whose status is what was asked for.
pub(crate) struct StatusChange {
    pub(crate) order: Order,
    /// Whether it was another before.
    pub(crate) moved: bool,
}

/// The answer to the placing of `order`.
pub(crate) fn receipt(order: &Order) -> serde_json::Result<Created<OrderReceipt>> {
    let receipt = OrderReceipt { order_id: order.id, status: order.status };
    Created::new(&receipt, format!("/api/v1/orders/{}", order.id))
}

/// The orders and what may be done with them.
pub(crate) struct Orders {
    store: OrderStore,
    keys: Keys,
    user_check: UserCheck,
}

impl Orders {
    pub(crate) fn new(store: OrderStore, keys: Keys, user_check: UserCheck) -> Self {
        Self { store, keys, user_check }
    }

    /// Stores an order, once user-service has said that its user exists; or gives the answer that was given before to
    /// the same request with the same key. Only what is new comes with its order. user-service is asked until `deadline`,
    /// in the context `trace`.
    pub(crate) async fn create(
        &self,
        order: OrderCreate,
        key: Option<IdempotencyKey>,
        deadline: Instant,
        trace: &TraceContext,
    ) -> Result<(Option<Order>, Created<OrderReceipt>), OrderError> {
        let claim = self.keys.claim("order_create", key, &order)?;
        if let Some(answer) = self.keys.answer(claim.as_ref()).await? {
            return Ok((None, answer));
        }
        self.user_check.check(order.user_id, deadline, trace).await?;
        match self.store.insert(&order, Utc::now(), claim.as_ref(), receipt).await {
            Ok((order, answer)) => Ok((Some(order), answer)),
            // Another instance has kept the key meanwhile.
            Err(DatabaseError::UniqueViolation) => {
                let answer = self.keys.answer(claim.as_ref()).await?.ok_or(DatabaseError::UniqueViolation)?;
                Ok((None, answer))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn view(&self, id: OrderId) -> Result<Order, OrderError> {
        self.store.find(id).await?.ok_or(OrderError::NotFound)
    }

    /// Moves the order to `to`, or leaves it there. One conditional statement decides; what is read afterwards only
    /// explains its refusal.
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
            // Another request moved it in between, to where this move is allowed. Statuses never move in a circle,
            // so this ends.
        }
    }

    pub(crate) async fn list(&self, query: OrderListQuery) -> Result<OrderPage, OrderError> {
        let filter = Filter { user_id: query.user_id, status: query.status };
        let from = match &query.page_token {
            Some(_) if filter != Filter::default() => return Err(PageError::TokenBesideFilters.into()),
            Some(token) => NextOrders::from_token(token)?,
            None => NextOrders { before: i64::MAX, filter, limit: PageLimit::default() },
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
    fn completed_and_cancelled_are_final_and_nothing_moves_back_to_created() {
        for to in OrderStatus::ALL {
            assert!(!predecessors(to).contains(&OrderStatus::Completed), "{to:?}");
            assert!(!predecessors(to).contains(&OrderStatus::Cancelled), "{to:?}");
        }
        assert!(predecessors(OrderStatus::Created).is_empty());
    }
}

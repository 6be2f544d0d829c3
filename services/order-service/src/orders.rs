//! The rules about orders: who may place one, of what, and how its status moves.

use chrono::{TimeDelta, Utc};
use contract::answer::Created;
use contract::idempotency::IdempotencyKey;
use contract::money::Money;
use contract::page::PageLimit;
use order_service_api::{Order, OrderCreate, OrderId, OrderItem, OrderListQuery, OrderPage, OrderReceipt, OrderStatus};
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::dependency::{LookupError, Lookups};
use service_runtime::guard::RequestScope;
use service_runtime::idempotency::{KeyError, Keys};
use service_runtime::page::{PageError, PageState, page_of, same_filter};
use slog::info;

use crate::dependencies::products::ReserveError;
use crate::dependencies::users::UserLookup;
use crate::items::{NoTotal, add_up, ordered_items, without_prices};
use crate::reservations::{Hold, Reservations};
use crate::status::{Step, predecessors};
use crate::store::{Filter, NewOrder, OrderStore, StatusChange};

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("no order has this id")]
    NotFound,
    #[error("an order that is {from:?} cannot become {to:?}")]
    InvalidTransition { from: OrderStatus, to: OrderStatus },
    #[error("{0}")]
    Form(&'static str),
    #[error(transparent)]
    User(LookupError),
    #[error("the items cannot be reserved: {0:?}")]
    Reserve(ReserveError),
    #[error("the items have no total: {0:?}")]
    NoTotal(NoTotal),
    #[error("the total is {} {}, not the expected one", .0.amount, .0.currency.as_str())]
    PriceChanged(Money),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
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
pub(crate) struct Settled {
    pub(crate) order: Order,
    /// Whether this request changed it.
    pub(crate) moved: bool,
}

/// About how many bytes an order has.
fn bytes_of(order: &Order) -> usize {
    let name = |item: &OrderItem| item.name.as_ref().map_or(0, |name| name.as_str().len());
    order.items.iter().map(|item| 192 + name(item)).sum::<usize>() + 256
}

/// The orders and their rules.
pub(crate) struct Orders {
    store: OrderStore,
    keys: Keys,
    users: Lookups<UserLookup>,
    /// `None` where no product-service is configured.
    reservations: Option<Reservations>,
    /// How long an order may wait to be paid.
    payment_timeout: TimeDelta,
}

impl Orders {
    pub(crate) fn new(
        store: OrderStore,
        keys: Keys,
        users: Lookups<UserLookup>,
        reservations: Option<Reservations>,
        payment_timeout: TimeDelta,
    ) -> Self {
        Self { store, keys, users, reservations, payment_timeout }
    }

    /// Places an order if user-service says that its user exists, and product-service reserves its items. A repeated
    /// request with the same key gets the stored response, and reserves nothing.
    pub(crate) async fn create(
        &self,
        order: OrderCreate,
        key: Option<IdempotencyKey>,
        request: &RequestScope,
    ) -> Result<Created<OrderReceipt>, OrderError> {
        let asked = ordered_items(&order).map_err(OrderError::Form)?;
        let place = |claim| async {
            let mut hold = self.reservations.as_ref().map(|reservations| reservations.hold(request));
            let reserve = async {
                match &mut hold {
                    Some(hold) => hold.reserve(&asked).await,
                    None => Ok(without_prices(&asked)),
                }
            };
            let (user, reserved) = tokio::join!(self.users.get(order.user_id, request), reserve);
            user.map_err(OrderError::User)?;
            let mut items = reserved.map_err(OrderError::Reserve)?;
            let total = add_up(&mut items).map_err(OrderError::NoTotal)?;
            match (&total, &order.expected_total) {
                (Some(total), Some(expected)) if total != expected => {
                    return Err(OrderError::PriceChanged(total.clone()));
                }
                _ => {}
            }
            // From here on the order's event decides: without an answer of the database, the order may exist. The
            // reservation of one that does not exist expires.
            let reservation_id = hold.map(Hold::keep);
            let now = Utc::now();
            let new = NewOrder {
                user_id: order.user_id,
                payment_due_at: total.as_ref().map(|_| now + self.payment_timeout),
                items,
                total,
                reservation_id,
                payment_method: order.payment_method.clone(),
                traceparent: Some(request.trace.traceparent()),
            };
            let stored = self.store.insert(new, now, claim).await;
            if let (Some(reservations), Err(error), Some(id)) = (&self.reservations, &stored, reservation_id)
                && error.is_refusal()
            {
                reservations.release(id, request);
            }
            let (placed, receipt) = stored?;
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
    pub(crate) async fn set_status(
        &self,
        id: OrderId,
        to: OrderStatus,
        request: &RequestScope,
    ) -> Result<Settled, OrderError> {
        let traceparent = request.trace.traceparent();
        loop {
            let (step, traceparent) = (Step::Requested(to), Some(traceparent.clone()));
            let change = StatusChange { id, step, at: Utc::now(), traceparent, event_id: None };
            if let Some(order) = self.store.change(change).await? {
                return Ok(Settled { order, moved: true });
            }
            let order = self.view(id).await?;
            if order.status == to {
                return Ok(Settled { order, moved: false });
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
        let (items, next_page) = page_of(rows, limit, bytes_of, next)?;
        Ok(OrderPage { items, next_page })
    }
}

//! The contract of order-service: which operations there are, what goes in, what comes out, what can fail.
//!
//! The service owns orders and how they move from one status to the next. It asks user-service whether a user
//! exists before it writes an order for them, and keeps nothing of the user but the id.
//!
//! This crate has no behaviour. The service implements [`OrderServiceApi`]; [`document()`] turns the
//! trait into the OpenAPI document that is checked in as `openapi/order-service.json`. The doc comments here
//! are that document's text: they are written for people who will never see this code.

mod operations;

use chrono::{DateTime, Utc};
use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::health::{Health, Readiness};
use contract::idempotency::KeyHeader;
use contract::page::PageLimit;
use dropshot::{HttpError, HttpResponseOk, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use operations::{
    INVALID_TRANSITION, ORDER_NOT_FOUND, USER_NOT_FOUND, USER_SERVICE_INVALID_RESPONSE, USER_SERVICE_TIMEOUT,
    USER_SERVICE_UNAVAILABLE, document, examples,
};

/// The operations of order-service.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "operations" = {
                description = "Whether the service runs and can do its work: for load balancers, orchestrators and people on call.",
            },
            "orders" = {
                description = "Orders that users place: create, read and list them, and move them from status to status.",
            },
        },
    },
}]
pub trait OrderServiceApi {
    /// What the implementation shares between requests.
    type Context;

    /// Place an order
    ///
    /// Asks user-service whether the user exists, stores the order with the status `created`, and answers
    /// with a receipt: the order's id and status. Read the whole order at the path in `Location`.
    ///
    /// Nothing is stored unless the answer is 201; only after `database_unavailable`, `deadline_exceeded`,
    /// `internal_error` or no answer at all is that uncertain. With an `Idempotency-Key` the request is safe to repeat
    /// whatever happened to it. The product is not checked: there is no product service yet.
    #[endpoint { method = POST, path = "/api/v1/orders", tags = ["orders"] }]
    async fn order_create(
        rqctx: RequestContext<Self::Context>,
        key: KeyHeader,
        body: JsonBody<OrderCreate>,
    ) -> Result<Answer<Created<OrderReceipt>>, HttpError>;

    /// List orders
    ///
    /// Orders from the newest to the oldest, a page at a time, of all users and statuses or only of those asked
    /// for. Pass the `next_page` of an answer as `page_token`, and nothing else but a `limit`, to get the page
    /// after it; the last page has none. The token keeps the filters. No order appears twice; one placed while you
    /// page through may be missing.
    #[endpoint { method = GET, path = "/api/v1/orders", tags = ["orders"] }]
    async fn order_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<OrderListQuery>,
    ) -> Result<Answer<HttpResponseOk<OrderPage>>, HttpError>;

    /// Read an order
    ///
    /// Answers with the order as last stored.
    #[endpoint { method = GET, path = "/api/v1/orders/{order_id}", tags = ["orders"] }]
    async fn order_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<OrderPath>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError>;

    /// Set an order's status
    ///
    /// Moves the order to the given status, if its present one allows that: `created` to `confirmed`,
    /// `confirmed` to `completed`, and either to `cancelled`. `completed` and `cancelled` are final. Setting the
    /// present status again changes nothing and succeeds, so the request is safe to repeat.
    ///
    /// Of two requests that contradict each other and arrive together, one wins and the other is refused.
    #[endpoint { method = PUT, path = "/api/v1/orders/{order_id}/status", tags = ["orders"] }]
    async fn order_set_status(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<OrderPath>,
        body: JsonBody<OrderStatusUpdate>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError>;

    /// Cancel an order
    ///
    /// Moves the order to `cancelled`, if it is not completed. Cancelling a cancelled order changes nothing and
    /// succeeds, so the request is safe to repeat. It takes no body.
    #[endpoint { method = POST, path = "/api/v1/orders/{order_id}/cancel", tags = ["orders"] }]
    async fn order_cancel(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<OrderPath>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError>;

    /// Ask whether the process runs
    ///
    /// Answers as soon as the process can answer at all; it does not touch the database. Restart what does not
    /// answer here.
    #[endpoint { method = GET, path = "/health", tags = ["operations"] }]
    async fn health(rqctx: RequestContext<Self::Context>) -> Result<Answer<HttpResponseOk<Health>>, HttpError>;

    /// Ask whether the service can do its work
    ///
    /// Looks whether the database answers and the process is not stopping; it does not ask user-service, whose
    /// absence stops only new orders. Send no requests to an instance that is not ready; it becomes ready again
    /// by itself.
    #[endpoint { method = GET, path = "/ready", tags = ["operations"] }]
    async fn ready(rqctx: RequestContext<Self::Context>) -> Result<Answer<HttpResponseOk<Readiness>>, HttpError>;
}

contract::integer_type! {
    /// An order's id, given out by order-service.
    pub struct OrderId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// The id of a user of user-service.
    pub struct UserId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// The id of a product.
    pub struct ProductId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 456;
}

contract::integer_type! {
    /// How many of the product.
    pub struct Quantity in 1..=1_000_000, example 2;
}

/// Where an order stands. `created`: placed. `confirmed`: accepted. `completed`: done, final. `cancelled`: given
/// up, final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(example = "OrderStatus::example")]
#[allow(missing_docs, reason = "docs on variants turn the schema into a oneOf")]
pub enum OrderStatus {
    Created,
    Confirmed,
    Completed,
    Cancelled,
}

impl OrderStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Created, Self::Confirmed, Self::Completed, Self::Cancelled];

    /// The status as the word it is in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Confirmed => "confirmed",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    fn example() -> Self {
        Self::Created
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The order's id.
    pub id: OrderId,
    /// Who placed it. The user may have been deleted since.
    pub user_id: UserId,
    /// What was ordered.
    pub product_id: ProductId,
    /// How many of it.
    pub quantity: Quantity,
    /// Where it stands.
    pub status: OrderStatus,
    /// When it was placed (RFC 3339, UTC, to the microsecond).
    #[schemars(example = "time_example")]
    pub created_at: DateTime<Utc>,
    /// When its status last changed (RFC 3339, UTC, to the microsecond); at first the same as `created_at`.
    #[schemars(example = "time_example")]
    pub updated_at: DateTime<Utc>,
}

fn time_example() -> &'static str {
    "2026-01-01T12:00:00.123456Z"
}

/// An order to place.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderCreate {
    /// Who places it: an existing user of user-service.
    pub user_id: UserId,
    /// What is ordered.
    pub product_id: ProductId,
    /// How many of it.
    pub quantity: Quantity,
}

/// What is told of an order just placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReceipt {
    /// The id of the order.
    pub order_id: OrderId,
    /// Its status: `created`.
    pub status: OrderStatus,
}

/// The status an order is to have.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderStatusUpdate {
    /// The status to move to.
    pub status: OrderStatus,
}

/// The variables of a path to one order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderPath {
    /// The order's id.
    pub order_id: OrderId,
}

/// Which orders to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderListQuery {
    /// Only orders of this user.
    pub user_id: Option<UserId>,
    /// Only orders with this status.
    pub status: Option<OrderStatus>,
    /// The most orders on a page; 100 if absent. Beside a `page_token` it changes the length of the pages from
    /// there on.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the page before. Not together with `user_id` or `status`.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of orders.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderPage {
    /// The orders, the newest first.
    pub items: Vec<Order>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

fn next_page_example() -> &'static str {
    "WyJvcmRlcnMiLHsiYmVmb3JlIjoyLCJmaWx0ZXIiOnsidXNlcl9pZCI6bnVsbCwic3RhdHVzIjpudWxsfSwibGltaXQiOjF9Xc5-k8M"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_the_same_word_everywhere() {
        for status in OrderStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        let schema = serde_json::to_value(schemars::schema_for!(OrderStatus)).unwrap();
        assert_eq!(schema["enum"], serde_json::json!(OrderStatus::ALL), "all of them");
    }
}

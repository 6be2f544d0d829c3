//! The contract of order-service: its operations, what they accept, what they return and how they fail.
//!
//! The service owns orders and their statuses. It asks user-service whether a user exists before it stores an order, and
//! stores nothing of the user but the id. It reserves what is ordered at product-service, where one is configured, and keeps
//! a copy of the names and prices that were agreed.
//!
//! This crate has no behaviour. The service implements [`OrderServiceApi`]; [`service_contract()`] makes the OpenAPI document of
//! it, checked in as `openapi/order-service.json`. The doc comments here are that document's text, written for people who
//! will never see this code.

mod events;
mod item;
mod operations;

use contract::answer::{Answer, Created};
use contract::deprecated::deprecated;
use contract::extract::{JsonBody, PathParams, QueryParams, optional};
use contract::idempotency::KeyHeader;
use contract::money::Money;
use contract::page::PageLimit;
use contract::time::Timestamp;
use dropshot::{HttpError, HttpResponseOk, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use events::{
    ConfirmedItem, OrderCancelled, OrderCompleted, OrderConfirmed, OrderCreated, PlacedItem, ReservationId,
};
pub use item::{ItemName, OrderItem, OrderItemCreate, ProductId, Quantity};
pub use operations::{
    INSUFFICIENT_STOCK, INVALID_TRANSITION, MIXED_CURRENCIES, ORDER_NOT_FOUND, PRICE_CHANGED, PRODUCT_NOT_FOUND,
    PRODUCT_SERVICE_INVALID_RESPONSE, PRODUCT_SERVICE_TIMEOUT, PRODUCT_SERVICE_UNAVAILABLE, TOTAL_TOO_LARGE,
    USER_NOT_FOUND, USER_SERVICE_INVALID_RESPONSE, USER_SERVICE_TIMEOUT, USER_SERVICE_UNAVAILABLE, service_contract,
};

/// The operations of order-service.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "orders" = {
                description = "Orders that users place: create, read and list them, and change their status.",
            },
        },
    },
}]
pub trait OrderServiceApi {
    /// What the implementation shares between requests.
    type Context;

    /// Place an order
    ///
    /// Checks with user-service that the user exists, reserves the items at product-service, stores the order with the
    /// status `created`, and returns a receipt: the order's id and status. Read the whole order at the path in `Location`.
    ///
    /// Order one or more products with `items`, or one with `product_id` and `quantity`. Names and prices are those of the
    /// moment in which the items are reserved. With `expected_total` nothing is ordered at another total.
    ///
    /// Payment follows by itself: payment-service charges the total to the `payment_method`, and the order becomes
    /// `confirmed`, or `cancelled` if that fails or nothing is paid until `payment_due_at`. An order without prices is not
    /// paid, and stays `created` until its status is set.
    ///
    /// The order is stored if the response is 201. It may be stored after `database_unavailable`, `deadline_exceeded`,
    /// `internal_error` or no response at all, and is not stored after any other error. With an `Idempotency-Key` the
    /// request is safe to repeat in every case.
    ///
    /// Where the platform runs without a product-service, products are not checked, items have neither name nor price, and
    /// `expected_total` has no effect.
    #[endpoint { method = POST, path = "/api/v1/orders", tags = ["orders"] }]
    async fn order_create(
        rqctx: RequestContext<Self::Context>,
        key: KeyHeader,
        body: JsonBody<OrderCreate>,
    ) -> Result<Answer<Created<OrderReceipt>>, HttpError>;

    /// List orders
    ///
    /// Returns orders from the newest to the oldest, one page at a time, optionally filtered by user and status. To get the
    /// next page, pass `next_page` as `page_token`; the last page has no `next_page`. The token contains the filters. No
    /// order appears twice; an order placed while you page may be missing.
    #[endpoint { method = GET, path = "/api/v1/orders", tags = ["orders"] }]
    async fn order_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<OrderListQuery>,
    ) -> Result<Answer<HttpResponseOk<OrderPage>>, HttpError>;

    /// Read an order
    ///
    /// Returns the order as last stored.
    #[endpoint { method = GET, path = "/api/v1/orders/{order_id}", tags = ["orders"] }]
    async fn order_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<OrderPath>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError>;

    /// Set an order's status
    ///
    /// Moves the order to the given status if its current one allows it: `created` to `confirmed`, `confirmed` to
    /// `completed`, and either to `cancelled`. `completed` and `cancelled` are final. Setting the current status again
    /// changes nothing and succeeds, so the request is safe to repeat.
    ///
    /// Of two concurrent requests that contradict each other, one succeeds and the other is refused. The same holds between
    /// a request and a payment. An order that is confirmed by a request is cancelled if its payment fails later.
    #[endpoint { method = PUT, path = "/api/v1/orders/{order_id}/status", tags = ["orders"] }]
    async fn order_set_status(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<OrderPath>,
        body: JsonBody<OrderStatusUpdate>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError>;

    /// Cancel an order
    ///
    /// Moves the order to `cancelled` unless it is completed, makes its items available to others again, and has refunded
    /// what was paid. Cancelling a cancelled order changes nothing and succeeds, so the request is safe to repeat. The
    /// request has no body.
    #[endpoint { method = POST, path = "/api/v1/orders/{order_id}/cancel", tags = ["orders"] }]
    async fn order_cancel(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<OrderPath>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError>;
}

contract::integer_type! {
    /// An order's id, assigned by order-service.
    pub struct OrderId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// The id of a user of user-service.
    pub struct UserId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::string_type! {
    /// How the order is to be paid: a token that the payment provider understands.
    pub struct PaymentMethod {
        length: 1..=255,
        pattern: "^[!-~]+$",
        expected: "visible ASCII characters without spaces",
        example: "tok_ok",
    }
}

contract::string_enum! {
    /// The status of an order. `created`: placed. `confirmed`: accepted, and paid if it has prices. `completed`: fulfilled,
    /// final. `cancelled`: final.
    pub enum OrderStatus {
        Created = "created",
        Confirmed = "confirmed",
        Completed = "completed",
        Cancelled = "cancelled",
    }
}

contract::string_enum! {
    /// Why an order was cancelled. `requested`: somebody asked for it, or had it refunded. `payment_failed`: the payment was
    /// declined.
    /// `payment_timeout`: there was no payment in time. `out_of_stock`: an item was sold to others before it was kept for this
    /// order.
    pub enum CancellationReason {
        Requested = "requested",
        PaymentFailed = "payment_failed",
        PaymentTimeout = "payment_timeout",
        OutOfStock = "out_of_stock",
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The order's id.
    pub id: OrderId,
    /// The user who placed it; may have been deleted since.
    pub user_id: UserId,
    /// The product of the first item; use `items`.
    #[schemars(schema_with = "deprecated::<ProductId>")]
    pub product_id: ProductId,
    /// The quantity of the first item; use `items`.
    #[schemars(schema_with = "deprecated::<Quantity>")]
    pub quantity: Quantity,
    /// What is ordered, in the order of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<OrderItem>,
    /// The sum of all items; absent if the order was placed without prices.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    pub total: Option<Money>,
    /// The current status.
    pub status: OrderStatus,
    /// Until when it has to be paid, or it is cancelled; absent unless it is `created` and was placed with prices.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub payment_due_at: Option<Timestamp>,
    /// Why it was cancelled; absent unless it was, and if it was before reasons were recorded.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CancellationReason")]
    pub cancellation_reason: Option<CancellationReason>,
    /// When it was placed (RFC 3339, UTC, to the microsecond).
    pub created_at: Timestamp,
    /// When its status last changed (RFC 3339, UTC, to the microsecond); initially `created_at`.
    pub updated_at: Timestamp,
}

/// An order to place: of `items`, or of one product with `product_id` and `quantity`.
// Absent fields are not serialized and the first three come first: a stored fingerprint of a request with an
// `Idempotency-Key` must fit the same request as long as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderCreate {
    /// The user who places it: an existing user of user-service.
    pub user_id: UserId,
    /// The product to order, without `items`.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProductId")]
    pub product_id: Option<ProductId>,
    /// The number of units, without `items`.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Quantity")]
    pub quantity: Option<Quantity>,
    /// The products to order: 1 to 100, each once.
    #[serde(default, deserialize_with = "item::each_product_once", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<OrderItemCreate>", length(min = 1, max = 100))]
    pub items: Option<Vec<OrderItemCreate>>,
    /// The total that the user has agreed to: at any other, nothing is ordered.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    pub expected_total: Option<Money>,
    /// How the order is to be paid.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PaymentMethod")]
    pub payment_method: Option<PaymentMethod>,
}

/// The receipt of a placed order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReceipt {
    /// The id of the order.
    pub order_id: OrderId,
    /// Its status: `created`.
    pub status: OrderStatus,
}

/// A new status of an order.
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

/// The filters and the page of a list of orders.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderListQuery {
    /// Only orders of this user.
    pub user_id: Option<UserId>,
    /// Only orders with this status.
    pub status: Option<OrderStatus>,
    /// The maximum number of orders on a page; a page of large ones has fewer. If absent, 100 on the first page, and that of
    /// the page before with a `page_token`.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the previous page. It contains the filters: leave them out, or repeat them unchanged.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of orders.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderPage {
    /// The orders, newest first.
    pub items: Vec<Order>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

fn next_page_example() -> &'static str {
    "WyJvcmRlcnMiLHsiYmVmb3JlIjoyLCJmaWx0ZXIiOnsidXNlcl9pZCI6bnVsbCwic3RhdHVzIjpudWxsfSwibGltaXQiOjF9Xc5-k8M"
}

//! The contract of payment-service: its operations, what they accept, what they return and how they fail.
//!
//! The service has orders paid: an order that is placed is charged at a payment provider, and the money of one that is
//! cancelled is refunded. It learns of orders by the events of order-service.
//!
//! This crate has no behaviour. The service implements [`PaymentServiceApi`]; [`service_contract()`] makes the OpenAPI
//! document of it, checked in as `openapi/payment-service.json`. The doc comments here are that document's text, written
//! for people who will never see this code.

mod events;
mod operations;

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams, RawBody, optional};
use contract::idempotency::KeyHeader;
use contract::money::Money;
use contract::page::PageLimit;
use contract::time::Timestamp;
use dropshot::{HttpError, HttpResponseOk, HttpResponseUpdatedNoContent, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use events::{PaymentCompleted, PaymentFailed, PaymentRefunded};
pub use operations::{
    ALREADY_PAID, INVALID_SIGNATURE, NOT_REFUNDABLE, ORDER_CANCELLED, PAYMENT_NOT_FOUND, REFUND_NOT_FOUND,
    REFUND_TOO_LARGE, service_contract,
};

/// The operations of payment-service.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "payments" = {
                description = "Payments and refunds of orders.",
            },
        },
    },
}]
pub trait PaymentServiceApi {
    /// What the implementation shares between requests.
    type Context;

    /// Pay an order
    ///
    /// Stores a new payment, which is then charged: read it to learn how it ended. An order that is placed with prices is
    /// paid without this; use it for one that was placed before the platform charged orders, or to replace a payment that
    /// failed. An order is confirmed by a payment of exactly its total.
    ///
    /// The payment is stored if the response is 201. It may be stored after `database_unavailable`, `deadline_exceeded`,
    /// `internal_error` or no response at all, and is not stored after any other error. With an `Idempotency-Key` the
    /// request is safe to repeat in every case.
    #[endpoint { method = POST, path = "/api/v1/payments", tags = ["payments"] }]
    async fn payment_create(
        rqctx: RequestContext<Self::Context>,
        key: KeyHeader,
        body: JsonBody<PaymentCreate>,
    ) -> Result<Answer<Created<Payment>>, HttpError>;

    /// List payments
    ///
    /// Returns payments from the newest to the oldest, one page at a time, optionally filtered by order, user and status. To
    /// get the next page, pass `next_page` as `page_token`; the last page has no `next_page`. The token contains the filters.
    /// No payment appears twice; one made while you page may be missing.
    #[endpoint { method = GET, path = "/api/v1/payments", tags = ["payments"] }]
    async fn payment_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<PaymentListQuery>,
    ) -> Result<Answer<HttpResponseOk<PaymentPage>>, HttpError>;

    /// Read a payment
    ///
    /// Returns the payment as last stored.
    #[endpoint { method = GET, path = "/api/v1/payments/{payment_id}", tags = ["payments"] }]
    async fn payment_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<PaymentPath>,
    ) -> Result<Answer<HttpResponseOk<Payment>>, HttpError>;

    /// Refund a payment
    ///
    /// Stores a new refund of a part of a payment, or of all that is left of it, which is then made by the provider: read it
    /// to learn how it ended. All refunds of a payment add up to at most its amount. A confirmed order whose payment is
    /// refunded wholly is cancelled.
    ///
    /// The refund is stored if the response is 201. It may be stored after `database_unavailable`, `deadline_exceeded`,
    /// `internal_error` or no response at all, and is not stored after any other error. With an `Idempotency-Key` the
    /// request is safe to repeat in every case.
    #[endpoint { method = POST, path = "/api/v1/payments/{payment_id}/refunds", tags = ["payments"] }]
    async fn refund_create(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<PaymentPath>,
        key: KeyHeader,
        body: JsonBody<RefundCreate>,
    ) -> Result<Answer<Created<Refund>>, HttpError>;

    /// Read a refund
    ///
    /// Returns the refund as last stored.
    #[endpoint { method = GET, path = "/api/v1/payments/{payment_id}/refunds/{refund_id}", tags = ["payments"] }]
    async fn refund_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<RefundPath>,
    ) -> Result<Answer<HttpResponseOk<Refund>>, HttpError>;

    /// Take a report of Stripe
    ///
    /// For Stripe alone, which calls it when something has happened to a charge or a refund. The body is one of Stripe's
    /// events, signed in the header `Stripe-Signature` with the secret of this endpoint. Stripe is then asked at once about
    /// the payment, and the answer counts: a report is never believed, so one that comes late, twice or not at all changes
    /// nothing but the time. Reports of anything else are ignored.
    ///
    /// Without that header and without a body nothing is reported, which shows whether the endpoint can be reached.
    #[endpoint { method = POST, path = "/api/v1/stripe/events", tags = ["payments"] }]
    async fn stripe_event_receive(
        rqctx: RequestContext<Self::Context>,
        body: RawBody,
    ) -> Result<Answer<HttpResponseUpdatedNoContent>, HttpError>;
}

contract::integer_type! {
    /// A payment's id, assigned by payment-service.
    pub struct PaymentId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// A refund's id, assigned by payment-service.
    pub struct RefundId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// The id of an order of order-service.
    pub struct OrderId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// The id of a user of user-service.
    pub struct UserId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::string_type! {
    /// How to pay: a token that the payment provider understands.
    pub struct PaymentMethod {
        length: 1..=255,
        pattern: "^[!-~]+$",
        expected: "visible ASCII characters without spaces",
        example: "tok_ok",
    }
}

contract::string_enum! {
    /// The status of a payment. `pending`: not charged yet, or the outcome is not known yet; the provider is asked until it
    /// is. `completed`: charged. `failed`: not charged, final. `refunded`: charged and refunded wholly, final.
    pub enum PaymentStatus {
        Pending = "pending",
        Completed = "completed",
        Failed = "failed",
        Refunded = "refunded",
    }
}

contract::string_enum! {
    /// Why a payment failed. `declined`: the provider declined it. `order_cancelled`: its order was cancelled before it was
    /// charged.
    pub enum FailureReason {
        Declined = "declined",
        OrderCancelled = "order_cancelled",
    }
}

contract::string_enum! {
    /// The status of a refund. `pending`: not made yet, or the outcome is not known yet; the provider is asked until it is.
    /// `completed`: made, final. `failed`: the provider refused it, final; nothing was refunded.
    pub enum RefundStatus {
        Pending = "pending",
        Completed = "completed",
        Failed = "failed",
    }
}

/// A payment of an order. An order has at most one that is `pending` or `completed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    /// The payment's id.
    pub id: PaymentId,
    /// The order that is paid.
    pub order_id: OrderId,
    /// The user who pays; may have been deleted since.
    pub user_id: UserId,
    /// How much is paid.
    pub amount: Money,
    /// How much of it the provider has refunded.
    pub refunded: Money,
    /// The current status.
    pub status: PaymentStatus,
    /// Why it failed; absent unless it did.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FailureReason")]
    pub failure_reason: Option<FailureReason>,
    /// When it was stored (RFC 3339, UTC, to the microsecond).
    pub created_at: Timestamp,
    /// When it last changed (RFC 3339, UTC, to the microsecond); initially `created_at`.
    pub updated_at: Timestamp,
}

/// A payment to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentCreate {
    /// The order to pay.
    pub order_id: OrderId,
    /// The user who pays.
    pub user_id: UserId,
    /// How much to pay. Nothing is charged for 0.
    pub amount: Money,
    /// What to charge.
    pub payment_method: PaymentMethod,
}

/// A refund of a payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refund {
    /// The refund's id.
    pub id: RefundId,
    /// The payment of which it is a part.
    pub payment_id: PaymentId,
    /// How much is refunded.
    pub amount: Money,
    /// The current status.
    pub status: RefundStatus,
    /// When it was stored (RFC 3339, UTC, to the microsecond).
    pub created_at: Timestamp,
    /// When its status last changed (RFC 3339, UTC, to the microsecond); initially `created_at`.
    pub updated_at: Timestamp,
}

/// A refund to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundCreate {
    /// How much to refund, more than 0 and in the currency of the payment; if absent, all that is left of it.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    pub amount: Option<Money>,
}

/// The variables of a path to one payment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentPath {
    /// The payment's id.
    pub payment_id: PaymentId,
}

/// The variables of a path to one refund.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundPath {
    /// The payment's id.
    pub payment_id: PaymentId,
    /// The refund's id.
    pub refund_id: RefundId,
}

/// The filters and the page of a list of payments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentListQuery {
    /// Only payments of this order.
    pub order_id: Option<OrderId>,
    /// Only payments by this user.
    pub user_id: Option<UserId>,
    /// Only payments with this status.
    pub status: Option<PaymentStatus>,
    /// The maximum number of payments on a page. If absent, 100 on the first page, and that of the page before with a
    /// `page_token`.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the previous page. It contains the filters: leave them out, or repeat them unchanged.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of payments.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentPage {
    /// The payments, newest first.
    pub items: Vec<Payment>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

fn next_page_example() -> &'static str {
    "WyJwYXltZW50cyIseyJiZWZvcmUiOjIsImZpbHRlciI6eyJvcmRlcl9pZCI6bnVsbCwidXNlcl9pZCI6bnVsbCwic3RhdHVzIjpudWxsfSwibGltaXQiOjF9XXYBAmU"
}

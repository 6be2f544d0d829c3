//! The contract of payment-provider: its operations, what they accept, what they return and how they fail.
//!
//! The program stands for a payment provider where none is configured: for development and for tests. It moves no money; it
//! keeps a ledger of the charges and refunds that it was asked for, and misbehaves as the payment method tells it.
//!
//! This crate has no behaviour. The service implements [`PaymentProviderApi`]; [`service_contract()`] makes the OpenAPI
//! document of it, checked in as `openapi/payment-provider.json`. The doc comments here are that document's text, written
//! for people who will never see this code.

mod operations;

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams, optional};
use contract::money::{Amount, Money};
use contract::page::PageLimit;
use contract::time::Timestamp;
use dropshot::{HttpError, HttpResponseOk, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use operations::{
    CHARGE_ID_TAKEN, CHARGE_NOT_FOUND, CHARGE_NOT_REFUNDABLE, PROVIDER_FAILED, REFUND_ID_TAKEN, REFUND_NOT_FOUND,
    REFUND_TOO_LARGE, service_contract,
};

/// The operations of payment-provider.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "charges" = {
                description = "Charges and refunds: the provider's ledger.",
            },
        },
    },
}]
pub trait PaymentProviderApi {
    /// What the implementation shares between requests.
    type Context;

    /// Charge a payment method
    ///
    /// Makes the charge, or declines it; the payment method decides. The caller chooses the id: a repeated request with the
    /// same id and content returns the same charge, so the request is safe to repeat. A charge that was cancelled is not made.
    ///
    /// | `payment_method` | what happens |
    /// |---|---|
    /// | absent, `tok_ok` | The charge is made. |
    /// | `tok_declined`, and any other | The charge is declined. |
    /// | `tok_late` | The charge is made, and answered, 3 seconds after the first request for it. |
    /// | `tok_hang` | There is no answer, and no charge. |
    /// | `tok_fail_once` | The first request fails with `provider_failed`, the next makes the charge. |
    /// | `tok_charged_but_lost` | The first request makes the charge, but there is no answer; the next has one. |
    /// | `tok_twice` | The request is executed twice at the same time, and both have the same charge. |
    ///
    /// Refunds of a charge with `tok_late`, `tok_charged_but_lost` or `tok_twice` behave in the same way; all others are made.
    #[endpoint { method = POST, path = "/api/v1/charges", tags = ["charges"] }]
    async fn charge_create(
        rqctx: RequestContext<Self::Context>,
        body: JsonBody<ChargeCreate>,
    ) -> Result<Answer<Created<Charge>>, HttpError>;

    /// List charges
    ///
    /// Returns charges from the newest to the oldest, one page at a time, optionally filtered by reference. To get the next
    /// page, pass `next_page` as `page_token`; the last page has no `next_page`. The token contains the filter. No charge
    /// appears twice; one made while you page may be missing.
    #[endpoint { method = GET, path = "/api/v1/charges", tags = ["charges"] }]
    async fn charge_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<ChargeListQuery>,
    ) -> Result<Answer<HttpResponseOk<ChargePage>>, HttpError>;

    /// Read a charge
    ///
    /// Returns the charge as last stored.
    #[endpoint { method = GET, path = "/api/v1/charges/{charge_id}", tags = ["charges"] }]
    async fn charge_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ChargePath>,
    ) -> Result<Answer<HttpResponseOk<Charge>>, HttpError>;

    /// Cancel a charge
    ///
    /// Makes sure that the charge will not be made, even if nobody has requested it yet. A charge that has been made or
    /// declined stays as it is: look at the status of the response. The request is safe to repeat. It has no body.
    #[endpoint { method = POST, path = "/api/v1/charges/{charge_id}/cancel", tags = ["charges"] }]
    async fn charge_cancel(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ChargePath>,
    ) -> Result<Answer<HttpResponseOk<Charge>>, HttpError>;

    /// Refund a charge
    ///
    /// Refunds a part of a charge, or all of it. The caller chooses the id: a repeated request with the same id and content
    /// returns the same refund, so the request is safe to repeat. All refunds of a charge add up to at most its amount.
    #[endpoint { method = POST, path = "/api/v1/charges/{charge_id}/refunds", tags = ["charges"] }]
    async fn refund_create(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ChargePath>,
        body: JsonBody<RefundCreate>,
    ) -> Result<Answer<Created<Refund>>, HttpError>;

    /// Read a refund
    ///
    /// Returns the refund. Refunds never change.
    #[endpoint { method = GET, path = "/api/v1/charges/{charge_id}/refunds/{refund_id}", tags = ["charges"] }]
    async fn refund_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<RefundPath>,
    ) -> Result<Answer<HttpResponseOk<Refund>>, HttpError>;
}

contract::string_type! {
    /// A charge's id: a UUID in lower case, chosen by whoever charges.
    pub struct ChargeId {
        length: 36..=36,
        pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        expected: "a UUID in lower case",
        example: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    }
}

contract::string_type! {
    /// A refund's id: a UUID in lower case, chosen by whoever refunds.
    pub struct RefundId {
        length: 36..=36,
        pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        expected: "a UUID in lower case",
        example: "1b4e28ba-2fa1-41d2-883f-0016d3cca427",
    }
}

contract::string_type! {
    /// A token of a payment method.
    pub struct PaymentMethod {
        length: 1..=255,
        pattern: "^[!-~]+$",
        expected: "visible ASCII characters without spaces",
        example: "tok_ok",
    }
}

contract::string_type! {
    /// What the charge is for, in the words of whoever charges.
    pub struct Reference {
        length: 1..=100,
        pattern: "^[!-~]+$",
        expected: "visible ASCII characters without spaces",
        example: "orders/1",
    }
}

contract::string_enum! {
    /// The status of a charge, which is final. `succeeded`: the charge was made. `declined`: it was not, and will not be.
    /// `cancelled`: it was cancelled before it was made.
    pub enum ChargeStatus {
        Succeeded = "succeeded",
        Declined = "declined",
        Cancelled = "cancelled",
    }
}

/// A charge to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeCreate {
    /// The id to give it.
    pub charge_id: ChargeId,
    /// How much to charge.
    pub amount: Money,
    /// What to charge; decides what happens.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PaymentMethod")]
    pub payment_method: Option<PaymentMethod>,
    /// What it is for.
    pub reference: Reference,
}

/// A charge in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Charge {
    /// Its id.
    pub charge_id: ChargeId,
    /// Its status.
    pub status: ChargeStatus,
    /// How much was to be charged; absent if it was cancelled before anybody requested it.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    pub amount: Option<Money>,
    /// How much of it was refunded, in the same currency; not more than `amount`.
    pub refunded: Amount,
    /// What it is for; absent if it was cancelled before anybody requested it.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Reference")]
    pub reference: Option<Reference>,
    /// When it was made, declined or cancelled (RFC 3339, UTC, to the microsecond).
    pub created_at: Timestamp,
}

/// A refund to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundCreate {
    /// The id to give it.
    pub refund_id: RefundId,
    /// How much to refund.
    pub amount: Money,
}

/// A refund in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refund {
    /// Its id.
    pub refund_id: RefundId,
    /// The charge of which it is a part.
    pub charge_id: ChargeId,
    /// How much was refunded.
    pub amount: Money,
    /// When it was made (RFC 3339, UTC, to the microsecond).
    pub created_at: Timestamp,
}

/// The variables of a path to one charge.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargePath {
    /// The charge's id.
    pub charge_id: ChargeId,
}

/// The variables of a path to one refund.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundPath {
    /// The charge's id.
    pub charge_id: ChargeId,
    /// The refund's id.
    pub refund_id: RefundId,
}

/// The filter and the page of a list of charges.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeListQuery {
    /// Only charges with this reference.
    pub reference: Option<Reference>,
    /// The maximum number of charges on a page. If absent, 100 on the first page, and that of the page before with a
    /// `page_token`.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the previous page. It contains the filter: leave it out, or repeat it unchanged.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of charges.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChargePage {
    /// The charges, newest first.
    pub items: Vec<Charge>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

fn next_page_example() -> &'static str {
    "WyJjaGFyZ2VzIix7ImJlZm9yZSI6MiwicmVmZXJlbmNlIjpudWxsLCJsaW1pdCI6MX1d6xxGbA"
}

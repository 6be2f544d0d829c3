//! The contract of notification-service: its operations, what they accept, what they return and how they fail.
//!
//! The service sends users messages about what happens to them and their orders, by e-mail and SMS. It learns of that by the
//! events of other services, asks user-service for the address when it sends, and stores neither address nor text.
//!
//! This crate has no behaviour. The service implements [`NotificationServiceApi`]; [`service_contract()`] makes the OpenAPI
//! document of it, checked in as `openapi/notification-service.json`. The doc comments here are that document's text, written
//! for people who will never see this code.

mod operations;

use contract::answer::Answer;
use contract::extract::{PathParams, QueryParams, optional};
use contract::page::PageLimit;
use contract::time::Timestamp;
use dropshot::{HttpError, HttpResponseOk, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use operations::{NOTIFICATION_NOT_FOUND, service_contract};

/// The operations of notification-service.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "notifications" = {
                description = "Notifications: what was sent to whom about what.",
            },
        },
    },
}]
pub trait NotificationServiceApi {
    /// What the implementation shares between requests.
    type Context;

    /// List notifications
    ///
    /// Returns notifications from the newest to the oldest, one page at a time, optionally filtered by user, order and
    /// status. To get the next page, pass `next_page` as `page_token`; the last page has no `next_page`. The token contains
    /// the filters. No notification appears twice; one made while you page may be missing.
    #[endpoint { method = GET, path = "/api/v1/notifications", tags = ["notifications"] }]
    async fn notification_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<NotificationListQuery>,
    ) -> Result<Answer<HttpResponseOk<NotificationPage>>, HttpError>;

    /// Read a notification
    ///
    /// Returns the notification as last stored. It contains neither the text nor the address.
    #[endpoint { method = GET, path = "/api/v1/notifications/{notification_id}", tags = ["notifications"] }]
    async fn notification_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<NotificationPath>,
    ) -> Result<Answer<HttpResponseOk<Notification>>, HttpError>;
}

contract::integer_type! {
    /// A notification's id, assigned by notification-service.
    pub struct NotificationId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// The id of a user of user-service.
    pub struct UserId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// The id of an order of order-service.
    pub struct OrderId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::integer_type! {
    /// How many times something was tried.
    pub struct AttemptCount in 0..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::string_type! {
    /// The id of an event: a UUID in lower case.
    pub struct EventId {
        length: 36..=36,
        pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        expected: "a UUID in lower case",
        example: "019acd4e-8f5c-7d7e-b9f0-3c1d2a4b5e6f",
    }
}

contract::string_type! {
    /// The type of an event.
    pub struct EventTypeName {
        length: 3..=100,
        pattern: "^[a-z_0-9]+\\.[a-z_0-9]+$",
        expected: "what an event is about, a dot, and what happened",
        example: "order.confirmed",
    }
}

contract::string_enum! {
    /// A way to notify a user. `email`: at the user's e-mail address. `sms`: at the user's phone number.
    pub enum Channel {
        Email = "email",
        Sms = "sms",
    }
}

contract::string_enum! {
    /// The status of a notification. `queued`: will be sent. `sent`: accepted by the mail server or the
    /// SMS provider, or written to a file where none is configured; final.
    /// `failed`: cannot be sent, final. `suppressed`: is not to be sent, final.
    pub enum NotificationStatus {
        Queued = "queued",
        Sent = "sent",
        Failed = "failed",
        Suppressed = "suppressed",
    }
}

contract::string_enum! {
    /// Why a notification is not sent. `user_deleted`: the user does not exist any more. `opted_out`: the user does not want
    /// notifications on this channel. `refused`: the mail server or the SMS provider
    /// refused it for good, or nothing can be sent to the address. `expired`: it could
    /// not be sent within 24 hours. `unwritable`: its text cannot be made, a bug.
    pub enum NotificationReason {
        UserDeleted = "user_deleted",
        OptedOut = "opted_out",
        Refused = "refused",
        Expired = "expired",
        Unwritable = "unwritable",
    }
}

/// A notification: one event, told to one user on one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// The notification's id.
    pub id: NotificationId,
    /// The event that it is about. There is at most one notification of an event on a channel.
    pub event_id: EventId,
    /// The type of that event.
    pub event_type: EventTypeName,
    /// The user who is notified; may have been deleted since.
    pub user_id: UserId,
    /// The order that it is about; absent if it is about none.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OrderId")]
    pub order_id: Option<OrderId>,
    /// How the user is notified.
    pub channel: Channel,
    /// The current status.
    pub status: NotificationStatus,
    /// Why it is not sent; present if it is `failed` or `suppressed`.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NotificationReason")]
    pub reason: Option<NotificationReason>,
    /// How many attempts to send it have begun. After an attempt whose outcome is unknown it is sent again, so the user may
    /// get it twice; an e-mail then has the same `Message-ID`.
    pub attempts: AttemptCount,
    /// When it was queued (RFC 3339, UTC, to the microsecond).
    pub created_at: Timestamp,
    /// When its status last changed (RFC 3339, UTC, to the microsecond); initially `created_at`.
    pub updated_at: Timestamp,
}

/// The variables of a path to one notification.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationPath {
    /// The notification's id.
    pub notification_id: NotificationId,
}

/// The filters and the page of a list of notifications.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationListQuery {
    /// Only notifications of this user.
    pub user_id: Option<UserId>,
    /// Only notifications about this order.
    pub order_id: Option<OrderId>,
    /// Only notifications with this status.
    pub status: Option<NotificationStatus>,
    /// The maximum number of notifications on a page. If absent, 100 on the first page, and that of the page before with a
    /// `page_token`.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the previous page. It contains the filters: leave them out, or repeat them unchanged.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of notifications.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotificationPage {
    /// The notifications, newest first.
    pub items: Vec<Notification>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

fn next_page_example() -> &'static str {
    "WyJub3RpZmljYXRpb25zIix7ImJlZm9yZSI6MiwiZmlsdGVyIjp7InVzZXJfaWQiOm51bGwsIm9yZGVyX2lkIjpudWxsLCJzdGF0dXMiOm51bGx9LCJsaW1pdCI6MX1dOVDphA"
}

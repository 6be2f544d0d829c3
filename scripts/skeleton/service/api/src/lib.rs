//! The contract of widget-service: its operations, what they accept, what they return and how they fail.
//!
//! The service owns widgets.
//!
//! This crate has no behaviour. The service implements [`WidgetServiceApi`]; [`service_contract()`] makes the OpenAPI document of
//! it, checked in as `openapi/widget-service.json`. The doc comments here are that document's text, written for people who
//! will never see this code.

mod events;
mod operations;

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::idempotency::KeyHeader;
use contract::page::PageLimit;
use dropshot::{HttpError, HttpResponseOk, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use events::WidgetCreated;
pub use operations::{WIDGET_NOT_FOUND, service_contract};

/// The operations of widget-service.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "widgets" = {
                description = "Widgets: create, read and list them.",
            },
        },
    },
}]
pub trait WidgetServiceApi {
    /// What the implementation shares between requests.
    type Context;

    /// Create a widget
    ///
    /// Stores a new widget and returns it. With an `Idempotency-Key` the request is safe to repeat in every case.
    #[endpoint { method = POST, path = "/api/v1/widgets", tags = ["widgets"] }]
    async fn widget_create(
        rqctx: RequestContext<Self::Context>,
        key: KeyHeader,
        body: JsonBody<WidgetCreate>,
    ) -> Result<Answer<Created<Widget>>, HttpError>;

    /// List widgets
    ///
    /// Returns widgets by ascending id, one page at a time. To get the next page, pass `next_page` as `page_token`; the
    /// last page has no `next_page`. No widget appears twice; a widget created while you page may be missing.
    #[endpoint { method = GET, path = "/api/v1/widgets", tags = ["widgets"] }]
    async fn widget_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<WidgetListQuery>,
    ) -> Result<Answer<HttpResponseOk<WidgetPage>>, HttpError>;

    /// Read a widget
    ///
    /// Returns the widget as last stored.
    #[endpoint { method = GET, path = "/api/v1/widgets/{widget_id}", tags = ["widgets"] }]
    async fn widget_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<WidgetPath>,
    ) -> Result<Answer<HttpResponseOk<Widget>>, HttpError>;
}

contract::integer_type! {
    /// A widget's id, assigned by widget-service.
    pub struct WidgetId in 1..=contract::constrained::MAX_SAFE_INTEGER, example 1;
}

contract::string_type! {
    /// A widget's name: visible ASCII, spaces only inside.
    pub struct WidgetName {
        length: 1..=100,
        pattern: "^[!-~]([ -~]*[!-~])?$",
        expected: "visible ASCII, spaces only inside",
        example: "First widget",
    }
}

/// A widget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Widget {
    /// The widget's id.
    pub id: WidgetId,
    /// The widget's name.
    pub name: WidgetName,
}

/// A widget to create.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WidgetCreate {
    /// The widget's name.
    pub name: WidgetName,
}

/// The variables of a path to one widget.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WidgetPath {
    /// The widget's id.
    pub widget_id: WidgetId,
}

/// The page of a list of widgets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WidgetListQuery {
    /// The maximum number of widgets on a page. If absent, 100 on the first page, and that of the page before with a
    /// `page_token`.
    pub limit: Option<PageLimit>,
    /// The `next_page` of the previous page.
    #[schemars(with = "String")]
    #[serde(default)]
    pub page_token: Option<String>,
}

/// A page of widgets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WidgetPage {
    /// The widgets, by ascending id.
    pub items: Vec<Widget>,
    /// The `page_token` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = "next_page_example")]
    pub next_page: Option<String>,
}

fn next_page_example() -> &'static str {
    "EXAMPLE_TOKEN"
}

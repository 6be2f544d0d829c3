//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::idempotency::KeyHeader;
use dropshot::{ApiDescription, ApiDescriptionBuildErrors, HttpError, HttpResponseOk, RequestContext};
use service_runtime::guard::{self, Guard};
use widget_service_api::{
    WIDGET_NOT_FOUND, Widget, WidgetCreate, WidgetListQuery, WidgetPage, WidgetPath, WidgetServiceApi,
    widget_service_api_mod,
};

use crate::widgets::{WidgetError, Widgets};

type Context = Guard<Widgets>;

pub(crate) fn api() -> Result<ApiDescription<Context>, ApiDescriptionBuildErrors> {
    widget_service_api_mod::api_description::<WidgetService>()
}

impl From<WidgetError> for HttpError {
    fn from(error: WidgetError) -> Self {
        match error {
            WidgetError::NotFound => WIDGET_NOT_FOUND.to_error(),
            WidgetError::Key(error) => error.into(),
            WidgetError::Page(error) => error.into(),
            WidgetError::Database(error) => error.into(),
        }
    }
}

enum WidgetService {}

impl WidgetServiceApi for WidgetService {
    type Context = Context;

    async fn widget_create(
        rqctx: RequestContext<Context>,
        KeyHeader(key): KeyHeader,
        JsonBody(widget): JsonBody<WidgetCreate>,
    ) -> Result<Answer<Created<Widget>>, HttpError> {
        guard::handle(&rqctx, |widgets, request| async move { Ok(widgets.create(widget, key, &request).await?) }).await
    }

    async fn widget_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<WidgetListQuery>,
    ) -> Result<Answer<HttpResponseOk<WidgetPage>>, HttpError> {
        guard::handle(&rqctx, |widgets, _| async move { Ok(HttpResponseOk(widgets.list(query).await?)) }).await
    }

    async fn widget_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<WidgetPath>,
    ) -> Result<Answer<HttpResponseOk<Widget>>, HttpError> {
        guard::handle(&rqctx, |widgets, _| async move { Ok(HttpResponseOk(widgets.view(path.widget_id).await?)) }).await
    }
}

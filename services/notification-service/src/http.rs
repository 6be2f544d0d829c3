//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use contract::answer::Answer;
use contract::extract::{PathParams, QueryParams};
use dropshot::{ApiDescription, ApiDescriptionBuildErrors, HttpError, HttpResponseOk, RequestContext};
use notification_service_api::{
    NOTIFICATION_NOT_FOUND, Notification, NotificationListQuery, NotificationPage, NotificationPath,
    NotificationServiceApi, notification_service_api_mod,
};
use service_runtime::guard::{self, Guard};

use crate::notifications::{NotificationError, Notifications};

type Context = Guard<Notifications>;

pub(crate) fn api() -> Result<ApiDescription<Context>, ApiDescriptionBuildErrors> {
    notification_service_api_mod::api_description::<NotificationService>()
}

impl From<NotificationError> for HttpError {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::NotFound => NOTIFICATION_NOT_FOUND.to_error(),
            NotificationError::Page(error) => error.into(),
            NotificationError::Database(error) => error.into(),
        }
    }
}

enum NotificationService {}

impl NotificationServiceApi for NotificationService {
    type Context = Context;

    async fn notification_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<NotificationListQuery>,
    ) -> Result<Answer<HttpResponseOk<NotificationPage>>, HttpError> {
        guard::handle(&rqctx, |notifications, _| async move { Ok(HttpResponseOk(notifications.list(query).await?)) })
            .await
    }

    async fn notification_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<NotificationPath>,
    ) -> Result<Answer<HttpResponseOk<Notification>>, HttpError> {
        guard::handle(&rqctx, |notifications, _| async move {
            Ok(HttpResponseOk(notifications.view(path.notification_id).await?))
        })
        .await
    }
}

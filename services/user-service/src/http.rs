//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::idempotency::KeyHeader;
use dropshot::{
    ApiDescription, ApiDescriptionBuildErrors, HttpError, HttpResponseDeleted, HttpResponseOk, RequestContext,
};
use service_runtime::guard::{self, Guard};
use slog::info;
use user_service_api::{
    Contact, ContactReplace, EMAIL_TAKEN, PHONE_MISSING, USER_NOT_FOUND, User, UserCreate, UserListQuery, UserPage,
    UserPath, UserReplace, UserServiceApi, user_service_api_mod,
};

use crate::users::{UserError, Users};

type Context = Guard<Users>;

pub(crate) fn api() -> Result<ApiDescription<Context>, ApiDescriptionBuildErrors> {
    user_service_api_mod::api_description::<UserService>()
}

impl From<UserError> for HttpError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => USER_NOT_FOUND.to_error(),
            UserError::EmailTaken => EMAIL_TAKEN.to_error(),
            UserError::PhoneMissing => PHONE_MISSING.to_error(),
            UserError::Key(error) => error.into(),
            UserError::Page(error) => error.into(),
            UserError::Database(error) => error.into(),
        }
    }
}

enum UserService {}

impl UserServiceApi for UserService {
    type Context = Context;

    async fn user_create(
        rqctx: RequestContext<Context>,
        KeyHeader(key): KeyHeader,
        JsonBody(user): JsonBody<UserCreate>,
    ) -> Result<Answer<Created<User>>, HttpError> {
        guard::handle(&rqctx, |users, request| async move { Ok(users.create(user, key, &request).await?) }).await
    }

    async fn user_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<UserListQuery>,
    ) -> Result<Answer<HttpResponseOk<UserPage>>, HttpError> {
        guard::handle(&rqctx, |users, _| async move { Ok(HttpResponseOk(users.list(query).await?)) }).await
    }

    async fn user_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseOk<User>>, HttpError> {
        guard::handle(&rqctx, |users, _| async move { Ok(HttpResponseOk(users.view(path.user_id).await?)) }).await
    }

    async fn user_replace(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
        JsonBody(user): JsonBody<UserReplace>,
    ) -> Result<Answer<HttpResponseOk<User>>, HttpError> {
        guard::handle(&rqctx, |users, request| async move {
            let user = users.replace(path.user_id, user).await?;
            info!(request.log, "user replaced"; "user_id" => user.id.get());
            Ok(HttpResponseOk(user))
        })
        .await
    }

    async fn user_delete(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseDeleted>, HttpError> {
        guard::handle(&rqctx, |users, request| async move {
            users.delete(path.user_id, &request).await?;
            info!(request.log, "user deleted"; "user_id" => path.user_id.get());
            Ok(HttpResponseDeleted())
        })
        .await
    }

    async fn contact_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseOk<Contact>>, HttpError> {
        guard::handle(&rqctx, |users, _| async move { Ok(HttpResponseOk(users.contact(path.user_id).await?)) }).await
    }

    async fn contact_replace(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
        JsonBody(contact): JsonBody<ContactReplace>,
    ) -> Result<Answer<HttpResponseOk<Contact>>, HttpError> {
        guard::handle(&rqctx, |users, request| async move {
            let contact = users.replace_contact(path.user_id, contact).await?;
            info!(request.log, "contact replaced"; "user_id" => path.user_id.get());
            Ok(HttpResponseOk(contact))
        })
        .await
    }
}

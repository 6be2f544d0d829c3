//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use anyhow::{Result, anyhow};
use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::health::{Health, Readiness};
use contract::idempotency::KeyHeader;
use dropshot::{ApiDescription, HttpError, HttpResponseDeleted, HttpResponseOk, RequestContext};
use service_runtime::guard::{self, Guard};
use slog::info;
use user_service_api::{
    EMAIL_TAKEN, USER_NOT_FOUND, User, UserCreate, UserListQuery, UserPage, UserPath, UserReplace, UserServiceApi,
    user_service_api_mod,
};

use crate::users::{UserError, Users};

type Context = Guard<Users>;

pub(crate) fn api() -> Result<ApiDescription<Context>> {
    user_service_api_mod::api_description::<UserService>().map_err(|error| anyhow!("{error}"))
}

impl From<UserError> for HttpError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => USER_NOT_FOUND.to_error(),
            UserError::EmailTaken => EMAIL_TAKEN.to_error(),
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
        guard::handle(&rqctx, |request| async move {
            let (user, answer) = request.state.create(user, key).await?;
            match user {
                Some(user) => info!(request.log, "Created new user"; "user_id" => user.id.get()),
                None => info!(request.log, "Repeated an answer"; "location" => &answer.location),
            }
            Ok(answer)
        })
        .await
    }

    async fn user_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<UserListQuery>,
    ) -> Result<Answer<HttpResponseOk<UserPage>>, HttpError> {
        guard::handle(&rqctx, |request| async move { Ok(HttpResponseOk(request.state.list(query).await?)) }).await
    }

    async fn user_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseOk<User>>, HttpError> {
        guard::handle(&rqctx, |request| async move { Ok(HttpResponseOk(request.state.view(path.user_id).await?)) })
            .await
    }

    async fn user_replace(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
        JsonBody(user): JsonBody<UserReplace>,
    ) -> Result<Answer<HttpResponseOk<User>>, HttpError> {
        guard::handle(&rqctx, |request| async move {
            let user = request.state.replace(path.user_id, user).await?;
            info!(request.log, "Replaced user"; "user_id" => user.id.get());
            Ok(HttpResponseOk(user))
        })
        .await
    }

    async fn user_delete(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
    ) -> Result<Answer<HttpResponseDeleted>, HttpError> {
        guard::handle(&rqctx, |request| async move {
            request.state.delete(path.user_id).await?;
            info!(request.log, "Deleted user"; "user_id" => path.user_id.get());
            Ok(HttpResponseDeleted())
        })
        .await
    }

    async fn health(_: RequestContext<Context>) -> Result<Answer<HttpResponseOk<Health>>, HttpError> {
        guard::health()
    }

    async fn ready(rqctx: RequestContext<Context>) -> Result<Answer<HttpResponseOk<Readiness>>, HttpError> {
        guard::ready(&rqctx).await
    }
}

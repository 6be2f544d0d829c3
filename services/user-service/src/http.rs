//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use anyhow::{Result, anyhow};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::health::{Health, Readiness};
use dropshot::{
    ApiDescription, HttpError, HttpResponseCreated, HttpResponseDeleted, HttpResponseHeaders, HttpResponseOk,
    RequestContext,
};
use service_runtime::database::Database;
use service_runtime::server::ReadinessProbe;
use slog::info;
use user_service_api::{
    EMAIL_TAKEN, USER_NOT_FOUND, User, UserCreate, UserListQuery, UserLocation, UserPage, UserPath, UserReplace,
    UserServiceApi, user_service_api_mod,
};

use crate::store::UserStore;
use crate::users::{UserError, Users};

/// What the operations share.
pub(crate) struct Context {
    users: Users,
    probe: ReadinessProbe,
}

impl Context {
    pub(crate) fn new(database: Database, probe: ReadinessProbe) -> Self {
        Self { users: Users::new(UserStore::new(database)), probe }
    }
}

pub(crate) fn api() -> Result<ApiDescription<Context>> {
    user_service_api_mod::api_description::<UserService>().map_err(|error| anyhow!("{error}"))
}

impl From<UserError> for HttpError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => USER_NOT_FOUND.plain(),
            UserError::EmailTaken => EMAIL_TAKEN.plain(),
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
        JsonBody(user): JsonBody<UserCreate>,
    ) -> Result<HttpResponseHeaders<HttpResponseCreated<User>, UserLocation>, HttpError> {
        let user = rqctx.context().users.create(user).await?;
        info!(rqctx.log, "Created new user"; "user_id" => user.id.get());
        let location = format!("/api/v1/users/{}", user.id);
        Ok(HttpResponseHeaders::new(HttpResponseCreated(user), UserLocation { location }))
    }

    async fn user_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<UserListQuery>,
    ) -> Result<HttpResponseOk<UserPage>, HttpError> {
        Ok(HttpResponseOk(rqctx.context().users.list(query).await?))
    }

    async fn user_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
    ) -> Result<HttpResponseOk<User>, HttpError> {
        Ok(HttpResponseOk(rqctx.context().users.view(path.user_id).await?))
    }

    async fn user_replace(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
        JsonBody(user): JsonBody<UserReplace>,
    ) -> Result<HttpResponseOk<User>, HttpError> {
        let user = rqctx.context().users.replace(path.user_id, user).await?;
        info!(rqctx.log, "Replaced user"; "user_id" => user.id.get());
        Ok(HttpResponseOk(user))
    }

    async fn user_delete(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<UserPath>,
    ) -> Result<HttpResponseDeleted, HttpError> {
        rqctx.context().users.delete(path.user_id).await?;
        info!(rqctx.log, "Deleted user"; "user_id" => path.user_id.get());
        Ok(HttpResponseDeleted())
    }

    async fn health(_: RequestContext<Context>) -> Result<HttpResponseOk<Health>, HttpError> {
        Ok(HttpResponseOk(Health::OK))
    }

    async fn ready(rqctx: RequestContext<Context>) -> Result<HttpResponseOk<Readiness>, HttpError> {
        rqctx.context().probe.answer().await
    }
}

//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use anyhow::{Result, anyhow};
use contract::answer::{Answer, Created};
use contract::error_code::INTERNAL_ERROR;
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::health::{Health, Readiness};
use contract::idempotency::KeyHeader;
use dropshot::{ApiDescription, HttpError, HttpResponseOk, RequestContext};
use order_service_api::{
    INVALID_TRANSITION, ORDER_NOT_FOUND, Order, OrderCreate, OrderListQuery, OrderPage, OrderPath, OrderReceipt,
    OrderServiceApi, OrderStatus, OrderStatusUpdate, USER_NOT_FOUND, USER_SERVICE_INVALID_RESPONSE,
    USER_SERVICE_TIMEOUT, USER_SERVICE_UNAVAILABLE, order_service_api_mod,
};
use service_runtime::guard::{self, Admitted, Guard};
use slog::info;

use crate::orders::{OrderError, Orders, StatusChange};
use crate::user_check::UserCheckError;

type Context = Guard<Orders>;

pub(crate) fn api() -> Result<ApiDescription<Context>> {
    order_service_api_mod::api_description::<OrderService>().map_err(|error| anyhow!("{error}"))
}

impl From<OrderError> for HttpError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound => ORDER_NOT_FOUND.to_error(),
            OrderError::InvalidTransition { from, to } => INVALID_TRANSITION.with_message(format!(
                "An order that is {} cannot become {}",
                from.as_str(),
                to.as_str()
            )),
            OrderError::User(error) => match error {
                UserCheckError::NotFound => USER_NOT_FOUND.to_error(),
                UserCheckError::Unavailable(_) => USER_SERVICE_UNAVAILABLE.with_cause(error),
                UserCheckError::Timeout => USER_SERVICE_TIMEOUT.with_cause(error),
                UserCheckError::InvalidResponse(_) => USER_SERVICE_INVALID_RESPONSE.with_cause(error),
                UserCheckError::Fault(_) => INTERNAL_ERROR.with_cause(error),
            },
            OrderError::Key(error) => error.into(),
            OrderError::Page(error) => error.into(),
            OrderError::Database(error) => error.into(),
        }
    }
}

enum OrderService {}

impl OrderServiceApi for OrderService {
    type Context = Context;

    async fn order_create(
        rqctx: RequestContext<Context>,
        KeyHeader(key): KeyHeader,
        JsonBody(order): JsonBody<OrderCreate>,
    ) -> Result<Answer<Created<OrderReceipt>>, HttpError> {
        guard::handle(&rqctx, |request| async move {
            let (order, answer) = request.state.create(order, key, request.deadline, &request.trace).await?;
            match order {
                Some(order) => {
                    info!(request.log, "Created new order"; "order_id" => order.id.get(), "user_id" => order.user_id.get());
                }
                None => info!(request.log, "Repeated an answer"; "location" => &answer.location),
            }
            Ok(answer)
        })
        .await
    }

    async fn order_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<OrderListQuery>,
    ) -> Result<Answer<HttpResponseOk<OrderPage>>, HttpError> {
        guard::handle(&rqctx, |request| async move { Ok(HttpResponseOk(request.state.list(query).await?)) }).await
    }

    async fn order_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError> {
        guard::handle(&rqctx, |request| async move { Ok(HttpResponseOk(request.state.view(path.order_id).await?)) })
            .await
    }

    async fn order_set_status(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
        JsonBody(update): JsonBody<OrderStatusUpdate>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError> {
        guard::handle(&rqctx, |request| set_status(request, path, update.status)).await
    }

    async fn order_cancel(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError> {
        guard::handle(&rqctx, |request| set_status(request, path, OrderStatus::Cancelled)).await
    }

    async fn health(_: RequestContext<Context>) -> Result<Answer<HttpResponseOk<Health>>, HttpError> {
        guard::health()
    }

    async fn ready(rqctx: RequestContext<Context>) -> Result<Answer<HttpResponseOk<Readiness>>, HttpError> {
        guard::ready(&rqctx).await
    }
}

async fn set_status(
    request: Admitted<Orders>,
    path: OrderPath,
    status: OrderStatus,
) -> Result<HttpResponseOk<Order>, HttpError> {
    let StatusChange { order, moved } = request.state.set_status(path.order_id, status).await?;
    if moved {
        info!(request.log, "Set order status"; "order_id" => order.id.get(), "order_status" => order.status.as_str());
    }
    Ok(HttpResponseOk(order))
}

//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use anyhow::{Result, anyhow};
use contract::error_code::INTERNAL_ERROR;
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::health::{Health, Readiness};
use dropshot::{ApiDescription, HttpError, HttpResponseCreated, HttpResponseHeaders, HttpResponseOk, RequestContext};
use order_service_api::{
    INVALID_TRANSITION, ORDER_NOT_FOUND, Order, OrderCreate, OrderListQuery, OrderLocation, OrderPage, OrderPath,
    OrderReceipt, OrderServiceApi, OrderStatus, OrderStatusUpdate, USER_NOT_FOUND, USER_SERVICE_INVALID_RESPONSE,
    USER_SERVICE_TIMEOUT, USER_SERVICE_UNAVAILABLE, order_service_api_mod,
};
use service_runtime::database::Database;
use service_runtime::server::ReadinessProbe;
use slog::info;

use crate::orders::{OrderError, Orders, StatusChange};
use crate::store::OrderStore;
use crate::user_check::{UserCheck, UserCheckError};

/// What the operations share.
pub(crate) struct Context {
    orders: Orders,
    probe: ReadinessProbe,
}

impl Context {
    pub(crate) fn new(database: Database, user_check: UserCheck, probe: ReadinessProbe) -> Self {
        Self { orders: Orders::new(OrderStore::new(database), user_check), probe }
    }
}

pub(crate) fn api() -> Result<ApiDescription<Context>> {
    order_service_api_mod::api_description::<OrderService>().map_err(|error| anyhow!("{error}"))
}

impl From<OrderError> for HttpError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound => ORDER_NOT_FOUND.plain(),
            OrderError::InvalidTransition { from, to } => INVALID_TRANSITION.with_message(format!(
                "An order that is {} cannot become {}",
                from.as_str(),
                to.as_str()
            )),
            OrderError::User(error) => match error {
                UserCheckError::NotFound => USER_NOT_FOUND.plain(),
                UserCheckError::Unavailable(_) => USER_SERVICE_UNAVAILABLE.because(error),
                UserCheckError::Timeout => USER_SERVICE_TIMEOUT.because(error),
                UserCheckError::InvalidResponse(_) => USER_SERVICE_INVALID_RESPONSE.because(error),
                UserCheckError::Fault(_) => INTERNAL_ERROR.because(error),
            },
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
        JsonBody(order): JsonBody<OrderCreate>,
    ) -> Result<HttpResponseHeaders<HttpResponseCreated<OrderReceipt>, OrderLocation>, HttpError> {
        let user_id = order.user_id;
        let receipt = rqctx.context().orders.create(order).await?;
        info!(rqctx.log, "Created new order"; "order_id" => receipt.order_id.get(), "user_id" => user_id.get());
        let location = format!("/api/v1/orders/{}", receipt.order_id);
        Ok(HttpResponseHeaders::new(HttpResponseCreated(receipt), OrderLocation { location }))
    }

    async fn order_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<OrderListQuery>,
    ) -> Result<HttpResponseOk<OrderPage>, HttpError> {
        Ok(HttpResponseOk(rqctx.context().orders.list(query).await?))
    }

    async fn order_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
    ) -> Result<HttpResponseOk<Order>, HttpError> {
        Ok(HttpResponseOk(rqctx.context().orders.view(path.order_id).await?))
    }

    async fn order_set_status(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
        JsonBody(update): JsonBody<OrderStatusUpdate>,
    ) -> Result<HttpResponseOk<Order>, HttpError> {
        set_status(&rqctx, path, update.status).await
    }

    async fn order_cancel(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
    ) -> Result<HttpResponseOk<Order>, HttpError> {
        set_status(&rqctx, path, OrderStatus::Cancelled).await
    }

    async fn health(_: RequestContext<Context>) -> Result<HttpResponseOk<Health>, HttpError> {
        Ok(HttpResponseOk(Health::OK))
    }

    async fn ready(rqctx: RequestContext<Context>) -> Result<HttpResponseOk<Readiness>, HttpError> {
        rqctx.context().probe.answer().await
    }
}

async fn set_status(
    rqctx: &RequestContext<Context>,
    path: OrderPath,
    status: OrderStatus,
) -> Result<HttpResponseOk<Order>, HttpError> {
    let StatusChange { order, moved } = rqctx.context().orders.set_status(path.order_id, status).await?;
    if moved {
        info!(rqctx.log, "Set order status"; "order_id" => order.id.get(), "order_status" => order.status.as_str());
    }
    Ok(HttpResponseOk(order))
}

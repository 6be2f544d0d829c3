//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use std::sync::Arc;

use client_policy::Failure;
use contract::answer::{Answer, Created};
use contract::error_code::{INTERNAL_ERROR, INVALID_REQUEST};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::idempotency::KeyHeader;
use dropshot::{ApiDescription, ApiDescriptionBuildErrors, HttpError, HttpResponseOk, RequestContext};
use order_service_api::{
    INSUFFICIENT_STOCK, INVALID_TRANSITION, MIXED_CURRENCIES, ORDER_NOT_FOUND, Order, OrderCreate, OrderListQuery,
    OrderPage, OrderPath, OrderReceipt, OrderServiceApi, OrderStatus, OrderStatusUpdate, PRICE_CHANGED,
    PRODUCT_NOT_FOUND, PRODUCT_SERVICE_INVALID_RESPONSE, PRODUCT_SERVICE_TIMEOUT, PRODUCT_SERVICE_UNAVAILABLE,
    ProductId, TOTAL_TOO_LARGE, USER_NOT_FOUND, USER_SERVICE_INVALID_RESPONSE, USER_SERVICE_TIMEOUT,
    USER_SERVICE_UNAVAILABLE, order_service_api_mod,
};
use service_runtime::dependency::LookupError;
use service_runtime::guard::{self, Guard, RequestScope};
use slog::info;

use crate::dependencies::products::ReserveError;
use crate::items::NoTotal;
use crate::orders::{OrderError, Orders, Settled};

type Context = Guard<Orders>;

pub(crate) fn api() -> Result<ApiDescription<Context>, ApiDescriptionBuildErrors> {
    order_service_api_mod::api_description::<OrderService>()
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
            OrderError::User(error) => {
                let code = match error {
                    LookupError::NotFound => return USER_NOT_FOUND.to_error(),
                    LookupError::Unavailable(_) => USER_SERVICE_UNAVAILABLE,
                    LookupError::Timeout => USER_SERVICE_TIMEOUT,
                    LookupError::InvalidResponse(_) => USER_SERVICE_INVALID_RESPONSE,
                    LookupError::Fault(_) => INTERNAL_ERROR,
                };
                code.with_cause(format_args!("user-service: {error}"))
            }
            OrderError::Form(problem) => INVALID_REQUEST.with_message(format!("request body: {problem}")),
            OrderError::Reserve(error) => error.into(),
            OrderError::NoTotal(NoTotal::MixedCurrencies(currencies)) => {
                let currencies: Vec<_> = currencies.into_iter().collect();
                MIXED_CURRENCIES.with_message(format!(
                    "The prices of the products are in different currencies: {}",
                    currencies.join(", ")
                ))
            }
            OrderError::NoTotal(NoTotal::TooLarge) => TOTAL_TOO_LARGE.to_error(),
            OrderError::PriceChanged(total) => PRICE_CHANGED.with_message(format!(
                "The total is {} {} in the smallest unit, not the expected one",
                total.amount,
                total.currency.as_str()
            )),
            OrderError::Key(error) => error.into(),
            OrderError::Page(error) => error.into(),
            OrderError::Database(error) => error.into(),
        }
    }
}

impl From<ReserveError> for HttpError {
    fn from(error: ReserveError) -> Self {
        let (code, cause) = match error {
            ReserveError::UnknownProducts(products) => {
                return PRODUCT_NOT_FOUND.with_message(naming("Product not found", ": ", &products));
            }
            ReserveError::InsufficientStock(products) => {
                return INSUFFICIENT_STOCK.with_message(naming("Not enough in stock", ": product ", &products));
            }
            ReserveError::Failed(failure) => match failure {
                Failure::Unavailable(cause) => (PRODUCT_SERVICE_UNAVAILABLE, cause),
                Failure::Timeout => (PRODUCT_SERVICE_TIMEOUT, "no answer in time".to_owned()),
                Failure::InvalidResponse(cause) => (PRODUCT_SERVICE_INVALID_RESPONSE, cause),
                Failure::Answered { status, .. } => {
                    (PRODUCT_SERVICE_INVALID_RESPONSE, format!("status {}", status.as_u16()))
                }
                Failure::Fault(cause) => (INTERNAL_ERROR, cause),
            },
        };
        code.with_cause(format_args!("product-service: {cause}"))
    }
}

/// A message that names some products: not a hundred of them, which nobody reads.
fn naming(message: &str, link: &str, products: &[ProductId]) -> String {
    const MAX: usize = 8;
    let ids: Vec<String> = products.iter().take(MAX).map(ProductId::to_string).collect();
    let more = if products.len() > MAX { " and others" } else { "" };
    if ids.is_empty() { message.to_owned() } else { format!("{message}{link}{}{more}", ids.join(", ")) }
}

enum OrderService {}

impl OrderServiceApi for OrderService {
    type Context = Context;

    async fn order_create(
        rqctx: RequestContext<Context>,
        KeyHeader(key): KeyHeader,
        JsonBody(order): JsonBody<OrderCreate>,
    ) -> Result<Answer<Created<OrderReceipt>>, HttpError> {
        guard::handle(&rqctx, |orders, request| async move { Ok(orders.create(order, key, &request).await?) }).await
    }

    async fn order_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<OrderListQuery>,
    ) -> Result<Answer<HttpResponseOk<OrderPage>>, HttpError> {
        guard::handle(&rqctx, |orders, _| async move { Ok(HttpResponseOk(orders.list(query).await?)) }).await
    }

    async fn order_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError> {
        guard::handle(&rqctx, |orders, _| async move { Ok(HttpResponseOk(orders.view(path.order_id).await?)) }).await
    }

    async fn order_set_status(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
        JsonBody(update): JsonBody<OrderStatusUpdate>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError> {
        guard::handle(&rqctx, |orders, request| set_status(orders, request, path, update.status)).await
    }

    async fn order_cancel(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<OrderPath>,
    ) -> Result<Answer<HttpResponseOk<Order>>, HttpError> {
        guard::handle(&rqctx, |orders, request| set_status(orders, request, path, OrderStatus::Cancelled)).await
    }
}

async fn set_status(
    orders: Arc<Orders>,
    request: RequestScope,
    path: OrderPath,
    status: OrderStatus,
) -> Result<HttpResponseOk<Order>, HttpError> {
    let Settled { order, moved } = orders.set_status(path.order_id, status, &request).await?;
    if moved {
        info!(request.log, "order status changed"; "order_id" => order.id.get(), "order_status" => order.status.as_str());
    }
    Ok(HttpResponseOk(order))
}

//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams, RawBody};
use contract::idempotency::KeyHeader;
use dropshot::{
    ApiDescription, ApiDescriptionBuildErrors, HttpError, HttpResponseOk, HttpResponseUpdatedNoContent, RequestContext,
};
use payment_service_api::{
    ALREADY_PAID, INVALID_SIGNATURE, NOT_REFUNDABLE, ORDER_CANCELLED, PAYMENT_NOT_FOUND, Payment, PaymentCreate,
    PaymentListQuery, PaymentPage, PaymentPath, PaymentServiceApi, PaymentStatus, REFUND_NOT_FOUND, REFUND_TOO_LARGE,
    Refund, RefundCreate, RefundPath, payment_service_api_mod,
};
use service_runtime::guard::{self, Guard};

use crate::payments::{PaymentError, Payments};
use crate::store::Refusal;
use crate::stripe_event::{Report, SIGNATURE};

type Context = Guard<Payments>;

pub(crate) fn api() -> Result<ApiDescription<Context>, ApiDescriptionBuildErrors> {
    payment_service_api_mod::api_description::<PaymentService>()
}

impl From<PaymentError> for HttpError {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::NotFound => PAYMENT_NOT_FOUND.to_error(),
            PaymentError::RefundNotFound => REFUND_NOT_FOUND.to_error(),
            PaymentError::Refused(refusal) => refusal.into(),
            PaymentError::NotOfStripe => INVALID_SIGNATURE.to_error(),
            PaymentError::Key(error) => error.into(),
            PaymentError::Page(error) => error.into(),
            PaymentError::Database(error) => error.into(),
        }
    }
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => PAYMENT_NOT_FOUND.to_error(),
            Refusal::AlreadyPaid => ALREADY_PAID.to_error(),
            Refusal::OrderCancelled => ORDER_CANCELLED.to_error(),
            Refusal::NotRefundable(PaymentStatus::Completed) => {
                NOT_REFUNDABLE.with_message("All of the payment is being refunded".to_owned())
            }
            Refusal::NotRefundable(status) => {
                NOT_REFUNDABLE.with_message(format!("A payment that is {} cannot be refunded", status.as_str()))
            }
            Refusal::TooLarge(left) => REFUND_TOO_LARGE.with_message(format!(
                "From 1 to {} {} in the smallest unit can be refunded",
                left.amount,
                left.currency.as_str()
            )),
        }
    }
}

enum PaymentService {}

impl PaymentServiceApi for PaymentService {
    type Context = Context;

    async fn payment_create(
        rqctx: RequestContext<Context>,
        KeyHeader(key): KeyHeader,
        JsonBody(payment): JsonBody<PaymentCreate>,
    ) -> Result<Answer<Created<Payment>>, HttpError> {
        guard::handle(&rqctx, |payments, request| async move { Ok(payments.create(payment, key, &request).await?) })
            .await
    }

    async fn payment_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<PaymentListQuery>,
    ) -> Result<Answer<HttpResponseOk<PaymentPage>>, HttpError> {
        guard::handle(&rqctx, |payments, _| async move { Ok(HttpResponseOk(payments.list(query).await?)) }).await
    }

    async fn payment_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<PaymentPath>,
    ) -> Result<Answer<HttpResponseOk<Payment>>, HttpError> {
        guard::handle(&rqctx, |payments, _| async move { Ok(HttpResponseOk(payments.view(path.payment_id).await?)) })
            .await
    }

    async fn refund_create(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<PaymentPath>,
        KeyHeader(key): KeyHeader,
        JsonBody(refund): JsonBody<RefundCreate>,
    ) -> Result<Answer<Created<Refund>>, HttpError> {
        guard::handle(&rqctx, |payments, request| async move {
            Ok(payments.refund(path.payment_id, refund, key, &request).await?)
        })
        .await
    }

    async fn refund_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<RefundPath>,
    ) -> Result<Answer<HttpResponseOk<Refund>>, HttpError> {
        guard::handle(&rqctx, |payments, _| async move {
            Ok(HttpResponseOk(payments.view_refund(path.payment_id, path.refund_id).await?))
        })
        .await
    }

    async fn stripe_event_receive(
        rqctx: RequestContext<Context>,
        RawBody(body): RawBody,
    ) -> Result<Answer<HttpResponseUpdatedNoContent>, HttpError> {
        let report = Report { signature: rqctx.request.headers().get(SIGNATURE).cloned(), body };
        guard::handle(&rqctx, |payments, request| async move {
            payments.take_report(&report, &request).await?;
            Ok(HttpResponseUpdatedNoContent())
        })
        .await
    }
}

//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use contract::answer::{Answer, Created};
use contract::error_code::INTERNAL_ERROR;
use contract::extract::{JsonBody, PathParams, QueryParams};
use dropshot::{ApiDescription, ApiDescriptionBuildErrors, HttpError, HttpResponseOk, RequestContext};
use payment_provider_api::{
    CHARGE_ID_TAKEN, CHARGE_NOT_FOUND, CHARGE_NOT_REFUNDABLE, Charge, ChargeCreate, ChargeListQuery, ChargePage,
    ChargePath, PROVIDER_FAILED, PaymentProviderApi, REFUND_ID_TAKEN, REFUND_NOT_FOUND, REFUND_TOO_LARGE, Refund,
    RefundCreate, RefundPath, payment_provider_api_mod,
};
use serde::Serialize;
use service_runtime::guard::{self, Guard};

use crate::ledger::{Ledger, LedgerError};
use crate::store::Refusal;

type Context = Guard<Ledger>;

pub(crate) fn api() -> Result<ApiDescription<Context>, ApiDescriptionBuildErrors> {
    payment_provider_api_mod::api_description::<PaymentProvider>()
}

impl From<LedgerError> for HttpError {
    fn from(error: LedgerError) -> Self {
        let refusal = match error {
            LedgerError::Refused(refusal) => refusal,
            LedgerError::RefundNotFound => return REFUND_NOT_FOUND.to_error(),
            LedgerError::FailsOnce => return PROVIDER_FAILED.to_error(),
            LedgerError::Page(error) => return error.into(),
            LedgerError::Database(error) => return error.into(),
        };
        match refusal {
            Refusal::ChargeIdTaken => CHARGE_ID_TAKEN.to_error(),
            Refusal::ChargeNotFound => CHARGE_NOT_FOUND.to_error(),
            Refusal::NotRefundable(status) => {
                CHARGE_NOT_REFUNDABLE.with_message(format!("A charge that is {} cannot be refunded", status.as_str()))
            }
            Refusal::RefundIdTaken => REFUND_ID_TAKEN.to_error(),
            Refusal::TooLarge { left, currency } => REFUND_TOO_LARGE.with_message(format!(
                "The charge has {left} {} in the smallest unit left to refund",
                currency.as_str()
            )),
        }
    }
}

enum PaymentProvider {}

impl PaymentProviderApi for PaymentProvider {
    type Context = Context;

    async fn charge_create(
        rqctx: RequestContext<Context>,
        JsonBody(new): JsonBody<ChargeCreate>,
    ) -> Result<Answer<Created<Charge>>, HttpError> {
        guard::handle(&rqctx, |ledger, request| async move {
            let charge = ledger.charge(new, &request.log).await?;
            created(&charge, format!("/api/v1/charges/{}", charge.charge_id.as_str()))
        })
        .await
    }

    async fn charge_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<ChargeListQuery>,
    ) -> Result<Answer<HttpResponseOk<ChargePage>>, HttpError> {
        guard::handle(&rqctx, |ledger, _| async move { Ok(HttpResponseOk(ledger.list(query).await?)) }).await
    }

    async fn charge_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ChargePath>,
    ) -> Result<Answer<HttpResponseOk<Charge>>, HttpError> {
        guard::handle(&rqctx, |ledger, _| async move { Ok(HttpResponseOk(ledger.view(&path.charge_id).await?)) }).await
    }

    async fn charge_cancel(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ChargePath>,
    ) -> Result<Answer<HttpResponseOk<Charge>>, HttpError> {
        guard::handle(&rqctx, |ledger, request| async move {
            Ok(HttpResponseOk(ledger.cancel(&path.charge_id, &request.log).await?))
        })
        .await
    }

    async fn refund_create(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ChargePath>,
        JsonBody(new): JsonBody<RefundCreate>,
    ) -> Result<Answer<Created<Refund>>, HttpError> {
        guard::handle(&rqctx, |ledger, request| async move {
            let refund = ledger.refund(path.charge_id, new, &request.log).await?;
            let (charge_id, refund_id) = (refund.charge_id.as_str(), refund.refund_id.as_str());
            created(&refund, format!("/api/v1/charges/{charge_id}/refunds/{refund_id}"))
        })
        .await
    }

    async fn refund_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<RefundPath>,
    ) -> Result<Answer<HttpResponseOk<Refund>>, HttpError> {
        guard::handle(&rqctx, |ledger, _| async move {
            Ok(HttpResponseOk(ledger.view_refund(&path.charge_id, &path.refund_id).await?))
        })
        .await
    }
}

fn created<T: Serialize>(made: &T, location: String) -> Result<Created<T>, HttpError> {
    Created::new(made, location).map_err(|error| INTERNAL_ERROR.with_cause(error))
}

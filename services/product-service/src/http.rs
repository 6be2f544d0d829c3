//! The operations over HTTP: decode, call the rules, encode. The one place where a broken rule becomes a status.

use contract::answer::{Answer, Created};
use contract::error_code::{INTERNAL_ERROR, INVALID_REQUEST, VERSION_MISMATCH};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::idempotency::KeyHeader;
use contract::precondition::{Conditional, IfMatch, IfNoneMatch};
use contract::version::{Tagged, TaggedChanged, TaggedCreated};
use dropshot::{
    ApiDescription, ApiDescriptionBuildErrors, HttpError, HttpResponseDeleted, HttpResponseOk, RequestContext,
};
use product_service_api::{
    CategoryListQuery, CategorySummary, INSUFFICIENT_STOCK, PRODUCT_NOT_FOUND, Product, ProductCreate, ProductId,
    ProductListQuery, ProductPage, ProductPath, ProductReplace, ProductServiceApi, RESERVATION_ID_TAKEN,
    RESERVATION_NOT_FOUND, RESERVATION_RELEASED, Reservation, ReservationCreate, ReservationListQuery, ReservationPage,
    ReservationPath, SKU_TAKEN, STOCK_TOO_LARGE, StockChange, product_service_api_mod,
};
use service_runtime::database::DatabaseError;
use service_runtime::guard::{self, Guard};
use slog::info;

use crate::products::{ProductError, Products};
use crate::reservations::{ReservationError, Reservations};
use crate::store::Refusal;

/// What the operations act on.
pub(crate) struct Catalogue {
    pub(crate) products: Products,
    pub(crate) reservations: Reservations,
}

type Context = Guard<Catalogue>;

pub(crate) fn api() -> Result<ApiDescription<Context>, ApiDescriptionBuildErrors> {
    product_service_api_mod::api_description::<ProductService>()
}

impl From<ProductError> for HttpError {
    fn from(error: ProductError) -> Self {
        match error {
            ProductError::NotFound => PRODUCT_NOT_FOUND.to_error(),
            ProductError::SkuTaken => SKU_TAKEN.to_error(),
            ProductError::VersionMismatch => VERSION_MISMATCH.to_error(),
            ProductError::InsufficientStock { id, available } => insufficient_stock(&[(id, available)]),
            ProductError::StockTooLarge => STOCK_TOO_LARGE.to_error(),
            ProductError::Search(error) => INVALID_REQUEST.with_message(format!("query parameter `search`: {error}")),
            ProductError::Key(error) => error.into(),
            ProductError::Page(error) => error.into(),
            ProductError::Database(error) => error.into(),
        }
    }
}

impl From<ReservationError> for HttpError {
    fn from(error: ReservationError) -> Self {
        let refusal = match error {
            ReservationError::Refused(refusal) => refusal,
            // Another process gave the id to another reservation at the same time.
            ReservationError::Database(DatabaseError::UniqueViolation) => Refusal::IdTaken,
            ReservationError::Page(error) => return error.into(),
            ReservationError::Database(error) => return error.into(),
        };
        match refusal {
            Refusal::NotFound => RESERVATION_NOT_FOUND.to_error(),
            Refusal::ProductsNotFound(ids) => {
                let ids: Vec<String> = ids.iter().map(ProductId::to_string).collect();
                PRODUCT_NOT_FOUND.with_message(format!("Product not found: {}", ids.join(", ")))
            }
            Refusal::InsufficientStock(short) => insufficient_stock(&short),
            Refusal::IdTaken => RESERVATION_ID_TAKEN.to_error(),
            Refusal::Released => RESERVATION_RELEASED.to_error(),
        }
    }
}

fn insufficient_stock(short: &[(ProductId, i64)]) -> HttpError {
    let products: Vec<String> =
        short.iter().map(|(id, available)| format!("product {id} ({available} available)")).collect();
    INSUFFICIENT_STOCK.with_message(format!("Not enough in stock: {}", products.join(", ")))
}

enum ProductService {}

impl ProductServiceApi for ProductService {
    type Context = Context;

    async fn product_create(
        rqctx: RequestContext<Context>,
        KeyHeader(key): KeyHeader,
        JsonBody(product): JsonBody<ProductCreate>,
    ) -> Result<Answer<TaggedCreated<Product>>, HttpError> {
        guard::handle(&rqctx, |catalogue, request| async move {
            Ok(TaggedCreated(catalogue.products.create(product, key, &request).await?))
        })
        .await
    }

    async fn product_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<ProductListQuery>,
    ) -> Result<Answer<HttpResponseOk<ProductPage>>, HttpError> {
        guard::handle(&rqctx, |catalogue, _| async move { Ok(HttpResponseOk(catalogue.products.list(query).await?)) })
            .await
    }

    async fn product_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ProductPath>,
        if_none_match: IfNoneMatch,
    ) -> Result<Answer<Conditional<Product>>, HttpError> {
        guard::handle(&rqctx, |catalogue, _| async move {
            let product = catalogue.products.view(path.product_id).await?;
            Ok(Conditional::new(product, &if_none_match))
        })
        .await
    }

    async fn product_replace(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ProductPath>,
        if_match: IfMatch,
        JsonBody(product): JsonBody<ProductReplace>,
    ) -> Result<Answer<Tagged<Product>>, HttpError> {
        guard::handle(&rqctx, |catalogue, request| async move {
            let product = catalogue.products.replace(path.product_id, if_match, product, &request).await?;
            info!(request.log, "product replaced"; "product_id" => product.id.get(), "version" => product.version.get());
            Ok(Tagged(product))
        })
        .await
    }

    async fn product_delete(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ProductPath>,
    ) -> Result<Answer<HttpResponseDeleted>, HttpError> {
        guard::handle(&rqctx, |catalogue, request| async move {
            catalogue.products.delete(path.product_id, &request).await?;
            info!(request.log, "product deleted"; "product_id" => path.product_id.get());
            Ok(HttpResponseDeleted())
        })
        .await
    }

    async fn product_change_stock(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ProductPath>,
        KeyHeader(key): KeyHeader,
        if_match: IfMatch,
        JsonBody(change): JsonBody<StockChange>,
    ) -> Result<Answer<TaggedChanged<Product>>, HttpError> {
        guard::handle(&rqctx, |catalogue, request| async move {
            let changed = catalogue.products.change_stock(path.product_id, if_match, change, key, &request);
            Ok(TaggedChanged(changed.await?))
        })
        .await
    }

    async fn reservation_create(
        rqctx: RequestContext<Context>,
        JsonBody(new): JsonBody<ReservationCreate>,
    ) -> Result<Answer<Created<Reservation>>, HttpError> {
        guard::handle(&rqctx, |catalogue, request| async move {
            let reservation = catalogue.reservations.reserve(new).await?;
            let id = reservation.reservation_id.as_str();
            info!(request.log, "products reserved"; "reservation_id" => id);
            let location = format!("/api/v1/reservations/{id}");
            Created::new(&reservation, location).map_err(|error| INTERNAL_ERROR.with_cause(error))
        })
        .await
    }

    async fn reservation_list(
        rqctx: RequestContext<Context>,
        QueryParams(query): QueryParams<ReservationListQuery>,
    ) -> Result<Answer<HttpResponseOk<ReservationPage>>, HttpError> {
        guard::handle(
            &rqctx,
            |catalogue, _| async move { Ok(HttpResponseOk(catalogue.reservations.list(query).await?)) },
        )
        .await
    }

    async fn reservation_view(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ReservationPath>,
    ) -> Result<Answer<HttpResponseOk<Reservation>>, HttpError> {
        guard::handle(&rqctx, |catalogue, _| async move {
            Ok(HttpResponseOk(catalogue.reservations.view(&path.reservation_id).await?))
        })
        .await
    }

    async fn reservation_release(
        rqctx: RequestContext<Context>,
        PathParams(path): PathParams<ReservationPath>,
    ) -> Result<Answer<HttpResponseOk<Reservation>>, HttpError> {
        guard::handle(&rqctx, |catalogue, request| async move {
            let released = catalogue.reservations.release(path.reservation_id).await?;
            info!(request.log, "reservation released"; "reservation_id" => released.reservation_id.as_str());
            Ok(HttpResponseOk(released))
        })
        .await
    }

    async fn category_list(
        rqctx: RequestContext<Context>,
        _: QueryParams<CategoryListQuery>,
    ) -> Result<Answer<HttpResponseOk<Vec<CategorySummary>>>, HttpError> {
        guard::handle(&rqctx, |catalogue, _| async move { Ok(HttpResponseOk(catalogue.products.categories().await?)) })
            .await
    }
}

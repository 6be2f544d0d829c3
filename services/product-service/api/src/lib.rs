//! The contract of product-service: its operations, what they accept, what they return and how they fail.
//!
//! The service owns the catalogue: products with their prices, how many of each are in stock, and how many of those are
//! reserved. It knows nothing of orders, which keep a copy of the names and prices that were agreed.
//!
//! This crate has no behaviour. The service implements [`ProductServiceApi`]; [`service_contract()`] makes the OpenAPI document of
//! it, checked in as `openapi/product-service.json`. The doc comments here are that document's text, written for people who
//! will never see this code.

mod events;
mod operations;
mod product;
mod reservation;

use contract::answer::{Answer, Created};
use contract::extract::{JsonBody, PathParams, QueryParams};
use contract::idempotency::KeyHeader;
use contract::precondition::{Conditional, IfMatch, IfNoneMatch};
use contract::version::{Tagged, TaggedChanged, TaggedCreated};
use dropshot::{HttpError, HttpResponseDeleted, HttpResponseOk, RequestContext};

pub use events::{ProductChange, ProductChanged, StockRejected, StockReleased, StockReserved};
pub use operations::{
    INSUFFICIENT_STOCK, PRODUCT_NOT_FOUND, RESERVATION_ID_TAKEN, RESERVATION_NOT_FOUND, RESERVATION_RELEASED,
    SKU_TAKEN, STOCK_TOO_LARGE, service_contract,
};
pub use product::{
    Category, CategoryListQuery, CategorySummary, Description, Pieces, Product, ProductCount, ProductCreate, ProductId,
    ProductIds, ProductListQuery, ProductName, ProductPage, ProductPath, ProductReplace, QuantityChange, Search, Sku,
    StockChange,
};
pub use reservation::{
    OrderId, Quantity, Reservation, ReservationCreate, ReservationId, ReservationItem, ReservationListQuery,
    ReservationPage, ReservationPath, ReservationStatus, ReservedItem,
};

/// The operations of product-service.
#[dropshot::api_description {
    tag_config = {
        allow_other_tags = false,
        policy = dropshot::EndpointTagPolicy::ExactlyOne,
        tags = {
            "products" = {
                description = "The catalogue: create, read, list, search, replace and delete products, change their stock, and list \
                               categories.",
            },
            "reservations" = {
                description = "Pieces of products set aside for an order. For the platform's own services.",
            },
        },
    },
}]
pub trait ProductServiceApi {
    /// What the implementation shares between requests.
    type Context;

    /// Create a product
    ///
    /// Stores a new product and returns it. Ids are assigned in ascending order, with gaps; the id of a deleted product is
    /// never assigned again. The SKU must not belong to another product.
    ///
    /// With an `Idempotency-Key` the request is safe to repeat in every case.
    #[endpoint { method = POST, path = "/api/v1/products", tags = ["products"] }]
    async fn product_create(
        rqctx: RequestContext<Self::Context>,
        key: KeyHeader,
        body: JsonBody<ProductCreate>,
    ) -> Result<Answer<TaggedCreated<Product>>, HttpError>;

    /// List products
    ///
    /// Returns products by descending id, the newest first, one page at a time. To get the next page, pass `next_page` as
    /// `page_token`; the last page has no `next_page`. No product appears twice; a product created while you page is
    /// missing.
    ///
    /// Filters combine: a product is listed if it matches all of them. With `ids` products that do not exist are left out.
    ///
    /// With `search` the products that have all its words in their names come first, then the others; both by descending id.
    /// Its pages may repeat or miss a product that is created or replaced while you page.
    #[endpoint { method = GET, path = "/api/v1/products", tags = ["products"] }]
    async fn product_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<ProductListQuery>,
    ) -> Result<Answer<HttpResponseOk<ProductPage>>, HttpError>;

    /// Read a product
    ///
    /// Returns the product as last stored, and its `ETag`. With `If-None-Match` and that `ETag` the response is 304 until
    /// the product or its stock changes.
    #[endpoint { method = GET, path = "/api/v1/products/{product_id}", tags = ["products"] }]
    async fn product_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ProductPath>,
        if_none_match: IfNoneMatch,
    ) -> Result<Answer<Conditional<Product>>, HttpError>;

    /// Replace a product
    ///
    /// Replaces SKU, name, description, category and price; id and stock stay. Without a description the product has none
    /// afterwards. Orders keep the name and price that they were placed with.
    ///
    /// Each replacement makes a new version, also one with the same values. With `If-Match` nothing is changed that somebody
    /// else has changed since you read it.
    #[endpoint { method = PUT, path = "/api/v1/products/{product_id}", tags = ["products"] }]
    async fn product_replace(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ProductPath>,
        if_match: IfMatch,
        body: JsonBody<ProductReplace>,
    ) -> Result<Answer<Tagged<Product>>, HttpError>;

    /// Delete a product
    ///
    /// Removes the product permanently. Orders keep their copy of its name and price. Deleting again fails with
    /// `product_not_found`.
    #[endpoint { method = DELETE, path = "/api/v1/products/{product_id}", tags = ["products"] }]
    async fn product_delete(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ProductPath>,
    ) -> Result<Answer<HttpResponseDeleted>, HttpError>;

    /// Change a product's stock
    ///
    /// Adds pieces to what is in stock, or takes pieces away with a negative number. What is reserved cannot be taken away.
    /// Makes a new version of the product.
    ///
    /// Send an `Idempotency-Key`: a repeated request without one changes the stock again.
    #[endpoint { method = PATCH, path = "/api/v1/products/{product_id}/stock", tags = ["products"] }]
    async fn product_change_stock(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ProductPath>,
        key: KeyHeader,
        if_match: IfMatch,
        body: JsonBody<StockChange>,
    ) -> Result<Answer<TaggedChanged<Product>>, HttpError>;

    /// Reserve products
    ///
    /// Sets pieces of one or more products aside for 15 minutes: all of them, or none. The response has the name and price of
    /// each product as of now.
    ///
    /// The caller chooses the `reservation_id`, which makes the request safe to repeat: the same id and items get the same
    /// reservation, and nothing is reserved again.
    #[endpoint { method = POST, path = "/api/v1/reservations", tags = ["reservations"] }]
    async fn reservation_create(
        rqctx: RequestContext<Self::Context>,
        body: JsonBody<ReservationCreate>,
    ) -> Result<Answer<Created<Reservation>>, HttpError>;

    /// List reservations
    ///
    /// Returns reservations by ascending id, one page at a time. To get the next page, pass `next_page` as `page_token`; the
    /// last page has no `next_page`. No reservation appears twice; one made while you page may be missing.
    #[endpoint { method = GET, path = "/api/v1/reservations", tags = ["reservations"] }]
    async fn reservation_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<ReservationListQuery>,
    ) -> Result<Answer<HttpResponseOk<ReservationPage>>, HttpError>;

    /// Read a reservation
    ///
    /// Returns the reservation as last stored. A reservation that was released or has expired is kept for 14 days.
    #[endpoint { method = GET, path = "/api/v1/reservations/{reservation_id}", tags = ["reservations"] }]
    async fn reservation_view(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ReservationPath>,
    ) -> Result<Answer<HttpResponseOk<Reservation>>, HttpError>;

    /// Release a reservation
    ///
    /// Makes the pieces available again, for good; those of a committed reservation go back into the stock. Releasing a
    /// released reservation changes nothing and succeeds, so the request is safe to repeat.
    #[endpoint { method = POST, path = "/api/v1/reservations/{reservation_id}/release", tags = ["reservations"] }]
    async fn reservation_release(
        rqctx: RequestContext<Self::Context>,
        path: PathParams<ReservationPath>,
    ) -> Result<Answer<HttpResponseOk<Reservation>>, HttpError>;

    /// List categories
    ///
    /// Returns the categories that have products, by name, with the number of their products: at most the first 1000.
    #[endpoint { method = GET, path = "/api/v1/categories", tags = ["products"] }]
    async fn category_list(
        rqctx: RequestContext<Self::Context>,
        query: QueryParams<CategoryListQuery>,
    ) -> Result<Answer<HttpResponseOk<Vec<CategorySummary>>>, HttpError>;
}

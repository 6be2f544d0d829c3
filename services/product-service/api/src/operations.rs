//! What the document states beyond the trait: the error codes of each operation, and the service as a whole.

use contract::document::Contract;
use contract::error_code::{
    BODY, ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, KEYED, READ, VERSION_MISMATCH, WRITE,
};
use contract::operation::Operation;
use dropshot::ErrorStatusCode;

use crate::events::events;
use crate::{
    CategorySummary, Product, ProductCreate, ProductPage, ProductReplace, Reservation, ReservationCreate,
    ReservationPage, StockChange, product_service_api_mod,
};

/// No product has the id.
pub const PRODUCT_NOT_FOUND: ErrorCode = ErrorCode {
    code: "product_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No product has this id: it was never assigned, or the product was deleted.",
    message: "Product not found",
    retry_after_s: None,
};

/// Another product has the SKU.
pub const SKU_TAKEN: ErrorCode = ErrorCode {
    code: "sku_taken",
    status: ErrorStatusCode::CONFLICT,
    when: "Another product has this SKU. Nothing was changed.",
    message: "Another product has this SKU",
    retry_after_s: None,
};

/// Less is available than was asked for.
pub const INSUFFICIENT_STOCK: ErrorCode = ErrorCode {
    code: "insufficient_stock",
    status: ErrorStatusCode::CONFLICT,
    when: "Less is available than was asked for; the message names each such product and what is available of it. Nothing \
           was changed.",
    message: "Not enough in stock: product 1 (250 available)",
    retry_after_s: None,
};

/// More would be in stock than a stock can hold.
pub const STOCK_TOO_LARGE: ErrorCode = ErrorCode {
    code: "stock_too_large",
    status: ErrorStatusCode::CONFLICT,
    when: "More than 1000000000 pieces would be in stock. Nothing was changed.",
    message: "A stock has at most 1000000000 pieces",
    retry_after_s: None,
};

/// No reservation has the id.
pub const RESERVATION_NOT_FOUND: ErrorCode = ErrorCode {
    code: "reservation_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No reservation has this id: it was never made, or it was released or expired more than 14 days ago.",
    message: "Reservation not found",
    retry_after_s: None,
};

/// The reservation's id belongs to another one.
pub const RESERVATION_ID_TAKEN: ErrorCode = ErrorCode {
    code: "reservation_id_taken",
    status: ErrorStatusCode::CONFLICT,
    when: "A reservation of other items has this id. Nothing was changed: choose another id.",
    message: "A reservation of other items has this id",
    retry_after_s: None,
};

/// The reservation holds nothing any more.
pub const RESERVATION_RELEASED: ErrorCode = ErrorCode {
    code: "reservation_released",
    status: ErrorStatusCode::CONFLICT,
    when: "The reservation was released, or it has expired and is not available any more. Nothing was changed: make \
           another one.",
    message: "The reservation was released",
    retry_after_s: None,
};

/// The contract of product-service.
pub fn service_contract() -> Contract {
    Contract {
        service: "product-service",
        port: 8002,
        version: semver::Version::new(0, 3, 0),
        summary: "Owns the catalogue of the Orders & Notifications Platform: products, prices and stock.",
        repeating: "Requests with `GET` and `DELETE`, and those about reservations, are safe to repeat: after a 503 wait for \
                    the seconds in `Retry-After` and try again. `product_create` and `product_change_stock` are safe to \
                    repeat if they carry an `Idempotency-Key`, and `product_replace` if nobody else may have changed the \
                    product meanwhile; with `If-Match` a repeated request that has changed it already fails with \
                    `version_mismatch`.",
        api: product_service_api_mod::stub_api_description,
        operations,
        examples: include_str!("../examples.json"),
        events: Some(events()),
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::new("product_create", "The product as stored.")
            .takes::<ProductCreate>()
            .answers::<Product>()
            .fails(WRITE)
            .fails(BODY)
            .fails(KEYED)
            .fails(&[INVALID_REQUEST, SKU_TAKEN]),
        Operation::new("product_list", "A page of products.")
            .answers::<ProductPage>()
            .paginated()
            .fails(READ)
            .fails(&[INVALID_REQUEST, INVALID_PAGE_TOKEN]),
        Operation::new("product_view", "The product.")
            .answers::<Product>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, PRODUCT_NOT_FOUND]),
        Operation::new("product_replace", "The product as stored now.")
            .takes::<ProductReplace>()
            .answers::<Product>()
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_REQUEST, PRODUCT_NOT_FOUND, SKU_TAKEN, VERSION_MISMATCH]),
        Operation::new("product_delete", "The product is gone.")
            .fails(WRITE)
            .fails(&[INVALID_REQUEST, PRODUCT_NOT_FOUND]),
        Operation::new("product_change_stock", "The product with its new stock.")
            .takes::<StockChange>()
            .answers::<Product>()
            .fails(WRITE)
            .fails(BODY)
            .fails(KEYED)
            .fails(&[INVALID_REQUEST, PRODUCT_NOT_FOUND, INSUFFICIENT_STOCK, STOCK_TOO_LARGE, VERSION_MISMATCH]),
        Operation::new("reservation_create", "The products are reserved.")
            .takes::<ReservationCreate>()
            .answers::<Reservation>()
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_REQUEST, PRODUCT_NOT_FOUND, INSUFFICIENT_STOCK])
            .fails(&[RESERVATION_ID_TAKEN, RESERVATION_RELEASED]),
        Operation::new("reservation_list", "A page of reservations.")
            .answers::<ReservationPage>()
            .paginated()
            .fails(READ)
            .fails(&[INVALID_REQUEST, INVALID_PAGE_TOKEN]),
        Operation::new("reservation_view", "The reservation.")
            .answers::<Reservation>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, RESERVATION_NOT_FOUND]),
        Operation::new("reservation_release", "The reservation is released.")
            .answers::<Reservation>()
            .fails(WRITE)
            .fails(&[INVALID_REQUEST, RESERVATION_NOT_FOUND]),
        Operation::new("category_list", "The categories.")
            .answers::<Vec<CategorySummary>>()
            .fails(READ)
            .fails(&[INVALID_REQUEST]),
    ]
}

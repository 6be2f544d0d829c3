//! Typed client of order-service.
//!
//! The operations, types and mocks are generated from the service's OpenAPI document,
//! `openapi/order-service.json`; the doc comments are the document's.
//!
//! ```
//! # // A server that answers as the document says stands in for order-service.
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = httpmock::MockServer::start();
//! # server.mock(|when, then| { when.method("POST").path("/api/v1/orders"); then.status(201).body(r#"{"order_id": 1, "status": "created"}"#); });
//! # server.mock(|when, then| {
//! #     when.method("GET").path("/api/v1/orders").query_param("user_id", "1");
//! #     then.status(200).body(r#"{"items": [{"id": 1, "user_id": 1, "product_id": 456, "quantity": 2, "status": "created",
//! #         "created_at": "2026-01-01T12:00:00Z", "updated_at": "2026-01-01T12:00:00Z"}]}"#);
//! # });
//! # server.mock(|when, then| {
//! #     when.path("/api/v1/orders/1/cancel");
//! #     then.status(409).body(r#"{"request_id": "r", "error_code": "invalid_transition", "message": "An order that is completed cannot become cancelled"}"#);
//! # });
//! # let base_url = server.base_url();
//! use futures::TryStreamExt;
//! use order_client::{Client, Error, error_codes, types::OrderStatus};
//!
//! let client = Client::new(&base_url); // for instance "http://127.0.0.1:8003"
//!
//! let receipt = client
//!     .order_create()
//!     .body_map(|body| body.user_id(1).product_id(456).quantity(2))
//!     .send()
//!     .await?
//!     .into_inner();
//! assert_eq!(receipt.status, OrderStatus::Created);
//!
//! let orders: Vec<_> = client.order_list().user_id(1).stream().try_collect().await?;
//! assert_eq!(orders[0].id, receipt.order_id);
//!
//! match client.order_cancel().order_id(receipt.order_id).send().await {
//!     Ok(order) => println!("cancelled at {}", order.updated_at),
//!     Err(Error::ErrorResponse(error)) if error.error_code.as_deref() == Some(error_codes::INVALID_TRANSITION) => {
//!         println!("too late: {}", error.message);
//!     }
//!     Err(other) => return Err(other.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] goes through everything one needs, example by example.
//!
//! # Timeouts, proxies, TLS
//!
//! [`Client::new`] waits at most 5 seconds for an answer, uses the proxy that the environment names, and follows
//! redirects. For anything else build a [`reqwest::Client`] as you like and give it to [`Client::new_with_client`].
//! This crate turns on none of reqwest's TLS features: for `https` depend on the same reqwest and turn on the one
//! you prefer.
//!
//! # Errors
//!
//! Every documented failure is an [`Error::ErrorResponse`] with [`types::Error`] inside. Decide by its
//! `error_code`, whose values are in [`error_codes`]; a code you do not know, or none, you treat by its status.
//! [`Error::InvalidResponsePayload`] prints the answer it could not read: keep it out of your log where answers hold
//! names.
//!
//! # Lists
//!
//! `order_list().stream()` gives the orders one by one and asks for the next page when it needs it.
//!
//! # Testing your code
//!
//! With the feature `mock` the module `mock` has a method for each operation on `httpmock::MockServer`, typed by the
//! contract: paths, parameters, bodies and statuses are those of the document. [`samples`] holds
//! the bodies of the document's examples, [`scenarios`] the bad days: down, slow, nonsense. To answer anything else
//! that the service never should, leave the types with `into_inner()`.

#[rustfmt::skip]
#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, mismatched_lifetime_syntaxes)]
#[path = "generated/client.rs"]
mod client;
#[rustfmt::skip]
#[path = "generated/error_codes.rs"]
pub mod error_codes;
/// Mocks of every operation for [`httpmock::MockServer`], typed by the contract.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use order_client::{Client, error_codes, mock::MockServerExt, types};
///
/// let server = httpmock::MockServer::start();
/// let error = types::Error::builder()
///     .error_code(error_codes::ORDER_NOT_FOUND.to_owned())
///     .message("Order not found")
///     .request_id("0b7d1f3c-4f0e-4d55-8f5a-6d6f2f9f7a11")
///     .try_into()?;
/// server.order_view(|_, then| {
///     then.not_found(&error);
/// });
///
/// let refused = Client::new(&server.base_url()).order_view().order_id(1).send().await.unwrap_err();
/// assert_eq!(refused.status().map(|status| status.as_u16()), Some(404));
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "mock")]
#[rustfmt::skip]
#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used, missing_docs)]
#[path = "generated/mock.rs"]
pub mod mock;

#[cfg(feature = "mock")]
#[rustfmt::skip]
#[allow(clippy::expect_used)]
#[path = "generated/samples.rs"]
pub mod samples;
#[cfg(feature = "mock")]
pub mod scenarios;

// Its examples use the mocks.
#[cfg(any(feature = "mock", not(doctest)))]
#[doc = include_str!("../GUIDE.md")]
pub mod guide {}

pub use client::*;
pub use reqwest;

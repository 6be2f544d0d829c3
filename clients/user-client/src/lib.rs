//! Typed client of user-service.
//!
//! The operations, types and mocks are generated from the service's OpenAPI document,
//! `openapi/user-service.json`; the doc comments are the document's.
//!
//! ```
//! # // A server that answers as the document says stands in for user-service.
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = httpmock::MockServer::start();
//! # let john = r#"{"id": 1, "email": "user@example.com", "name": "John Doe"}"#;
//! # server.mock(|when, then| { when.path("/api/v1/users"); then.status(201).header("content-type", "application/json").body(john); });
//! # server.mock(|when, then| { when.path("/api/v1/users/1"); then.status(200).header("content-type", "application/json").body(john); });
//! # server.mock(|when, then| {
//! #     when.path("/api/v1/users/2");
//! #     then.status(404).body(r#"{"request_id": "r", "error_code": "user_not_found", "message": "User not found"}"#);
//! # });
//! # let base_url = server.base_url();
//! use user_client::{Client, Error, error_codes};
//!
//! let client = Client::plain(&base_url); // for instance "http://127.0.0.1:8001"
//!
//! let john = client
//!     .user_create()
//!     .body_map(|body| body.email("user@example.com").name("John Doe"))
//!     .send()
//!     .await?
//!     .into_inner();
//! let again = client.user_view().user_id(john.id).send().await?.into_inner();
//! assert_eq!(again, john);
//!
//! match client.user_view().user_id(2).send().await {
//!     Err(Error::ErrorResponse(error)) if error.error_code.as_deref() == Some(error_codes::USER_NOT_FOUND) => {
//!         println!("nobody has the id 2");
//!     }
//!     other => panic!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] goes through everything one needs, example by example.
//!
//! # Timeouts, proxies, TLS
//!
//! [`Client::plain`] waits at most 5 seconds for an answer, uses the proxy that the environment names, and follows
//! redirects. [`Client::connect`] is for services that depend on this one: its calls go through a [`policy`], with
//! deadlines, retries, a circuit breaker and a limit on calls at a time, and use neither proxies nor redirects. For
//! anything else build a [`reqwest::Client`] as you like and give it to [`Client::new_with_client`].
//! This crate turns on none of reqwest's TLS features: for `https` depend on the same reqwest and turn on the one
//! you prefer.
//!
//! # Errors
//!
//! Every documented failure is an [`Error::ErrorResponse`] with [`types::Error`] inside. Decide by its
//! `error_code`, whose values are in [`error_codes`]; a code you do not know, or none, you treat by its status.
//! A call that the policy refused is an [`Error::Custom`]; [`policy::Refusal::of`] says why.
//! [`Error::InvalidResponsePayload`] prints the answer it could not read: keep it out of your log where answers hold
//! names.
//!
//! # Lists
//!
//! `user_list().stream()` gives the users one by one and asks for the next page when it needs it. Whoever has ids asks for up
//! to a hundred users at once: `user_list().ids("1,2,3")`.
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
/// use user_client::{Client, mock::MockServerExt, types};
///
/// let server = httpmock::MockServer::start();
/// let john: types::User = types::User::builder().id(1).email("user@example.com").name("John Doe").try_into()?;
/// server.user_view(|when, then| {
///     when.user_id(&john.id);
///     then.ok(&john);
/// });
///
/// let user = Client::plain(&server.base_url()).user_view().user_id(1).send().await?;
/// assert_eq!(user.name.as_str(), "John Doe");
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

mod connect;
pub mod policy;

// Its examples use the mocks.
#[cfg(any(feature = "mock", not(doctest)))]
#[doc = include_str!("../GUIDE.md")]
pub mod guide {}

pub use client::*;
pub use reqwest;

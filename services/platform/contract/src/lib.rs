//! What every API trait of the platform is made of. No module here knows a service.
//!
//! An API trait crate (`services/<service>/api`) promises which operations there are, what they accept, what they return
//! and how they fail. It does so with:
//!
//! | module | contents |
//! |---|---|
//! | [`constrained`] | strings and integers whose JSON schema and run-time check are one definition |
//! | [`deprecated`] | the schema of fields that stay for old clients |
//! | [`text`] | what text for people is |
//! | [`time`] | points in time |
//! | [`mod@string_enum`] | enumerations of strings, the same way |
//! | [`error_code`] | errors as constants: status, code, when it happens |
//! | [`extract`] | strict extractors for bodies, paths and queries, with errors in the platform's shape |
//! | [`answer`] | successful responses with the headers that every response has, and replayable ones |
//! | [`idempotency`] | the header `Idempotency-Key` |
//! | [`request_timeout`] | the header `Request-Timeout-Ms` |
//! | [`page`] | the length of a page |
//! | [`health`] | `/health` and `/ready`, which every service has |
//! | [`examples`] | golden examples: requests and responses as data, for the document, for mocks and to be replayed |
//! | [`paths`] | the operations of a document read as JSON, and which of them a path belongs to |
//! | [`operation`] | what an API crate declares of an operation beyond the trait |
//! | [`document`] | the OpenAPI document: what dropshot derives, completed from declarations beside the trait |
//! | [`mod@event`] | events as types, and how they are sent |
//! | [`event_document`] | the AsyncAPI document: the events of a service |
//!
//! Nothing here runs a service; that is `service-runtime`, which no API crate may depend on.

// The macros name this crate by its name, and are used inside it too.
extern crate self as contract;

pub mod answer;
pub mod constrained;
pub mod deprecated;
pub mod document;
pub mod error_code;
pub mod event;
pub mod event_document;
pub mod examples;
pub mod extract;
pub mod health;
pub mod idempotency;
pub mod items;
pub mod money;
pub mod operation;
pub mod page;
pub mod paths;
pub mod precondition;
pub mod request_timeout;
pub mod string_enum;
pub mod text;
pub mod time;
pub mod version;

mod components;
mod conventions;

#[doc(hidden)]
pub mod macro_support {
    pub use schemars;
    pub use serde;
}

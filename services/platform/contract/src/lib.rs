//! What every API trait of the platform is made of, and nothing that belongs to one service.
//!
//! An API trait crate (`services/<service>/api`) promises: which operations there are, what goes in,
//! what comes out, which errors can happen. The pieces it promises with live here:
//!
//! | module | gives |
//! |---|---|
//! | [`constrained`] | strings and integers whose JSON schema and run-time check are one definition |
//! | [`error_code`] | an error as one constant: its status, its code, when it happens |
//! | [`extract`] | request bodies, paths and queries read strictly, refused in the platform's error shape |
//! | [`answer`] | successful answers with the headers that every answer has, and those that can be given again |
//! | [`idempotency`] | the header `Idempotency-Key` |
//! | [`page`] | how long the pages of a list are |
//! | [`health`] | the answers of `/health` and `/ready` |
//! | [`examples`] | golden examples: requests and answers as data, for the document, for mocks and to be replayed |
//! | [`paths`] | the operations of a document read as JSON, and which of them a path belongs to |
//! | [`document`] | the OpenAPI document: what dropshot derives, completed from declarations beside the trait |
//!
//! Nothing here runs a service; that is `service-runtime`, which no API crate may depend on.

// The macros name this crate by its name, and are used inside it too.
extern crate self as contract;

pub mod answer;
pub mod constrained;
pub mod document;
pub mod error_code;
pub mod examples;
pub mod extract;
pub mod health;
pub mod idempotency;
pub mod page;
pub mod paths;

mod text;

#[doc(hidden)]
pub mod macro_support {
    pub use schemars;
    pub use serde;
}

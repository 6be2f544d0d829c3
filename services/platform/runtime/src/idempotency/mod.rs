//! Idempotent creation: a request repeated with its `Idempotency-Key` creates nothing and gets the stored response.
//!
//! The response is stored in the transaction that writes what it is about, so there is no state between "not done" and
//! "done" for a crash to leave behind. While a request is in progress, this process refuses others with the same key; of
//! two processes on one database, the unique key lets one write, and the other finds its response.

mod claim;
mod keys;
mod table;

pub use claim::Claim;
pub use keys::{KeyError, Keys};
pub use table::remove_responses;
pub(crate) use table::{MEMORY, MIGRATION};

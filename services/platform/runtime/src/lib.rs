//! What every service has that is nobody's business: no module here knows a noun of any service.
//!
//! | module | gives |
//! |---|---|
//! | [`coalesce`] | doing at once what many requests ask for at the same time |
//! | [`config`] | flags, environment and `.env` as one typed struct, with errors that name the variable |
//! | [`log`] | JSON lines on stdout, readable on a terminal, without personal data |
//! | [`database`] | one store on PostgreSQL or SQLite: pools, migrations, errors |
//! | [`guard`] | what every operation passes: limits, deadline, panics |
//! | [`idempotency`] | answers that are kept, so that a repeated request creates nothing twice |
//! | [`page`] | page tokens, and cutting rows into pages |
//! | [`telemetry`] | metrics at `/metrics`, and traces to a collector |
//! | [`trace`] | where a request stands in a trace |
//! | [`server`] | a dropshot server with the document, the docs portal and readiness, started and stopped |
//! | [`process`] | `main`: start, wait for a signal, stop |

mod admission;
mod check_ready;
pub mod coalesce;
pub mod config;
pub mod database;
mod docs;
mod dropshot_log;
pub mod guard;
pub mod idempotency;
pub mod log;
pub mod page;
pub mod process;
mod request_path;
pub mod server;
pub mod telemetry;
pub mod trace;
mod unpublished;

/// A request makes some hundred allocations; glibc's allocator takes a sixth of its time for them.
// A test of this crate links it a second time, by service-testing.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

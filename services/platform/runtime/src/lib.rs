//! Infrastructure shared by every service. No module here knows a domain noun.
//!
//! | module | responsibility |
//! |---|---|
//! | [`service`] | a service as a value: `main`, start, migrate |
//! | [`config`] | flags, environment and `.env` as one typed struct, with errors that name the variable |
//! | [`process`] | the life of a process: start, wait for a signal, stop |
//! | [`server`] | a dropshot server with the document, the docs portal, health and metrics |
//! | [`guard`] | what every operation passes: concurrency limit, deadline, panics |
//! | [`idempotency`] | stored responses, so that a repeated request creates nothing twice |
//! | [`database`] | one store on PostgreSQL or SQLite: pools, migrations, errors |
//! | [`coalesce`] | batches of concurrent requests |
//! | [`dependency`] | lookups in other services |
//! | [`events`] | events between services, through a broker or a file |
//! | [`page`] | page tokens, and cutting rows into pages |
//! | [`stderr`] | messages to whoever started the process |
//! | [`log`] | JSON lines on stdout, readable on a terminal, without personal data |
//! | [`telemetry`] | metrics at `/metrics`, and traces to a collector |
//! | [`tls`] | encrypted connections to what is no service of the platform |
//! | [`trace`] | a request's position in a trace |

mod admission;
mod check_ready;
pub mod coalesce;
pub mod config;
pub mod database;
pub mod dependency;
mod docs;
mod dropshot_log;
pub mod events;
mod fairness;
pub mod guard;
pub mod idempotency;
pub mod log;
pub mod page;
pub mod process;
mod purge;
mod readiness;
mod request_path;
pub mod server;
pub mod service;
pub mod stderr;
mod strict_http;
pub mod telemetry;
pub mod tls;
pub mod trace;
mod unpublished;

pub use purge::Purge;
pub use server::Parts;
pub use service::Service;

/// A request makes some hundred allocations, which take a sixth of its time with glibc's allocator.
// The unit tests of this crate also link it through service-testing, which has the allocator already.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

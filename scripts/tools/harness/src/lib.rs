//! Starts, breaks, loads and measures the services: what `scripts/chaos` and `scripts/bench` share.

pub mod cpus;
pub mod http;
pub mod load;
pub mod measurements;
pub mod platform;
pub mod postgres;
pub mod process;
pub mod proxy;
pub use ::topology;
pub mod usage;

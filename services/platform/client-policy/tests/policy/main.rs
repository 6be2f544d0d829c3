//! Each rule of the policy, against a service over real sockets. The clock is paused: it advances when every task waits, so
//! limits are met exactly and no test takes long.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

mod circuit;
mod client;
mod connections;
mod limits;
mod retries;
mod upstream;

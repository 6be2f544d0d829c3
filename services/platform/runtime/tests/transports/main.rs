//! What both carriers of events promise, and what only one of them can.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

mod dead_letters;
mod embedded;
mod encryption;
mod events;
mod rabbitmq;
mod subscriptions;

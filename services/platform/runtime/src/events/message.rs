//! What goes through a transport, and whose it is.

use chrono::{DateTime, Utc};

/// How many deliveries of a subscription may be undecided.
pub const PREFETCH: usize = 64;

/// How often a message is delivered without a decision before the transport moves it to the dead letters.
pub const MAX_DELIVERIES: u32 = 21;

/// The reason of such a dead letter.
pub(super) const UNDECIDED: &str = "21 deliveries without a decision";

/// An event to publish.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The CloudEvent's id, a UUID.
    pub event_id: String,
    /// The CloudEvent's type, such as `order.created`, by which subscribers choose.
    pub event_type: String,
    /// Whether a queue must receive it: without one it is [`Unroutable`](Published::Unroutable).
    pub mandatory: bool,
    /// The CloudEvent as JSON.
    pub envelope: String,
}

/// What became of a published event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Every queue that subscribes to its type has it, durably. There is none only if the event was not mandatory.
    Stored,
    /// No queue subscribes to its type, and the event was mandatory: it is stored nowhere.
    Unroutable,
}

/// Whose deliveries a subscription gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The durable queue of this name, such as `payment-service.events`, shared by all instances of a service: each
    /// event goes to one of them.
    Shared(String),
    /// One of this subscription alone, which ends with it: for what every instance must see. Events before it, after it
    /// and during an outage of a broker are missed.
    Own,
}

/// What to deliver, and to whom.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The queue.
    pub queue: Queue,
    /// The types of events that go into the queue, exactly as published. They are added to those that the queue already
    /// has: a type that is not wanted any more is still delivered.
    pub types: Vec<String>,
}

/// A message that could not be handled.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The CloudEvent's id.
    pub event_id: String,
    /// The CloudEvent's type.
    pub event_type: String,
    /// Why it could not be handled.
    pub reason: String,
    /// When it was given up.
    pub dead_since: DateTime<Utc>,
    /// What was published.
    pub envelope: Vec<u8>,
}

/// The transport cannot be reached or does not confirm. It is unknown whether what was asked for happened.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub(super) String);

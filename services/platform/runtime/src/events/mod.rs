//! Events between services: from a transaction of one into a transaction of another.
//!
//! A service publishes what happened as a CloudEvent; every service that subscribes to its type gets it at least once.
//! [`Transport`] is the port, with one meaning on two carriers:
//!
//! - [`RabbitMq`]: a broker, for services that run as separate programs. The address decides: `EVENTS_URL=amqp://…`.
//! - [`Embedded`]: a durable queue in a SQLite file, for all services in one process. It needs nothing else running.
//!
//! What both promise, and one test suite checks on both:
//!
//! - An event whose publication was confirmed is stored: neither `kill -9` nor a restart of the broker loses it.
//!   Without a confirmation it is unknown; the publisher repeats it, and consumers may see it twice.
//! - Each subscribing service has one durable queue, which its instances share: each event goes to one of them. A queue
//!   exists from the first subscription on and keeps what comes while nobody subscribes. A process that has to see
//!   everything itself, such as one with a cache, has a queue of its own, which ends with it.
//! - A delivery is removed when it is acknowledged. What is dropped undecided, or was undecided when the process died,
//!   is delivered again and says so.
//! - At most 64 deliveries of a subscription are undecided, so that a slow consumer is not flooded.
//! - What can never be handled is moved to the dead letters of its queue, by the consumer with a reason, or by the
//!   transport after [`MAX_DELIVERIES`] deliveries without a decision. Operators list, replay or drop them.
//! - A subscription outlives every outage: it never fails, deliveries resume.
//! - Events of one publisher arrive in its order, as long as nothing is delivered again.

mod backoff;
mod consumer;
mod dead_letters;
mod delivery;
mod embedded;
mod inbox;
mod message;
mod outbox;
mod rabbitmq;
mod relay;
mod service;
mod table;
mod transport;
mod url;

pub use dead_letters::DeadLetterCommand;
pub use delivery::{Deliveries, Delivery};
pub use embedded::Embedded;
pub use inbox::Inbox;
pub use message::{DeadLetter, MAX_DELIVERIES, Outgoing, PREFETCH, Published, Queue, Subscription, TransportError};
pub use outbox::{NewEvent, Outbox, Wake};
pub use rabbitmq::RabbitMq;
pub(crate) use service::{ServiceEvents, queue_of};
pub use table::EventSql;
pub(crate) use table::{INBOX, MIGRATION};
pub use transport::Transport;
pub use url::EventsUrl;

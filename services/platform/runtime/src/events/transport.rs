//! The port: what services see of the carriers.

use super::delivery::Deliveries;
use super::embedded::Embedded;
use super::message::{DeadLetter, Outgoing, Published, Subscription, TransportError};
use super::rabbitmq::RabbitMq;

/// Carries events between services. Clones share its connections.
#[derive(Clone, Debug)]
pub enum Transport {
    /// A broker.
    RabbitMq(RabbitMq),
    /// A file, for services in one process.
    Embedded(Embedded),
}

impl Transport {
    /// Publishes `events` in their order, and returns an outcome for each. Ends within seconds.
    ///
    /// # Errors
    ///
    /// It is unknown which events were stored: publish them again. Consumers may see some twice.
    pub async fn publish(&self, events: Vec<Outgoing>) -> Result<Vec<Published>, TransportError> {
        match self {
            Self::RabbitMq(broker) => broker.publish(events).await,
            Self::Embedded(file) => file.publish(events).await,
        }
    }

    /// Subscribes, in the background and for ever: makes the queue and whatever belongs to it, and delivers again after
    /// every outage.
    pub fn subscribe(&self, subscription: Subscription) -> Deliveries {
        match self {
            Self::RabbitMq(broker) => broker.subscribe(subscription),
            Self::Embedded(file) => file.subscribe(subscription),
        }
    }

    /// Ends all subscriptions and connections. What is undecided goes back to the queues.
    pub async fn close(&self) {
        match self {
            Self::RabbitMq(broker) => broker.close().await,
            Self::Embedded(file) => file.close().await,
        }
    }

    /// The dead letters of the shared queue `queue`, the oldest first, at most `limit`.
    pub async fn dead_letters(&self, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, TransportError> {
        match self {
            Self::RabbitMq(broker) => broker.dead_letters(queue, limit).await,
            Self::Embedded(file) => file.dead_letters(queue, limit).await,
        }
    }

    /// Puts the event, or with `None` each one, back into the shared queue `queue`, and no other, and then removes it from its
    /// dead letters. Returns the ids of those that were there.
    pub async fn replay(&self, queue: &str, event_id: Option<&str>) -> Result<Vec<String>, TransportError> {
        match self {
            Self::RabbitMq(broker) => broker.replay(queue, event_id).await,
            Self::Embedded(file) => file.replay(queue, event_id).await,
        }
    }

    /// Removes the event, or with `None` each one, from the dead letters of the shared queue `queue` for ever. Returns the ids
    /// of those that were there.
    pub async fn drop_dead_letters(&self, queue: &str, event_id: Option<&str>) -> Result<Vec<String>, TransportError> {
        match self {
            Self::RabbitMq(broker) => broker.drop_dead_letters(queue, event_id).await,
            Self::Embedded(file) => file.drop_dead_letters(queue, event_id).await,
        }
    }
}

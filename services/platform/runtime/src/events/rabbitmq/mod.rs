//! The carrier for services that run as separate programs: a RabbitMQ broker.
//!
//! One connection publishes, and each subscription has another one: a broker that is low on memory or disk stops
//! connections that publish, and acknowledgements must still reach it. A connection that fails in any way, or does not
//! answer in time, is thrown away, and a new one is made after a pause. lapin's own recovery is not used: it gives up
//! after some attempts, and had an error in each of its last releases.

mod connection;
mod consumption;
mod dead_letters;
mod link;
mod post;
mod publisher;
mod subscriber;
mod tls;
mod topology;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slog::{Logger, o};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::delivery::Deliveries;
use super::message::{DeadLetter, Outgoing, Published, Queue, Subscription, TransportError};
use super::url::EventsUrl;
use connection::Broker;
use post::Post;
use publisher::Publisher;
use subscriber::Subscriber;

/// Carries events through a broker. Clones share its connections.
#[derive(Clone, Debug)]
pub struct RabbitMq(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    broker: Broker,
    publisher: Arc<Publisher>,
    subscribers: Mutex<JoinSet<()>>,
    closed: watch::Sender<bool>,
    log: Logger,
}

impl RabbitMq {
    /// The broker at `url`, for the service `service`, whose name the broker shows with each connection. Connects when
    /// it is used first, and waits for a broker that is absent or refuses.
    pub fn new(url: EventsUrl, service: &str, log: &Logger) -> Self {
        let broker = Broker::new(url, service);
        let publisher = Arc::new(Publisher::new(broker.clone(), log.new(o!("connection" => "publisher"))));
        let closed = watch::Sender::new(false);
        Self(Arc::new(Shared { broker, publisher, subscribers: Mutex::default(), closed, log: log.clone() }))
    }

    pub(super) async fn publish(&self, events: Vec<Outgoing>) -> Result<Vec<Published>, TransportError> {
        let posts: Result<Vec<_>, _> = events.into_iter().map(Post::event).collect();
        self.0.publisher.publish(&posts?).await
    }

    pub(super) fn subscribe(&self, subscription: Subscription) -> Deliveries {
        let (sender, deliveries) = Deliveries::channel();
        let name = match &subscription.queue {
            Queue::Shared(name) => name.clone(),
            Queue::Own => "own".to_owned(),
        };
        let subscriber = Subscriber {
            broker: self.0.broker.clone(),
            publisher: self.0.publisher.clone(),
            subscription,
            sender,
            closed: self.0.closed.subscribe(),
            log: self.0.log.new(o!("connection" => name)),
        };
        let mut subscribers = guard(&self.0.subscribers);
        // Forget those that have ended.
        while subscribers.try_join_next().is_some() {}
        if !*self.0.closed.borrow() {
            subscribers.spawn(subscriber.run());
        }
        deliveries
    }

    pub(super) async fn close(&self) {
        self.0.closed.send_replace(true);
        let mut subscribers = std::mem::take(&mut *guard(&self.0.subscribers));
        while subscribers.join_next().await.is_some() {}
        self.0.publisher.close().await;
    }

    pub(super) async fn dead_letters(&self, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, TransportError> {
        dead_letters::list(&self.0.broker, queue, limit).await
    }

    pub(super) async fn replay(&self, queue: &str, event_id: Option<&str>) -> Result<Vec<String>, TransportError> {
        dead_letters::replay(&self.0.broker, &self.0.publisher, queue, event_id).await
    }

    pub(super) async fn drop_dead_letters(
        &self,
        queue: &str,
        event_id: Option<&str>,
    ) -> Result<Vec<String>, TransportError> {
        dead_letters::remove(&self.0.broker, queue, event_id).await
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

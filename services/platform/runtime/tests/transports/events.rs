//! Events for tests, and how tests receive them.

use std::time::Duration;

use service_runtime::events::{Deliveries, Delivery, Outgoing, Published, Queue, Subscription, Transport};
use tokio::time::{Instant, timeout};

/// How long a test waits for what must happen. CI may be slow, and brokers take a while to start.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The event `number` of the type `event_type`, which must reach a queue.
pub(crate) fn event(event_type: &str, number: usize) -> Outgoing {
    let event_id = format!("00000000-0000-7000-8000-{number:012}");
    let envelope = format!(r#"{{"id":"{event_id}","type":"{event_type}"}}"#);
    Outgoing { event_id, event_type: event_type.to_owned(), mandatory: true, envelope }
}

/// `count` events of the type `event_type`, from number 0.
pub(crate) fn events(event_type: &str, count: usize) -> Vec<Outgoing> {
    (0..count).map(|number| event(event_type, number)).collect()
}

pub(crate) fn shared(name: &str, types: &[&str]) -> Subscription {
    subscription(Queue::Shared(name.to_owned()), types)
}

pub(crate) fn own(types: &[&str]) -> Subscription {
    subscription(Queue::Own, types)
}

fn subscription(queue: Queue, types: &[&str]) -> Subscription {
    Subscription { queue, types: types.iter().map(|name| (*name).to_owned()).collect() }
}

/// Publishes `events`, repeating those that are not stored: subscriptions begin in the background, carriers fail.
pub(crate) async fn publish(transport: &Transport, events: Vec<Outgoing>) {
    let deadline = Instant::now() + PATIENCE;
    let mut left = events;
    let mut error = None;
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "{} events are not stored: {error:?}", left.len());
        match transport.publish(left.clone()).await {
            Ok(published) => {
                assert_eq!(published.len(), left.len());
                let mut published = published.into_iter();
                left.retain(|_| published.next() != Some(Published::Stored));
            }
            Err(failure) => {
                error = Some(failure);
                // The carrier needs the processor to come back.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Subscribes, and waits until the subscription receives: until an event of a type of its own arrives.
pub(crate) async fn subscribe(transport: &Transport, mut subscription: Subscription) -> Deliveries {
    let probe = format!("probe.{}", uuid());
    subscription.types.push(probe.clone());
    let mut deliveries = transport.subscribe(subscription);
    publish(transport, vec![event(&probe, 0)]).await;
    let delivery = next(&mut deliveries).await;
    assert!(text(&delivery).contains(&probe), "{}", text(&delivery));
    delivery.ack();
    deliveries
}

/// The next delivery, which must come.
pub(crate) async fn next(deliveries: &mut Deliveries) -> Delivery {
    timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap()
}

/// Asserts that nothing is delivered for a while.
pub(crate) async fn assert_nothing(deliveries: &mut Deliveries) {
    let delivered = timeout(Duration::from_millis(300), deliveries.next()).await;
    assert!(delivered.is_err(), "{delivered:?}");
}

/// The next `count` events, acknowledged.
pub(crate) async fn receive(deliveries: &mut Deliveries, count: usize) -> Vec<String> {
    let mut received = Vec::new();
    for _ in 0..count {
        let delivery = next(deliveries).await;
        received.push(text(&delivery));
        delivery.ack();
    }
    received
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.envelope.clone()).unwrap()
}

/// What consumers of `events` receive.
pub(crate) fn envelopes(events: &[Outgoing]) -> Vec<String> {
    events.iter().map(|event| event.envelope.clone()).collect()
}

fn uuid() -> u64 {
    fastrand::u64(..)
}

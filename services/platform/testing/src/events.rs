//! Events as tests see and send them.

use serde_json::{Value, json};
use service_runtime::database::Database;
use service_runtime::events::{Deliveries, Outgoing, Published, Queue, Subscription, Transport};
use service_runtime::with_pool;

/// Receives what is published, as another service does.
#[derive(Debug)]
pub struct Listener(Deliveries);

impl Listener {
    /// Receives the events of `types` that are published once this returns.
    pub async fn new(transport: &Transport, types: &[&str]) -> Self {
        // Bound last, so that all types are bound when it arrives.
        let probe = json!({ "id": "probe", "type": "test.listening" });
        let types = types.iter().copied().chain(["test.listening"]).map(str::to_owned).collect();
        let queue = Queue::Shared("test.events".to_owned());
        let mut listener = Self(transport.subscribe(Subscription { queue, types }));
        publish(transport, &probe).await;
        assert_eq!(listener.next().await, probe);
        listener
    }

    /// Waits for the next event; panics if the transport is closed.
    pub async fn next(&mut self) -> Value {
        let delivery = self.0.next().await.expect("the transport is open");
        let event = serde_json::from_slice(&delivery.envelope).expect("an event is JSON");
        delivery.ack();
        event
    }
}

/// The events in the outbox of `database`, in the order in which they were written.
pub async fn outbox(database: &Database) -> Vec<Value> {
    let select = "SELECT envelope FROM outbox ORDER BY id";
    let rows: Vec<(String,)> =
        with_pool!(database.writer(), |pool| sqlx::query_as(select).fetch_all(pool)).expect("the outbox can be read");
    rows.iter().map(|(envelope,)| serde_json::from_str(envelope).expect("an event is JSON")).collect()
}

/// The types and the data of `events`.
pub fn types_and_data(events: &[Value]) -> Vec<(&str, &Value)> {
    events.iter().map(|event| (event["type"].as_str().unwrap_or_default(), &event["data"])).collect()
}

/// Publishes `event`, a CloudEvent, once there is a queue for it.
pub async fn publish(transport: &Transport, event: &Value) {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let (event_id, event_type) = (text("id"), text("type"));
    let event = Outgoing { event_id, event_type, mandatory: true, envelope: event.to_string() };
    while transport.publish(vec![event.clone()]).await.expect("the transport works") != [Published::Stored] {
        tokio::task::yield_now().await;
    }
}

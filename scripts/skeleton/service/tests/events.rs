//! Tests the events that widget-service publishes.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use serde_json::{Value, json};
use service_runtime::events::Transport;
use service_runtime::server::Server;
use service_testing::{CapturedLog, Listener, TestCarrier, TestDatabase, config_of, on_both_databases};
use widget_client::Client;
use widget_service::SERVICE;

async fn start(database: &TestDatabase, transport: Transport) -> (Client, Server) {
    let mut config = config_of(&SERVICE, &database.url, &[]);
    config.transport = Some(transport);
    let server = SERVICE.start(&config, &CapturedLog::default().logger(&[SERVICE.document])).await.unwrap();
    (Client::plain(&server.url()), server)
}

/// The first example of the events of this type in `events.json` of the API crate.
fn example(name: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(include_str!("../api/events.json")).unwrap();
    all.into_iter().find(|example| example["type"] == name).unwrap()["data"].take()
}

on_both_databases! {
    async fn a_created_widget_is_published_as_in_the_example(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let mut listener = Listener::new(&transport, &["widget.created"]).await;
        let (client, _server) = start(&database, transport).await;
        client.widget_create().body_map(|body| body.name("First widget")).send().await.unwrap();
        let event = listener.next().await;
        assert_eq!(event["data"], example("widget.created"));
        assert_eq!((&event["source"], &event["subject"]), (&json!("/widget-service"), &json!("1")));
    }
}

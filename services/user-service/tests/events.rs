//! Tests the events that user-service publishes.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use serde_json::{Value, json};
use service_testing::{CapturedLog, Listener, TestCarrier, config_of, on_both_databases};
use user_client::Client;
use user_service::SERVICE;

on_both_databases! {
    async fn published_events_match_the_examples_without_personal_data(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let mut listener = Listener::new(&transport, &["user.registered", "user.deleted"]).await;
        let mut config = config_of(&SERVICE, &database.url, &[]);
        config.transport = Some(transport);
        let log = CapturedLog::default().logger(&[SERVICE.document]);
        let server = SERVICE.start(&config, &log).await.unwrap();
        let client = Client::plain(&server.url());
        client.user_create().body_map(|body| body.email("john@example.com").name("John Doe")).send().await.unwrap();
        client.user_delete().user_id(1).send().await.unwrap();
        // Nothing changes, so nothing is published.
        client.user_delete().user_id(1).send().await.unwrap_err();
        client.user_create().body_map(|body| body.email("jane@example.com").name("Jane Doe")).send().await.unwrap();

        let mut examples: Vec<Value> = serde_json::from_str(include_str!("../api/events.json")).unwrap();
        examples.push(json!({ "type": "user.registered", "data": { "user_id": 2 } }));
        for example in examples {
            let event = listener.next().await;
            assert_eq!((&event["type"], &event["data"]), (&example["type"], &example["data"]));
            assert_eq!((&event["source"], &event["subject"]), (&json!("/user-service"), &json!(example["data"]["user_id"].to_string())));
            let text = event.to_string();
            assert!(!text.contains("Doe") && !text.contains('@'), "{text}");
        }
    }
}

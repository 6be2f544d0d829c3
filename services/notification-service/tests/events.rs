//! What the events of other services do: which messages are sent to whom.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::path::Path;

use httpmock::MockServer;
use notification_client::{Client, types};
use notification_service::SERVICE;
use order_events::samples::{ORDER_CANCELLED, ORDER_COMPLETED, ORDER_CONFIRMED};
use payment_events::samples::{PAYMENT_COMPLETED, PAYMENT_REFUNDED};
use serde_json::{Value, json};
use service_runtime::events::Transport;
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestCarrier, TestDatabase, config_of, on_both_databases, publish};
use tempfile::TempDir;
use user_client::mock::MockServerExt as _;
use user_client::types::{Contact, User};
use user_events::samples::{USER_DELETED, USER_REGISTERED};
use uuid::Uuid;

/// notification-service, which writes messages into files, and a mock of user-service.
struct Running {
    client: Client,
    log: CapturedLog,
    transport: Transport,
    files: TempDir,
    _users: MockServer,
    _server: Server,
    _carrier: TestCarrier,
}

/// The only user.
const USER: &str = r#"{"id": 1, "email": "ada@example.com", "name": "Ada \"<Lovelace>\" ß"}"#;

async fn start(database: &TestDatabase, contact: Option<Value>) -> Running {
    let users = MockServer::start_async().await;
    let user: User = serde_json::from_str(USER).unwrap();
    match contact {
        Some(contact) => {
            let contact: Contact = serde_json::from_value(contact).unwrap();
            users.user_view(|_, then| drop(then.ok(&user)));
            users.contact_view(|_, then| drop(then.ok(&contact)));
        }
        None => {
            users.contact_view(|_, then| {
                then.not_found(&user_client::samples::errors::user_not_found());
            });
        }
    }
    let (carrier, files) = (TestCarrier::embedded(), tempfile::tempdir().unwrap());
    let transport = carrier.open().await;
    let mut config = config_of(&SERVICE, &database.url, &[("user-service", users.base_url())]);
    config.transport = Some(transport.clone());
    config.data_directory = files.path().to_owned();
    let log = CapturedLog::default();
    let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
    let client = Client::plain(&server.url());
    Running { client, log, transport, files, _users: users, _server: server, _carrier: carrier }
}

impl Running {
    /// Publishes an event and waits until none of its notifications is queued; returns them, by channel.
    async fn notify(&self, event: &Value) -> Vec<types::Notification> {
        publish(&self.transport, event).await;
        loop {
            let listed = self.client.notification_list().send().await.unwrap().into_inner().items;
            let mut about: Vec<_> = listed.into_iter().filter(|one| event["id"] == json!(*one.event_id)).collect();
            if !about.is_empty() && about.iter().all(|one| one.status != types::NotificationStatus::Queued) {
                about.sort_by_key(|one| one.channel.to_string());
                return about;
            }
            tokio::task::yield_now().await;
        }
    }

    fn file(&self, event: &Value, name: &str) -> String {
        let name = format!("{}.{name}", event["id"].as_str().unwrap());
        std::fs::read_to_string(self.files.path().join("messages").join(name)).unwrap()
    }

    fn number_of_files(&self) -> usize {
        let directory: &Path = &self.files.path().join("messages");
        std::fs::read_dir(directory).map_or(0, Iterator::count)
    }
}

/// A sample as another event: all of them have the same id.
fn event(sample: &str) -> Value {
    let mut event: Value = serde_json::from_str(sample).unwrap();
    event["id"] = json!(Uuid::new_v4().to_string());
    event
}

fn contact(channels: &[&str]) -> Option<Value> {
    Some(json!({ "phone": "+14155550123", "language": "de", "channels": channels }))
}

/// Status and reason of each.
fn ends(notifications: &[types::Notification]) -> Vec<(String, Option<String>)> {
    notifications.iter().map(|one| (one.status.to_string(), one.reason.map(|reason| reason.to_string()))).collect()
}

on_both_databases! {
    async fn every_event_about_an_order_is_told_on_every_wanted_channel(database: TestDatabase) {
        let running = start(&database, contact(&["email", "sms"])).await;
        for event in [ORDER_CONFIRMED, ORDER_COMPLETED, ORDER_CANCELLED, PAYMENT_COMPLETED, PAYMENT_REFUNDED].map(event) {
            let told = running.notify(&event).await;
            assert_eq!(ends(&told), [("sent".to_owned(), None), ("sent".to_owned(), None)]);
            assert_eq!((told[0].user_id.get(), told[0].order_id.as_ref().unwrap().get()), (1, 1));
            let mail = running.file(&event, "email.eml");
            for header in [
                &format!("Message-ID: <{}.email@localhost>", event["id"].as_str().unwrap()),
                "Auto-Submitted: auto-generated",
                "Content-Type: multipart/alternative",
            ] {
                assert!(mail.lines().any(|line| line.starts_with(header)), "{header}: {mail}");
            }
            assert!(mail.contains("<ada@example.com>"), "{mail}");
            assert!(running.file(&event, "sms.txt").starts_with("To: +14155550123\n"));
        }
        let log = running.log.text();
        // The trace of the event, which is that of the request.
        let trace = format!(r#""trace_id":"{}""#, &event(ORDER_CONFIRMED)["traceparent"].as_str().unwrap()[3..35]);
        assert_eq!(log.lines().filter(|line| line.contains("notification sent") && line.contains(&trace)).count(), 10, "{log}");
        // Neither is an address in the log, nor a name.
        assert!(!["example.com", "Lovelace", "4155550123"].into_iter().any(|secret| log.contains(secret)), "{log}");
    }

    async fn a_new_user_is_welcomed_by_mail_only(database: TestDatabase) {
        let running = start(&database, contact(&["email", "sms"])).await;
        let told = running.notify(&event(USER_REGISTERED)).await;
        assert_eq!((told.len(), told[0].channel, &told[0].order_id), (1, types::Channel::Email, &None));
        assert_eq!(ends(&told), [("sent".to_owned(), None)]);
    }

    async fn nothing_is_told_of_no_money(database: TestDatabase) {
        let running = start(&database, contact(&["email", "sms"])).await;
        for mut event in [PAYMENT_COMPLETED, PAYMENT_REFUNDED].map(event) {
            event["data"]["amount"]["amount"] = json!(0);
            publish(&running.transport, &event).await;
        }
        while running.log.text().matches("event handled").count() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(running.client.notification_list().send().await.unwrap().items.len(), 0);
    }

    async fn an_event_that_comes_twice_is_told_once(database: TestDatabase) {
        let running = start(&database, contact(&["email"])).await;
        let event = event(USER_REGISTERED);
        running.notify(&event).await;
        running.notify(&event).await;
        while running.log.text().matches("event handled").count() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(running.client.notification_list().send().await.unwrap().items.len(), 1);
        assert_eq!(running.number_of_files(), 1);
    }

    async fn who_wants_no_messages_gets_none(database: TestDatabase) {
        let running = start(&database, contact(&["sms"])).await;
        let told = running.notify(&event(ORDER_COMPLETED)).await;
        assert_eq!(ends(&told), [("suppressed".to_owned(), Some("opted_out".to_owned())), ("sent".to_owned(), None)]);
        assert_eq!(running.number_of_files(), 1);
    }

    /// The events of a user come in any order.
    async fn a_deleted_user_gets_nothing_whatever_came_first(database: TestDatabase) {
        let running = start(&database, None).await;
        publish(&running.transport, &event(USER_DELETED)).await;
        for sample in [USER_REGISTERED, ORDER_CONFIRMED] {
            let deleted = Some("user_deleted".to_owned());
            assert!(ends(&running.notify(&event(sample)).await).iter().all(|end| *end == ("suppressed".to_owned(), deleted.clone())));
        }
        assert_eq!(running.number_of_files(), 0);
    }
}

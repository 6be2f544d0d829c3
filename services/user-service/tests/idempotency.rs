//! Tests what the generic suite cannot know about creating a user with an `Idempotency-Key`: replays after the user has
//! changed, refusals, and the purge of expired keys.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Response;
use serde_json::{Value, json};
use service_runtime::database::Database;
use service_runtime::idempotency::Keys;
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, config_of, on_both_databases};
use user_service::SERVICE;
use user_service::store::UserStore;
use user_service_api::{User, UserCreate};

const JOHN: &str = r#"{"email":"john@example.com","name":"John Doe"}"#;

async fn start(database: &TestDatabase) -> Server {
    let config = config_of(&SERVICE, &database.url, &[]);
    SERVICE.start(&config, &CapturedLog::default().logger(&[SERVICE.document])).await.unwrap()
}

async fn post(server: &Server, key: &str, body: &str) -> Response {
    let request = reqwest::Client::new().post(format!("{}/api/v1/users", server.url()));
    let request = request.header("content-type", "application/json").header("idempotency-key", key);
    request.body(body.to_owned()).send().await.unwrap()
}

/// The status, the body, `Location`, and whether `Idempotency-Replayed` is set.
async fn seen(response: Response) -> (u16, String, Option<String>, bool) {
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (location, replayed) = (header("location"), header("idempotency-replayed"));
    assert!(replayed.is_none() || replayed.as_deref() == Some("true"));
    (response.status().as_u16(), response.text().await.unwrap(), location, replayed.is_some())
}

async fn users(server: &Server) -> Vec<Value> {
    let page: Value = reqwest::get(format!("{}/api/v1/users", server.url())).await.unwrap().json().await.unwrap();
    page["items"].as_array().unwrap().clone()
}

on_both_databases! {
    async fn a_replay_is_unchanged_after_the_user_is_changed_or_deleted(database: TestDatabase) {
        let server = start(&database).await;
        let first = seen(post(&server, "k", JOHN).await).await;
        assert_eq!((first.0, first.3), (201, false));

        // The same body with other spaces and another order of fields.
        let reordered = "{ \"name\": \"John Doe\",\n\"email\": \"john@example.com\" }";
        let again = seen(post(&server, "k", reordered).await).await;
        assert_eq!(again, (201, first.1.clone(), first.2.clone(), true));

        let url = format!("{}{}", server.url(), first.2.as_ref().unwrap());
        let jane = json!({"email": "jane@example.com", "name": "Jane Doe"});
        assert_eq!(reqwest::Client::new().put(&url).json(&jane).send().await.unwrap().status(), 200);
        assert_eq!(seen(post(&server, "k", JOHN).await).await.1, first.1);

        assert_eq!(reqwest::Client::new().delete(&url).send().await.unwrap().status(), 204);
        assert_eq!(seen(post(&server, "k", JOHN).await).await.1, first.1);
        assert_eq!(users(&server).await, Vec::<Value>::new());
    }

    async fn a_refusal_is_not_stored(database: TestDatabase) {
        let server = start(&database).await;
        post(&server, "first", JOHN).await;
        assert_eq!(post(&server, "second", JOHN).await.status(), 409);
        let url = format!("{}/api/v1/users/1", server.url());
        assert_eq!(reqwest::Client::new().delete(url).send().await.unwrap().status(), 204);
        let (status, _, _, replayed) = seen(post(&server, "second", JOHN).await).await;
        assert_eq!((status, replayed), (201, false));
    }

    async fn only_keys_older_than_a_day_are_removed_at_startup(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 2).await.unwrap();
        let now = Utc::now();
        store_response(&opened, "old", now - TimeDelta::hours(24) - TimeDelta::seconds(1)).await;
        store_response(&opened, "young", now - TimeDelta::hours(24) + TimeDelta::minutes(10)).await;
        let _server = start(&database).await;
        while is_stored(&opened, "old").await {
            tokio::task::yield_now().await;
        }
        assert!(is_stored(&opened, "young").await);
    }

    async fn expired_keys_of_more_than_one_batch_are_all_purged(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 2).await.unwrap();
        let now = Utc::now();
        for number in 0..501 {
            store_response(&opened, &format!("old-{number}"), now - TimeDelta::seconds(1)).await;
        }
        store_response(&opened, "young", now).await;
        let keys = Keys::new(opened.clone());
        assert_eq!(keys.purge(now).await.unwrap(), 501);
        assert_eq!(keys.purge(now).await.unwrap(), 0);
        assert!(is_stored(&opened, "young").await);
    }
}

fn request(key: &str) -> UserCreate {
    UserCreate { email: format!("{key}@example.com").parse().unwrap(), name: "John Doe".parse().unwrap() }
}

/// Stores a response under `key`, as if the request had been made at `time`.
async fn store_response(database: &Database, key: &str, time: DateTime<Utc>) {
    let user = request(key);
    let claim = Keys::new(database.clone()).claim("user_create", Some(key.parse().unwrap()), &user).unwrap();
    UserStore::new(database.clone()).insert(&user, time, claim).await.unwrap();
}

async fn is_stored(database: &Database, key: &str) -> bool {
    let keys = Keys::new(database.clone());
    let claim = keys.claim("user_create", Some(key.parse().unwrap()), &request(key)).unwrap();
    keys.stored_response::<User>(claim.as_ref()).await.unwrap().is_some()
}

//! Creating a user with an `Idempotency-Key`, on both databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use chrono::{DateTime, TimeDelta, Utc};
use contract::answer::Created;
use reqwest::Response;
use serde_json::{Value, json};
use service_runtime::database::Database;
use service_runtime::idempotency::Keys;
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, on_both_databases};
use user_service::store::{MIGRATIONS, UserStore};
use user_service::{Config, DOCUMENT};
use user_service_api::{User, UserCreate};

const JOHN: &str = r#"{"email":"john@example.com","name":"John Doe"}"#;

async fn start(database: &TestDatabase) -> Server {
    let config = Config::new("127.0.0.1:0".parse().unwrap(), database.url.clone());
    user_service::start(&config, &CapturedLog::default().logger(&[DOCUMENT])).await.unwrap()
}

async fn post(server: &Server, key: &str, body: &str) -> Response {
    let request = reqwest::Client::new().post(format!("{}/api/v1/users", server.url()));
    let request = request.header("content-type", "application/json").header("idempotency-key", key);
    request.body(body.to_owned()).send().await.unwrap()
}

/// Status, body, `Location`, and whether it says that it was given before.
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
    async fn a_repeated_request_gets_the_same_bytes_whatever_became_of_the_user(database: TestDatabase) {
        let server = start(&database).await;
        let first = seen(post(&server, "k", JOHN).await).await;
        assert_eq!((first.0, first.3), (201, false));

        // The same again, in other spaces and another order.
        let again = seen(post(&server, "k", "{ \"name\": \"John Doe\",\n\"email\": \"john@example.com\" }").await).await;
        assert_eq!(again, (201, first.1.clone(), first.2.clone(), true));

        let url = format!("{}{}", server.url(), first.2.as_ref().unwrap());
        let jane = json!({"email": "jane@example.com", "name": "Jane Doe"});
        assert_eq!(reqwest::Client::new().put(&url).json(&jane).send().await.unwrap().status(), 200);
        assert_eq!(seen(post(&server, "k", JOHN).await).await.1, first.1);

        assert_eq!(reqwest::Client::new().delete(&url).send().await.unwrap().status(), 204);
        assert_eq!(seen(post(&server, "k", JOHN).await).await.1, first.1);
        assert_eq!(users(&server).await, Vec::<Value>::new());
    }

    async fn another_body_with_the_key_is_refused_and_changes_nothing(database: TestDatabase) {
        let server = start(&database).await;
        post(&server, "k", JOHN).await;
        let (status, body, ..) = seen(post(&server, "k", r#"{"email":"jane@example.com","name":"Jane"}"#).await).await;
        assert_eq!(status, 422, "{body}");
        assert!(body.contains("idempotency_key_reused"), "{body}");
        assert_eq!(users(&server).await.len(), 1);
    }

    async fn a_refusal_is_not_kept(database: TestDatabase) {
        let server = start(&database).await;
        post(&server, "first", JOHN).await;
        assert_eq!(post(&server, "second", JOHN).await.status(), 409);
        assert_eq!(reqwest::Client::new().delete(format!("{}/api/v1/users/1", server.url())).send().await.unwrap().status(), 204);
        let (status, _, _, replayed) = seen(post(&server, "second", JOHN).await).await;
        assert_eq!((status, replayed), (201, false));
    }

    async fn of_twenty_equal_requests_at_once_one_creates_and_none_is_told_otherwise(database: TestDatabase) {
        // Two processes on one database: what one is working on, the other cannot know.
        let servers = [start(&database).await, start(&database).await];
        let requests = (0..20).map(|number| post(&servers[number % 2], "k", JOHN));
        let mut first = None;
        for response in futures::future::join_all(requests).await {
            let (status, body, location, replayed) = seen(response).await;
            match status {
                201 if !replayed => assert_eq!(first.replace((body, location)), None),
                201 => {}
                409 => assert!(body.contains("idempotency_key_in_use"), "{body}"),
                _ => panic!("{status} {body}"),
            }
        }
        let first = first.unwrap();
        for server in &servers {
            let (status, body, location, replayed) = seen(post(server, "k", JOHN).await).await;
            assert_eq!((status, (body, location), replayed), (201, first.clone(), true));
        }
        assert_eq!(users(&servers[0]).await.len(), 1);
    }

    async fn a_key_is_kept_over_a_restart(database: TestDatabase) {
        let server = start(&database).await;
        let first = seen(post(&server, "k", JOHN).await).await;
        server.stop().await;
        let again = seen(post(&start(&database).await, "k", JOHN).await).await;
        assert_eq!((again.1, again.2, again.3), (first.1, first.2, true));
    }

    async fn keys_older_than_a_day_are_removed_at_the_start_and_younger_ones_stay(database: TestDatabase) {
        let opened = Database::open(&database.url, 2, &MIGRATIONS).await.unwrap();
        let now = Utc::now();
        keep(&opened, "old", now - TimeDelta::hours(24) - TimeDelta::seconds(1)).await;
        keep(&opened, "young", now - TimeDelta::hours(24) + TimeDelta::minutes(10)).await;
        let _server = start(&database).await;
        while kept(&opened, "old").await {
            tokio::task::yield_now().await;
        }
        assert!(kept(&opened, "young").await);
    }

    async fn more_keys_than_a_batch_are_removed_to_the_last(database: TestDatabase) {
        let opened = Database::open(&database.url, 2, &MIGRATIONS).await.unwrap();
        let now = Utc::now();
        for number in 0..501 {
            keep(&opened, &format!("old-{number}"), now - TimeDelta::seconds(1)).await;
        }
        keep(&opened, "young", now).await;
        let keys = Keys::new(opened.clone());
        assert_eq!(keys.purge(now).await.unwrap(), 501);
        assert_eq!(keys.purge(now).await.unwrap(), 0);
        assert!(kept(&opened, "young").await);
    }
}

fn request(key: &str) -> UserCreate {
    UserCreate { email: format!("{key}@example.com").parse().unwrap(), name: "John Doe".parse().unwrap() }
}

/// Keeps an answer under `key`, as if it had been given at `time`.
async fn keep(database: &Database, key: &str, time: DateTime<Utc>) {
    let user = request(key);
    let claim = Keys::new(database.clone()).claim("user_create", Some(key.parse().unwrap()), &user).unwrap();
    let answer = |user: &User| Created::new(user, user.id.to_string());
    UserStore::new(database.clone()).insert(&user, time, claim.as_ref(), answer).await.unwrap();
}

async fn kept(database: &Database, key: &str) -> bool {
    let keys = Keys::new(database.clone());
    let claim = keys.claim("user_create", Some(key.parse().unwrap()), &request(key)).unwrap();
    keys.answer::<User>(claim.as_ref()).await.unwrap().is_some()
}

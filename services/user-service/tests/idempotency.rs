//! Tests what the generic suite cannot know about creating a user with an `Idempotency-Key`: replays after the user has
//! changed, refusals, and the purge of expired keys.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Response;
use serde_json::{Value, json};
use service_runtime::database::{Connections, Database};
use service_runtime::idempotency::Keys;
use service_runtime::server::Server;
use service_runtime::with_pool;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of, on_both_databases};
use sqlx::AssertSqlSafe;
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
    async fn a_replay_is_unchanged_after_the_user_is_changed(database: TestDatabase) {
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
    }

    async fn a_deleted_user_leaves_no_stored_response(database: TestDatabase) {
        let server = start(&database).await;
        let (_, body, location, _) = seen(post(&server, "k", JOHN).await).await;
        let jane = json!({"email": "jane@example.com", "name": "Jane Doe"}).to_string();
        let other = seen(post(&server, "other", &jane).await).await;
        let url = format!("{}{}", server.url(), location.unwrap());
        assert_eq!(reqwest::Client::new().delete(&url).send().await.unwrap().status(), 204);
        // The creation repeated with its key is a new one.
        let (status, again, _, replayed) = seen(post(&server, "k", JOHN).await).await;
        assert_eq!((status, replayed, again == body), (201, false, false));
        assert_eq!(users(&server).await.len(), 2);
        // Another user's response stays.
        assert_eq!(seen(post(&server, "other", &jane).await).await, (201, other.1, other.2, true));
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

    async fn a_purge_removes_keys_of_more_than_a_day(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 2).await.unwrap();
        let now = Utc::now();
        let day = TimeDelta::hours(24);
        for number in 0..120 {
            store_response(&opened, &format!("old-{number}"), now - day - TimeDelta::seconds(number)).await;
        }
        store_response(&opened, "young", now - day + TimeDelta::minutes(10)).await;
        let mut purge = Keys::new(opened.clone()).purge();
        assert_eq!(purge.run(now).await.unwrap(), 0, "the first run removes nothing");
        assert_eq!(purge.run(now).await.unwrap(), 120);
        assert!(is_stored(&opened, "young").await);
        assert_eq!(purge.run(now).await.unwrap(), 0);
    }

    async fn a_clock_that_jumps_ahead_spares_the_newest_keys(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 2).await.unwrap();
        // On PostgreSQL the server's clock is right: here all clocks have jumped.
        let jump = TimeDelta::days(3);
        let now = Utc::now() - jump;
        store_response(&opened, "before", now).await;
        let mut purge = Keys::new(opened.clone()).purge();
        purge.run(now + jump).await.unwrap();
        store_response(&opened, "after", now + TimeDelta::minutes(5)).await;
        assert_eq!(purge.run(now + jump).await.unwrap(), 1);
        assert!(!is_stored(&opened, "before").await);
        assert!(is_stored(&opened, "after").await);
    }

    async fn a_purge_removes_at_most_fifty_keys_by_a_statement(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 2).await.unwrap();
        let day_ago = Utc::now() - TimeDelta::hours(24);
        for number in 0..120 {
            store_response(&opened, &format!("old-{number}"), day_ago - TimeDelta::seconds(number)).await;
        }
        let mut purge = Keys::new(opened.clone()).purge();
        purge.run(Utc::now()).await.unwrap();
        // It starts with the oldest and fails at the ninetieth.
        refuse_deletion(&opened, "old-30").await;
        purge.run(Utc::now()).await.unwrap_err();
        let count = "SELECT COUNT(*) FROM idempotency_keys";
        let left = with_pool!(opened.reader(), |pool| sqlx::query_scalar::<_, i64>(count).fetch_one(pool));
        assert_eq!(left.unwrap(), 70);
    }
}

#[tokio::test]
async fn postgres_purges_by_the_clock_of_the_server_too() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 2).await.unwrap();
    store_response(&opened, "young", Utc::now() - TimeDelta::hours(1)).await;
    let mut purge = Keys::new(opened.clone()).purge();
    for _ in 0..2 {
        assert_eq!(purge.run(Utc::now() + TimeDelta::days(3)).await.unwrap(), 0);
    }
    assert!(is_stored(&opened, "young").await);
}

/// Makes `database` refuse to delete `key`.
async fn refuse_deletion(database: &Database, key: &str) {
    let trigger = "CREATE TRIGGER kept BEFORE DELETE ON idempotency_keys FOR EACH ROW";
    let trigger = format!("{trigger} WHEN (OLD.idempotency_key = '{key}')");
    match &database.writer().connections {
        Connections::Postgres(pool) => {
            let function = "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN RAISE ''kept''; END' LANGUAGE plpgsql;";
            let sql = AssertSqlSafe(format!("{function} {trigger} EXECUTE FUNCTION refuse()"));
            sqlx::raw_sql(sql).execute(pool).await.unwrap();
        }
        Connections::Sqlite(pool) => {
            let sql = AssertSqlSafe(format!("{trigger} BEGIN SELECT RAISE(ABORT, 'kept'); END"));
            sqlx::raw_sql(sql).execute(pool).await.unwrap();
        }
    }
}

fn request(key: &str) -> UserCreate {
    UserCreate { email: format!("{key}@example.com").parse().unwrap(), name: "John Doe".parse().unwrap() }
}

/// Stores a response under `key`, as if the request had been made at `time`.
async fn store_response(database: &Database, key: &str, time: DateTime<Utc>) {
    let user = request(key);
    let claim = Keys::new(database.clone()).claim("user_create", Some(key.parse().unwrap()), &user).unwrap();
    UserStore::new(database.clone(), SERVICE.outbox().unwrap()).insert(&user, time, claim, None).await.unwrap();
}

async fn is_stored(database: &Database, key: &str) -> bool {
    let keys = Keys::new(database.clone());
    let claim = keys.claim("user_create", Some(key.parse().unwrap()), &request(key)).unwrap();
    keys.stored_response::<User>(claim.as_ref()).await.unwrap().is_some()
}

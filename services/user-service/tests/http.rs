//! user-service as its clients see it: real HTTP, through the generated client, on both databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use futures::TryStreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, on_both_databases};
use user_client::{Client, Error, error_codes, types};
use user_service::{Config, DOCUMENT};

struct Running {
    client: Client,
    server: Server,
    log: CapturedLog,
}

async fn start(database: &TestDatabase) -> Running {
    let log = CapturedLog::default();
    let config = Config::new("127.0.0.1:0".parse().unwrap(), database.url.clone());
    let server = user_service::start(&config, &log.logger(&[DOCUMENT])).await.unwrap();
    Running { client: Client::plain(&server.url()), server, log }
}

impl Running {
    async fn create(&self, email: &str) -> types::User {
        let body = |body: types::builder::UserCreate| body.email(email).name("John Doe");
        self.client.user_create().body_map(body).send().await.unwrap().into_inner()
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        let request = reqwest::Client::new().post(format!("{}/api/v1/users", self.server.url()));
        answer(request.header("content-type", "application/json").body(body)).await
    }

    async fn get(&self, path_and_query: &str) -> (StatusCode, Value) {
        answer(reqwest::Client::new().get(format!("{}{path_and_query}", self.server.url()))).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(body["request_id"], request_id.as_str(), "{body}");
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty() && text.chars().count() <= 200), "{body}");
    }
    (status, body)
}

fn code<T: std::fmt::Debug>(result: Result<T, Error<types::Error>>) -> (u16, String) {
    match result {
        Err(Error::ErrorResponse(error)) => (error.status().as_u16(), error.error_code.clone().unwrap_or_default()),
        other => panic!("no error of the contract: {other:?}"),
    }
}

on_both_databases! {
    async fn a_service_that_is_to_stop_is_not_ready_but_still_serves(database: TestDatabase) {
        let service = start(&database).await;
        service.server.announce_stop();
        let (status, body) = service.get("/ready").await;
        assert_eq!((status.as_u16(), &body["error_code"]), (503, &json!("shutting_down")));
        assert_eq!(service.get("/health").await.0, 200);
        service.create("john@example.com").await;
    }

    /// Scenario of the founding documents: create user.
    async fn create_user(database: TestDatabase) {
        let service = start(&database).await;
        let (status, user) = service.post(r#"{"email":"user@example.com","name":"John Doe"}"#).await;
        assert_eq!(status, 201);
        assert_eq!(user, json!({"id": 1, "email": "user@example.com", "name": "John Doe"}));
        assert_eq!(service.get("/api/v1/users/1").await, (StatusCode::OK, user));
    }

    async fn a_created_user_can_be_read_at_its_location(database: TestDatabase) {
        let service = start(&database).await;
        let created = service.client.user_create().body_map(|b| b.email("a@b").name("A")).send().await.unwrap();
        let location = created.headers()["location"].to_str().unwrap().to_owned();
        assert_eq!(location, "/api/v1/users/1");
        let (_, user) = service.get(&location).await;
        assert_eq!(user["email"], "a@b");
    }

    async fn an_address_in_other_case_is_taken(database: TestDatabase) {
        let service = start(&database).await;
        service.create("user@example.com").await;
        let again = service.client.user_create().body_map(|b| b.email("USER@Example.com").name("B")).send().await;
        assert_eq!(code(again), (409, error_codes::EMAIL_TAKEN.to_owned()));
    }

    async fn replacing_sets_all_and_keeps_addresses_unique(database: TestDatabase) {
        let service = start(&database).await;
        let john = service.create("john@example.com").await;
        service.create("jane@example.com").await;
        let replace = async |id: i64, email: &str| {
            service.client.user_replace().user_id(id).body_map(|b| b.email(email).name("J")).send().await
        };
        let replaced = replace(1, "John@example.com").await.unwrap().into_inner();
        assert_eq!((replaced.id, replaced.email.as_str(), replaced.name.as_str()), (john.id, "John@example.com", "J"));
        assert_eq!(replace(1, "John@example.com").await.unwrap().email.as_str(), "John@example.com");
        assert_eq!(code(replace(1, "JANE@example.com").await), (409, error_codes::EMAIL_TAKEN.to_owned()));
        assert_eq!(code(replace(3, "x@example.com").await), (404, error_codes::USER_NOT_FOUND.to_owned()));
    }

    async fn a_deleted_user_is_gone(database: TestDatabase) {
        let service = start(&database).await;
        service.create("john@example.com").await;
        assert_eq!(service.client.user_delete().user_id(1).send().await.unwrap().status(), 204);
        let gone = (404, error_codes::USER_NOT_FOUND.to_owned());
        assert_eq!(code(service.client.user_view().user_id(1).send().await), gone);
        assert_eq!(code(service.client.user_delete().user_id(1).send().await), gone);
    }

    async fn a_list_gives_every_user_once_whatever_the_page_length(database: TestDatabase) {
        let service = start(&database).await;
        for number in 1..=7 {
            service.create(&format!("u{number}@example.com")).await;
        }
        for limit in [1, 3, 7, 100] {
            let users: Vec<types::User> = service.client.user_list().limit(limit).stream().try_collect().await.unwrap();
            let ids: Vec<u64> = users.iter().map(|user| user.id.get()).collect();
            assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7], "limit {limit}");
        }
        let (_, last) = service.get("/api/v1/users?limit=7").await;
        assert!(last.get("next_page").is_none(), "{last}");
    }

    async fn a_list_by_address_holds_that_user_or_nobody(database: TestDatabase) {
        let service = start(&database).await;
        service.create("john@example.com").await;
        let list = async |email: &str| service.client.user_list().email(email).send().await.unwrap().into_inner().items;
        assert_eq!(list("JOHN@example.com").await.len(), 1);
        assert_eq!(list("jane@example.com").await.len(), 0);
    }

    async fn a_list_by_ids_holds_each_of_those_users_once_whatever_the_page_length(database: TestDatabase) {
        let service = start(&database).await;
        for number in 1..=7 {
            service.create(&format!("u{number}@example.com")).await;
        }
        service.client.user_delete().user_id(4).send().await.unwrap();
        let list = service.client.user_list().ids("7,4,2,2,8,5,9007199254740991,9999999999999999");
        for limit in [1, 2, 3, 100] {
            let users: Vec<types::User> = list.clone().limit(limit).stream().try_collect().await.unwrap();
            let ids: Vec<u64> = users.iter().map(|user| user.id.get()).collect();
            assert_eq!(ids, [2, 5, 7], "limit {limit}");
        }
        let page = list.send().await.unwrap();
        assert_eq!((page.items.len(), &page.next_page), (3, &None));
        // Each filter counts.
        let both = async |ids: &str| service.client.user_list().ids(ids).email("U5@example.com").send().await.unwrap();
        assert_eq!(both("7,5").await.items.len(), 1);
        assert_eq!(both("7").await.items.len(), 0);
    }

    async fn a_hundred_users_are_listed_by_their_ids_and_no_more(database: TestDatabase) {
        let service = start(&database).await;
        service.create("john@example.com").await;
        let ids = |number| (1..=number).map(|id: u64| id.to_string()).collect::<Vec<_>>().join(",");
        let (status, page) = service.get(&format!("/api/v1/users?ids={}", ids(100))).await;
        assert_eq!((status.as_u16(), page["items"].as_array().unwrap().len()), (200, 1));
        for bad in [&ids(101), "", "1,", "1;2", "0"] {
            let (status, body) = service.get(&format!("/api/v1/users?ids={bad}")).await;
            assert_eq!((status.as_u16(), &body["error_code"]), (400, &json!("invalid_request")), "{bad}");
        }
    }

    async fn a_page_token_beside_a_filter_or_damaged_is_refused(database: TestDatabase) {
        let service = start(&database).await;
        service.create("a@example.com").await;
        service.create("b@example.com").await;
        let (_, page) = service.get("/api/v1/users?limit=1").await;
        let token = page["next_page"].as_str().unwrap();
        let damaged = format!("{}x", &token[1..]);
        for query in [
            format!("email=a@example.com&page_token={token}"),
            format!("ids=1,2&page_token={token}"),
            format!("page_token={damaged}"),
            "page_token=".to_owned(),
            "page_token=%00".to_owned(),
        ] {
            let (status, body) = service.get(&format!("/api/v1/users?{query}")).await;
            assert_eq!((status.as_u16(), &body["error_code"]), (400, &json!("invalid_page_token")), "{query}");
        }
        let (status, rest) = service.get(&format!("/api/v1/users?limit=5&page_token={token}")).await;
        assert_eq!((status.as_u16(), rest["items"].as_array().unwrap().len()), (200, 1));
    }

    async fn a_bad_body_is_refused_and_changes_nothing(database: TestDatabase) {
        let service = start(&database).await;
        let name_of = |length: usize| json!({"email": "a@b", "name": "n".repeat(length)}).to_string();
        let bad = [
            ("", "request body"),
            ("{", "request body"),
            ("null", "request body"),
            (r#"["a@b", "A"]"#, "request body: expected a JSON object"),
            (r#"{"email": "a@b"}"#, "missing field `name`"),
            (r#"{"email": "a@b", "name": null}"#, "`name`"),
            (r#"{"email": "a@b", "name": 7}"#, "`name`"),
            (r#"{"email": "a@b", "name": "A", "admin": true}"#, "unknown field `admin`"),
            (r#"{"email": "a@b", "email": "c@d", "name": "A"}"#, "duplicate field `email`"),
            (r#"{"email": "a@b", "name": ""}"#, "request body `name`: expected 1 to 255 characters, got 0"),
            (&name_of(300), "`name`: expected 1 to 255 characters, got 300"),
            (r#"{"email": "a@b", "name": "   "}"#, "`name`"),
            (r#"{"email": "a@b", "name": "A\u0000B"}"#, "`name`"),
            (r#"{"email": "a@b", "name": "A\u001bB"}"#, "`name`"),
            ("{\"email\": \"a@b\", \"name\": \"A\nB\"}", "request body"),
            (r#"{"email": "a@b", "name": "\ud800"}"#, "request body"),
            (r#"{"email": "ab.example.com", "name": "A"}"#, "`email`"),
            (r#"{"email": "a@b@c", "name": "A"}"#, "`email`"),
            (r#"{"email": "a b@c", "name": "A"}"#, "`email`"),
            (r#"{"email": "a@b\u0000", "name": "A"}"#, "`email`"),
            (r#"{"email": "", "name": "A"}"#, "`email`"),
            (r#"{"email": "a@b", "name": "A"} x"#, "request body"),
            (r#"{"email": "a@b", "name": "A"}{}"#, "request body"),
        ];
        for (body, expected) in bad {
            let (status, answer) = service.post(body.to_owned()).await;
            assert_eq!((status.as_u16(), &answer["error_code"]), (400, &json!("invalid_request")), "{body}: {answer}");
            assert!(answer["message"].as_str().unwrap().contains(expected), "{body}: {answer}");
        }
        let (status, _) = service.post(vec![b'{', b'"', 0xff]).await;
        assert_eq!(status, 400);
        let (_, page) = service.get("/api/v1/users").await;
        assert_eq!(page, json!({"items": []}));
    }

    async fn a_name_of_255_characters_of_any_script_is_kept(database: TestDatabase) {
        let service = start(&database).await;
        let name = "名".repeat(255);
        let (status, user) = service.post(json!({"email": "a@b", "name": name}).to_string()).await;
        assert_eq!((status.as_u16(), &user["name"]), (201, &json!(name)));
    }

    async fn an_id_out_of_bounds_is_refused(database: TestDatabase) {
        let service = start(&database).await;
        for id in ["0", "-1", "9007199254740992", "9223372036854775808", "abc", "1.0", "+1", "01", "%00", "1%20"] {
            let (status, body) = service.get(&format!("/api/v1/users/{id}")).await;
            assert_eq!((status.as_u16(), &body["error_code"]), (400, &json!("invalid_request")), "{id}: {body}");
            assert!(body["message"].as_str().unwrap().contains("`user_id`"), "{body}");
        }
        let (status, _) = service.get("/api/v1/users/%ff").await;
        assert_eq!(status, 400, "a path that cannot be decoded");
        let (status, _) = service.get("/api/v1/users/9007199254740991").await;
        assert_eq!(status, 404);
    }

    async fn a_bad_query_is_refused(database: TestDatabase) {
        let service = start(&database).await;
        for query in ["limit=0", "limit=1001", "limit=x", "limit=", "limit=1&limit=2", "email=nobody", "nmae=x"] {
            let (status, body) = service.get(&format!("/api/v1/users?{query}")).await;
            assert_eq!((status.as_u16(), &body["error_code"]), (400, &json!("invalid_request")), "{query}: {body}");
        }
    }

    async fn a_body_too_large_or_not_json_is_refused(database: TestDatabase) {
        let service = start(&database).await;
        let (status, body) = service.post(vec![b' '; 64 * 1024 + 1]).await;
        assert_eq!((status.as_u16(), &body["error_code"]), (413, &json!("payload_too_large")));
        let url = format!("{}/api/v1/users", service.server.url());
        let valid = r#"{"email": "a@b", "name": "A"}"#;
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "\u{e4}"] {
            let request = reqwest::Client::new().post(&url).header("content-type", content_type).body(valid);
            let (status, body) = answer(request).await;
            assert_eq!((status.as_u16(), &body["error_code"]), (415, &json!("unsupported_media_type")));
        }
        let (status, _) = answer(reqwest::Client::new().post(&url).body(valid)).await;
        assert_eq!(status, 415, "no content type");
        let compressed = reqwest::Client::new().post(&url).header("content-type", "application/json");
        let (status, _) = answer(compressed.header("content-encoding", "gzip").body(valid)).await;
        assert_eq!(status, 415, "content encoding");
        let charset = reqwest::Client::new().post(&url).header("content-type", "Application/JSON; charset=utf-8");
        let (status, _) = answer(charset.body(valid)).await;
        assert_eq!(status, 201);
    }

    async fn health_and_readiness_are_as_promised(database: TestDatabase) {
        let service = start(&database).await;
        assert_eq!(service.get("/health").await, (StatusCode::OK, json!({"status": "ok"})));
        assert_eq!(service.get("/ready").await, (StatusCode::OK, json!({"status": "ready"})));
    }

    async fn neither_name_nor_address_reaches_the_log(database: TestDatabase) {
        let service = start(&database).await;
        let (status, _) = service.post(r#"{"email":"canary@example.com","name":"Canary Bird"}"#).await;
        assert_eq!(status, 201);
        for path in [
            "/api/v1/users?email=canary@example.com",
            "/api/v1/users?email=canary",
            "/api/v1/users/canary@example.com",
            "/api/v1/users/Canary%20Bird",
            "/canary/Canary",
            "/api/v1/users?canary=Canary",
        ] {
            service.get(path).await;
        }
        service.post(r#"{"email":"CANARY@example.com","name":"Canary Bird"}"#).await;
        service.post(r#"{"email":"canary","name":"Canary\u0000"}"#).await;
        service.post(r#"{"email":"a@b","name":"A","canary":"Canary"}"#).await;
        service.post(r#"{"email":"a@b","name":{"canary":"Canary"}}"#).await;
        let Running { server, log, .. } = service;
        server.stop().await;
        let text = log.text();
        assert!(text.contains("Created new user") && text.contains("email_taken"), "{text}");
        assert!(!text.to_lowercase().contains("canary"), "{text}");
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            for field in ["timestamp", "level", "message", "service_name"] {
                assert!(line[field].is_string(), "{field}: {line}");
            }
            assert_eq!(line["service_name"], "user-service");
            if line["message"] == "request completed" {
                assert!(line["request_id"].is_string() && line["status"].is_number(), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn the_served_document_is_the_checked_in_one() {
    let service = start(&TestDatabase::new(service_testing::Kind::Sqlite).await).await;
    let served = reqwest::get(format!("{}/openapi.json", service.server.url())).await.unwrap();
    assert_eq!(served.headers()["content-type"], "application/json");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/user-service.json");
    assert_eq!(served.bytes().await.unwrap(), std::fs::read(path).unwrap());
}

#[tokio::test]
async fn the_docs_load_nothing_from_elsewhere_and_are_no_part_of_the_document() {
    let service = start(&TestDatabase::new(service_testing::Kind::Sqlite).await).await;
    let get = |path: &str| reqwest::Client::new().get(format!("{}{path}", service.server.url()));
    let page = get("/docs").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    for rule in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|part| part == rule), "{policy}");
    }
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert!(page.text().await.unwrap().contains("<title>User Service</title>"));

    let script = get("/docs/scalar.js").send().await.unwrap();
    assert_eq!(script.headers()["content-encoding"], "gzip");
    let etag = script.headers()["etag"].clone();
    let again = get("/docs/scalar.js").header("if-none-match", &etag).send().await.unwrap();
    assert_eq!((again.status(), again.headers()["etag"].clone()), (StatusCode::NOT_MODIFIED, etag));
    let changed = get("/docs/scalar.js").header("if-none-match", "\"another\"").send().await.unwrap();
    assert_eq!(changed.status(), StatusCode::OK);

    let slash = get("/docs/").send().await.unwrap();
    assert_eq!((slash.status(), slash.url().path()), (StatusCode::OK, "/docs"), "its links are relative");

    assert!(!DOCUMENT.contains("/docs"));
    let log = service.log.text();
    assert!(log.contains(r#""path":"/docs""#) && log.contains(r#""path":"/docs/scalar.js""#), "{log}");
}

#[tokio::test]
async fn the_page_token_of_the_document_is_one_of_this_list() {
    let database = TestDatabase::new(service_testing::Kind::Sqlite).await;
    let service = start(&database).await;
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let token = document["components"]["schemas"]["UserPage"]["properties"]["next_page"]["example"].as_str().unwrap();
    let (status, page) = service.get(&format!("/api/v1/users?page_token={token}")).await;
    assert_eq!(status, 200, "{page}");
}

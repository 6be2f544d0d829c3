//! Tests user-service over HTTP, with the generated client and raw requests, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use futures::TryStreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, config_of, on_both_databases};
use user_client::policy::Settings;
use user_client::{Client, Error, error_codes, types};
use user_service::SERVICE;

struct Running {
    client: Client,
    server: Server,
    log: CapturedLog,
}

async fn start(database: &TestDatabase) -> Running {
    let log = CapturedLog::default();
    let config = config_of(&SERVICE, &database.url, &[]);
    let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
    Running { client: Client::plain(&server.url()), server, log }
}

impl Running {
    async fn create(&self, email: &str) -> types::User {
        let body = |body: types::builder::UserCreate| body.email(email).name("John Doe");
        self.client.user_create().body_map(body).send().await.unwrap().into_inner()
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        let request = reqwest::Client::new().post(format!("{}/api/v1/users", self.server.url()));
        send(request.header("content-type", "application/json").body(body)).await
    }

    async fn get(&self, path_and_query: &str) -> (StatusCode, Value) {
        send(reqwest::Client::new().get(format!("{}{path_and_query}", self.server.url()))).await
    }
}

async fn send(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
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

fn status_and_code<T: std::fmt::Debug>(result: Result<T, Error<types::Error>>) -> (u16, String) {
    match result {
        Err(Error::ErrorResponse(error)) => (error.status().as_u16(), error.error_code.clone().unwrap_or_default()),
        other => panic!("not an error of the contract: {other:?}"),
    }
}

on_both_databases! {
    /// Scenario of the specification: create user.
    async fn creating_a_user_returns_it_and_stores_it(database: TestDatabase) {
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

    async fn an_email_address_in_another_case_is_taken(database: TestDatabase) {
        let service = start(&database).await;
        service.create("user@example.com").await;
        let again = service.client.user_create().body_map(|b| b.email("USER@Example.com").name("B")).send().await;
        assert_eq!(status_and_code(again), (409, error_codes::EMAIL_TAKEN.to_owned()));
    }

    async fn replacing_sets_every_field_and_keeps_addresses_unique(database: TestDatabase) {
        let service = start(&database).await;
        let john = service.create("john@example.com").await;
        service.create("jane@example.com").await;
        let replace = async |id: i64, email: &str| {
            service.client.user_replace().user_id(id).body_map(|b| b.email(email).name("J")).send().await
        };
        let replaced = replace(1, "John@example.com").await.unwrap().into_inner();
        assert_eq!((replaced.id, replaced.email.as_str(), replaced.name.as_str()), (john.id, "John@example.com", "J"));
        assert_eq!(replace(1, "John@example.com").await.unwrap().email.as_str(), "John@example.com");
        assert_eq!(status_and_code(replace(1, "JANE@example.com").await), (409, error_codes::EMAIL_TAKEN.to_owned()));
        assert_eq!(status_and_code(replace(3, "x@example.com").await), (404, error_codes::USER_NOT_FOUND.to_owned()));
    }

    async fn a_deleted_user_is_not_found(database: TestDatabase) {
        let service = start(&database).await;
        service.create("john@example.com").await;
        assert_eq!(service.client.user_delete().user_id(1).send().await.unwrap().status(), 204);
        let not_found = (404, error_codes::USER_NOT_FOUND.to_owned());
        assert_eq!(status_and_code(service.client.user_view().user_id(1).send().await), not_found);
        assert_eq!(status_and_code(service.client.user_delete().user_id(1).send().await), not_found);
    }

    async fn a_list_contains_every_user_once_for_any_page_size(database: TestDatabase) {
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

    async fn a_list_by_address_contains_only_that_user(database: TestDatabase) {
        let service = start(&database).await;
        service.create("john@example.com").await;
        let list = async |email: &str| service.client.user_list().email(email).send().await.unwrap().into_inner().items;
        assert_eq!(list("JOHN@example.com").await.len(), 1);
        assert_eq!(list("jane@example.com").await.len(), 0);
    }

    async fn a_list_by_ids_contains_each_user_once_for_any_page_size(database: TestDatabase) {
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
        // A user must match both filters.
        let both = async |ids: &str| service.client.user_list().ids(ids).email("U5@example.com").send().await.unwrap();
        assert_eq!(both("7,5").await.items.len(), 1);
        assert_eq!(both("7").await.items.len(), 0);
    }

    async fn a_list_by_ids_takes_1_to_100_valid_ids(database: TestDatabase) {
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

    async fn a_damaged_page_token_or_one_with_another_filter_is_refused(database: TestDatabase) {
        let service = start(&database).await;
        service.create("a@example.com").await;
        service.create("b@example.com").await;
        service.create("c@example.com").await;
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
        let (_, page) = service.get("/api/v1/users?limit=1&ids=1,2").await;
        let of_ids = page["next_page"].as_str().unwrap();
        for (ids, expected) in [("1,2", 200), ("1,3", 400)] {
            let (status, body) = service.get(&format!("/api/v1/users?ids={ids}&page_token={of_ids}")).await;
            assert_eq!(status, expected, "{ids}: {body}");
        }
        for (limit, expected) in [("", 1), ("limit=5&", 2)] {
            let (status, rest) = service.get(&format!("/api/v1/users?{limit}page_token={token}")).await;
            assert_eq!((status.as_u16(), rest["items"].as_array().unwrap().len()), (200, expected), "{limit}");
        }
    }

    async fn a_bad_user_is_refused_and_not_stored(database: TestDatabase) {
        let service = start(&database).await;
        let name_of = |length: usize| json!({"email": "a@b", "name": "n".repeat(length)}).to_string();
        let bad = [
            (r#"{"email": "a@b"}"#, "missing field `name`"),
            (r#"{"email": "a@b", "name": null}"#, "`name`"),
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
        ];
        for (body, expected) in bad {
            let (status, error) = service.post(body.to_owned()).await;
            assert_eq!((status.as_u16(), &error["error_code"]), (400, &json!("invalid_request")), "{body}: {error}");
            assert!(error["message"].as_str().unwrap().contains(expected), "{body}: {error}");
        }
        let (status, _) = service.post(vec![b'{', b'"', 0xff]).await;
        assert_eq!(status, 400);
        let (_, page) = service.get("/api/v1/users").await;
        assert_eq!(page, json!({"items": []}));
    }

    async fn a_name_of_255_characters_of_any_script_is_stored(database: TestDatabase) {
        let service = start(&database).await;
        let name = "名".repeat(255);
        let (status, user) = service.post(json!({"email": "a@b", "name": name}).to_string()).await;
        assert_eq!((status.as_u16(), &user["name"]), (201, &json!(name)));
    }

    async fn only_ids_up_to_the_maximum_are_looked_up(database: TestDatabase) {
        let service = start(&database).await;
        let (status, body) = service.get("/api/v1/users/9223372036854775808").await;
        assert_eq!((status.as_u16(), &body["error_code"]), (400, &json!("invalid_request")), "{body}");
        assert!(body["message"].as_str().unwrap().contains("`user_id`"), "{body}");
        let (status, _) = service.get("/api/v1/users/%ff").await;
        assert_eq!(status, 400, "a path that cannot be decoded");
        let (status, _) = service.get("/api/v1/users/9007199254740991").await;
        assert_eq!(status, 404);
    }

    async fn a_repeated_parameter_or_a_bad_address_is_refused(database: TestDatabase) {
        let service = start(&database).await;
        for query in ["limit=1&limit=2", "email=nobody"] {
            let (status, body) = service.get(&format!("/api/v1/users?{query}")).await;
            assert_eq!((status.as_u16(), &body["error_code"]), (400, &json!("invalid_request")), "{query}: {body}");
        }
    }

    async fn a_media_type_is_required_and_may_have_a_charset(database: TestDatabase) {
        let service = start(&database).await;
        let url = format!("{}/api/v1/users", service.server.url());
        let valid = r#"{"email": "a@b", "name": "A"}"#;
        let (status, _) = send(reqwest::Client::new().post(&url).body(valid)).await;
        assert_eq!(status, 415, "no content type");
        let charset = reqwest::Client::new().post(&url).header("content-type", "Application/JSON; charset=utf-8");
        let (status, _) = send(charset.body(valid)).await;
        assert_eq!(status, 201);
    }

    async fn names_and_email_addresses_are_not_logged(database: TestDatabase) {
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
        assert!(text.contains("user created") && text.contains("email_taken"), "{text}");
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
async fn the_page_token_in_the_document_is_valid() {
    let database = TestDatabase::new(service_testing::Kind::Sqlite).await;
    let service = start(&database).await;
    let document: Value = serde_json::from_str(SERVICE.document).unwrap();
    let token = document["components"]["schemas"]["UserPage"]["properties"]["next_page"]["example"].as_str().unwrap();
    let (status, page) = service.get(&format!("/api/v1/users?page_token={token}")).await;
    assert_eq!(status, 200, "{page}");
}

#[tokio::test]
async fn a_client_takes_a_base_url_with_a_slash_at_its_end() {
    let database = TestDatabase::new(service_testing::Kind::Sqlite).await;
    let service = start(&database).await;
    let url = format!("{}/", service.server.url());
    let clients = [Client::plain(&url), Client::connect(&url, Settings::default()).unwrap()];
    for client in clients {
        assert!(client.user_list().send().await.is_ok());
    }
}

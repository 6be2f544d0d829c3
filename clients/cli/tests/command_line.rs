//! The program `orders` against both real services, as a person or a script meets it.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of};

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Both services, each with a database of its own.
struct Platform {
    users: Server,
    orders: Server,
    _databases: [TestDatabase; 2],
}

impl Platform {
    async fn start() -> Self {
        let databases = [TestDatabase::new(Kind::Sqlite).await, TestDatabase::new(Kind::Sqlite).await];
        let log = CapturedLog::default().logger(&[]);
        let config = config_of(&user_service::SERVICE, &databases[0].url, &[]);
        let users = user_service::SERVICE.start(&config, &log).await.unwrap();
        let config = config_of(&order_service::SERVICE, &databases[1].url, &[("user-service", users.url())]);
        let orders = order_service::SERVICE.start(&config, &log).await.unwrap();
        Self { users, orders, _databases: databases }
    }

    fn program(&self, arguments: &str) -> Command {
        let mut program = program(arguments);
        program.env("USER_SERVICE_URL", self.users.url()).env("ORDER_SERVICE_URL", self.orders.url());
        program
    }

    async fn run(&self, arguments: &str) -> Ran {
        run(self.program(arguments)).await
    }

    /// A user and `count` orders of theirs.
    async fn place_orders(&self, email: &str, count: usize) {
        let user = self.run(&format!("user create --email {email} --name John")).await.json();
        let client = order_client::Client::plain(&self.orders.url());
        for _ in 0..count {
            let order = |body: order_client::types::builder::OrderCreate| {
                body.user_id(user["id"].as_u64().unwrap()).product_id(456).quantity(2)
            };
            client.order_create().body_map(order).send().await.unwrap();
        }
    }
}

/// The program with nothing of our environment that could configure it.
fn program(arguments: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_orders"));
    program.args(arguments.split(' ')).env_clear().stdin(Stdio::null());
    program
}

#[derive(Debug)]
struct Ran {
    exit_code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// What a command that succeeds prints: one line of JSON, and nothing on stderr.
    fn json(&self) -> Value {
        assert_eq!((self.exit_code, self.stderr.as_str(), self.stdout.lines().count()), (0, "", 1), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        assert_eq!((self.exit_code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a command that fails with `exit_code` prints: nothing, and one line of JSON on stderr.
    fn error(&self, exit_code: i32) -> Value {
        assert_eq!((self.exit_code, self.stdout.as_str(), self.stderr.lines().count()), (exit_code, "", 1), "{self:?}");
        serde_json::from_str(&self.stderr).unwrap()
    }
}

async fn run(mut program: Command) -> Ran {
    let output = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
    Ran {
        exit_code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn a_user_is_created_and_orders_and_changes_their_mind() {
    let platform = Platform::start().await;
    let john = json!({"id": 1, "email": "user@example.com", "name": "John"});
    assert_eq!(platform.run("user create --email user@example.com --name John").await.json(), john);
    assert_eq!(platform.run("user view --user-id 1").await.json(), john);

    let receipt = platform.run("order create --user-id 1 --product-id 456 --quantity 2").await.json();
    assert_eq!(receipt, json!({"order_id": 1, "status": "created"}));
    let confirmed = platform.run("order set-status --order-id 1 --status confirmed").await.json();
    assert_eq!((&confirmed["status"], &confirmed["quantity"]), (&json!("confirmed"), &json!(2)));
    assert_eq!(platform.run("order cancel --order-id 1").await.json()["status"], "cancelled");
    assert_eq!(platform.run("order view --order-id 1").await.json()["status"], "cancelled");

    let deleted = platform.run("user delete --user-id 1").await;
    assert_eq!((deleted.exit_code, deleted.stdout.as_str(), deleted.stderr.as_str()), (0, "", ""));
    assert_eq!(platform.run("user-service health").await.json(), json!({"status": "ok"}));
    assert_eq!(platform.run("order-service ready").await.json(), json!({"status": "ready"}));
}

#[tokio::test]
async fn a_list_turns_the_pages_and_prints_an_object_a_line() {
    let platform = Platform::start().await;
    platform.place_orders("one@example.com", 103).await;
    platform.place_orders("two@example.com", 2).await;

    // A page has 100 orders unless asked otherwise.
    let ids = |listed: Ran| listed.lines().iter().map(|order| order["id"].as_u64().unwrap()).collect::<Vec<u64>>();
    assert_eq!(ids(platform.run("order list").await), (1..=105).rev().collect::<Vec<u64>>());
    assert_eq!(ids(platform.run("order list --user-id 1").await), (1..=103).rev().collect::<Vec<u64>>());
    assert_eq!(ids(platform.run("order list --user-id 2 --status created").await), [105, 104]);
    assert_eq!(ids(platform.run("order list --limit 3").await), [105, 104, 103]);
    assert_eq!(ids(platform.run("order list --limit 101").await).len(), 101);
    assert_eq!(ids(platform.run("order list --limit 1001").await).len(), 105, "more than a page may hold");
    assert_eq!(ids(platform.run("order list --status cancelled").await), [0_u64; 0]);
    assert_eq!(platform.run("user list --email TWO@example.com").await.json()["id"], 2);
}

#[tokio::test]
async fn what_does_not_exist_ends_with_3() {
    let platform = Platform::start().await;
    assert_eq!(platform.run("user view --user-id 1").await.error(3)["error_code"], "user_not_found");
    assert_eq!(platform.run("order cancel --order-id 1").await.error(3)["error_code"], "order_not_found");
    let order = platform.run("order create --user-id 1 --product-id 1 --quantity 1").await;
    assert_eq!(order.error(3)["error_code"], "user_not_found");
}

#[tokio::test]
async fn what_is_refused_ends_with_4_and_the_services_error() {
    let platform = Platform::start().await;
    platform.place_orders("user@example.com", 1).await;
    let taken = platform.run("user create --email USER@example.com --name John").await.error(4);
    assert_eq!(taken["error_code"], "email_taken");
    assert!(taken["request_id"].is_string() && taken["message"].is_string(), "{taken}");
    let completed = platform.run("order set-status --order-id 1 --status completed").await;
    assert_eq!(completed.error(4)["error_code"], "invalid_transition");
    let invalid = platform.run("order create --user-id 1 --product-id 1 --quantity 1000001").await;
    assert_eq!(invalid.error(4)["error_code"], "invalid_request");
}

#[tokio::test]
async fn a_service_that_cannot_do_its_work_ends_with_5() {
    let platform = Platform::start().await;
    let Platform { users, orders, _databases } = platform;
    users.stop().await;
    let create = format!("order create --user-id 1 --product-id 1 --quantity 1 --order-service-url {}", orders.url());
    assert_eq!(run(program(&create)).await.error(5)["error_code"], "user_service_unavailable");
}

#[tokio::test]
async fn an_answer_that_is_not_the_services_ends_with_5() {
    let platform = Platform::start().await;
    // user-service knows no orders: its 404 must not pass for the word of order-service.
    let stranger = format!("order view --order-id 1 --order-service-url {}", platform.users.url());
    assert_eq!(platform.run(&stranger).await.error(5)["error_code"], Value::Null);

    for answer in
        ["200 OK\r\ncontent-length: 2\r\n\r\n{}", "302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"]
    {
        let url = answering(&format!("HTTP/1.1 {answer}"));
        let error = run(program(&format!("user view --user-id 1 --user-service-url {url}"))).await.error(5);
        assert!(error["message"].as_str().unwrap().contains(&url), "{error}");
    }
}

#[tokio::test]
async fn no_answer_ends_with_6() {
    let refused =
        run(program(&format!("user list --email user@example.com --user-service-url {NOWHERE}"))).await.error(6);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains(NOWHERE) && message.contains("user-service") && message.contains("refused"), "{message}");
    assert!(!message.contains("example.com"), "what was asked for is nobody else's business: {message}");

    // The system takes the connection, nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let late = run(program(&format!("user list --timeout-ms 100 --user-service-url {url}"))).await.error(6);
    assert!(late["message"].as_str().unwrap().contains("100 ms"), "{late}");
    assert!(started.elapsed() < Duration::from_secs(5), "that is the default");
}

#[tokio::test]
async fn a_wrong_command_ends_with_2_and_sends_nothing() {
    for wrong in [
        "",
        "user",
        "user burn",
        "user view",
        "user view --user-id 0",
        "user create --email no-address --name John",
        "user create --email user@example.com",
        "order list --limit 0",
        "order list --status lost",
        "order list --timeout-ms 0",
        "order list --order-service-url https://127.0.0.1",
        "order list --order-service-url http://user:password@127.0.0.1",
    ] {
        let ran = run(program(wrong)).await;
        assert_eq!((ran.exit_code, ran.stdout.as_str()), (2, ""), "{wrong}: {ran:?}");
        assert!(ran.stderr.contains("Usage:") || ran.stderr.contains("--help"), "{wrong}: {ran:?}");
    }
}

#[tokio::test]
async fn a_body_comes_from_a_file_or_from_options_but_not_from_both() {
    let platform = Platform::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    let create = format!("user create --json-body {path}");

    write!(file.as_file(), r#"{{"email": "user@example.com", "name": "John Doe"}}"#).unwrap();
    assert_eq!(platform.run(&create).await.json()["name"], "John Doe");
    assert_eq!(platform.run(&format!("{create} --name John")).await.exit_code, 2);

    write!(file.as_file(), "and more").unwrap();
    let message = platform.run(&create).await.error(2)["message"].to_string();
    assert!(message.contains("failed to parse"), "{message}");
    file.close().unwrap();
    let message = platform.run(&create).await.error(2)["message"].to_string();
    assert!(message.contains("failed to read"), "{message}");
}

#[tokio::test]
async fn whoever_stops_reading_ends_it_without_a_word() {
    let platform = Platform::start().await;
    platform.place_orders("user@example.com", 1).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut list = platform.program("order list");
    list.stdout(writer);
    let ran = run(list).await;
    assert_eq!((ran.exit_code, ran.stderr.as_str()), (0, ""));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_that_cannot_be_written_ends_with_1() {
    let platform = Platform::start().await;
    let mut health = platform.program("user-service health");
    health.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let error = run(health).await.error(1);
    assert!(error["message"].as_str().unwrap().contains("cannot be written"), "{error}");
}

#[tokio::test]
async fn help_says_what_the_document_says() {
    for service in ["user-service", "order-service"] {
        let path = format!("{}/../../openapi/{service}.json", env!("CARGO_MANIFEST_DIR"));
        let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let overview = |tag: &Value| tag["description"].as_str().unwrap().to_owned();
        let whole = words(&run(program("--help")).await.stdout);
        for tag in document["tags"].as_array().unwrap() {
            assert!(whole.contains(&overview(tag)), "{tag} is not in: {whole}");
        }
        for operation in
            document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
        {
            let id = operation["operationId"].as_str().unwrap();
            let (noun, verb) = id.split_once('_').unwrap_or((service, id));
            let noun_help = words(&run(program(&format!("{noun} --help"))).await.stdout);
            let help = words(&run(program(&format!("{noun} {} --help", verb.replace('_', "-")))).await.stdout);
            let text = |value: &Value| value.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(noun_help.contains(&text(&operation["summary"])), "{id}: {noun_help}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let body = operation.pointer("/requestBody/content/application~1json/schema/$ref").map(|reference| {
                document.pointer(reference.as_str().unwrap().trim_start_matches('#')).unwrap()["properties"]
                    .as_object()
                    .unwrap()
            });
            // The program turns the pages itself.
            let parameters = parameters.filter(|p| p["name"] != "limit" && p["name"] != "page_token");
            let described = parameters.chain(body.into_iter().flat_map(|properties| properties.values()));
            for description in
                [&operation["summary"]].into_iter().chain(described.chain([operation]).map(|d| &d["description"]))
            {
                assert!(help.contains(&text(description)), "{id}: {description} is not in: {help}");
            }
        }
    }
}

#[tokio::test]
async fn the_readme_lists_the_exit_codes_as_help_does() {
    let readme = include_str!("../README.md");
    let help = run(program("--help")).await.stdout;
    let (_, exit_codes) = help.split_once("Exit codes:\n").unwrap();
    assert_eq!(exit_codes.lines().count(), 7, "{help}");
    for line in exit_codes.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(readme.contains(&format!("| {code} | {meaning} |")), "{line} is not in the README");
    }
}

fn words(help: &str) -> String {
    help.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The URL of a server that gives one connection this answer, whatever it asks.
fn answering(answer: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = answer.to_owned();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let request = BufReader::new(&connection).lines().map(Result::unwrap);
        request.take_while(|line| !line.is_empty()).for_each(drop);
        connection.write_all(answer.as_bytes()).unwrap();
    });
    url
}

//! Tests the program `orders` against both real services.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service_testing::{Started, start_all};

/// An address at which nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Both services, each with its own database.
struct Platform {
    users: Started,
    orders: Started,
}

impl Platform {
    async fn start() -> Self {
        let [users, orders] = start_all([&user_service::SERVICE, &order_service::SERVICE], |_| ()).await;
        Self { users, orders }
    }

    fn program(&self, arguments: &str) -> Command {
        let mut program = program(arguments);
        program.env("USER_SERVICE_URL", self.users.server.url()).env("ORDER_SERVICE_URL", self.orders.server.url());
        program
    }

    async fn run(&self, arguments: &str) -> Ran {
        run(self.program(arguments)).await
    }

    /// Creates a user with `count` orders.
    async fn place_orders(&self, email: &str, count: usize) {
        let user = self.run(&format!("user create --email {email} --name John")).await.json();
        let client = order_client::Client::plain(&self.orders.server.url());
        for _ in 0..count {
            let order = json!({"user_id": user["id"], "product_id": 456, "quantity": 2});
            let order: order_client::types::OrderCreate = serde_json::from_value(order).unwrap();
            client.order_create().body(order).send().await.unwrap();
        }
    }
}

/// The program with an empty environment, so that only the test configures it.
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
    /// The output of a command that succeeded: one line of JSON, and nothing on stderr.
    fn json(&self) -> Value {
        assert_eq!((self.exit_code, self.stderr.as_str(), self.stdout.lines().count()), (0, "", 1), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The output of a list command that succeeded: JSON objects, one per line.
    fn lines(&self) -> Vec<Value> {
        assert_eq!((self.exit_code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The error of a command that failed with `exit_code`: one line of JSON on stderr, and nothing on stdout.
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
async fn users_and_orders_can_be_created_changed_and_viewed() {
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
async fn a_list_fetches_all_pages_and_prints_one_object_per_line() {
    let platform = Platform::start().await;
    platform.place_orders("one@example.com", 103).await;
    platform.place_orders("two@example.com", 2).await;

    // The default page length is 100.
    let ids = |listed: Ran| listed.lines().iter().map(|order| order["id"].as_u64().unwrap()).collect::<Vec<u64>>();
    assert_eq!(ids(platform.run("order list").await), (1..=105).rev().collect::<Vec<u64>>());
    assert_eq!(ids(platform.run("order list --user-id 1").await), (1..=103).rev().collect::<Vec<u64>>());
    assert_eq!(ids(platform.run("order list --user-id 2 --status created").await), [105, 104]);
    assert_eq!(ids(platform.run("order list --limit 3").await), [105, 104, 103]);
    assert_eq!(ids(platform.run("order list --limit 101").await).len(), 101);
    assert_eq!(ids(platform.run("order list --limit 1001").await).len(), 105, "1001 exceeds the maximum page length");
    assert_eq!(ids(platform.run("order list --status cancelled").await), [0_u64; 0]);
    assert_eq!(platform.run("user list --email TWO@example.com").await.json()["id"], 2);
}

#[tokio::test]
async fn a_missing_resource_exits_with_3() {
    let platform = Platform::start().await;
    assert_eq!(platform.run("user view --user-id 1").await.error(3)["error_code"], "user_not_found");
    assert_eq!(platform.run("order cancel --order-id 1").await.error(3)["error_code"], "order_not_found");
    let order = platform.run("order create --user-id 1 --product-id 1 --quantity 1").await;
    assert_eq!(order.error(3)["error_code"], "user_not_found");
}

#[tokio::test]
async fn a_refused_request_exits_with_4_and_the_services_error() {
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
async fn a_failure_of_the_service_exits_with_5() {
    let Platform { users, orders } = Platform::start().await;
    users.server.stop().await;
    let url = orders.server.url();
    let create = format!("order create --user-id 1 --product-id 1 --quantity 1 --order-service-url {url}");
    assert_eq!(run(program(&create)).await.error(5)["error_code"], "user_service_unavailable");
}

#[tokio::test]
async fn an_answer_from_another_program_exits_with_5() {
    let platform = Platform::start().await;
    // user-service has no orders: its 404 must not be taken for an answer of order-service.
    let other_service = format!("order view --order-id 1 --order-service-url {}", platform.users.server.url());
    assert_eq!(platform.run(&other_service).await.error(5)["error_code"], "not_found");

    for answer in
        ["200 OK\r\ncontent-length: 2\r\n\r\n{}", "302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"]
    {
        let url = serve_once(&format!("HTTP/1.1 {answer}"));
        let error = run(program(&format!("user view --user-id 1 --user-service-url {url}"))).await.error(5);
        assert!(error["message"].as_str().unwrap().contains(&url), "{error}");
    }
}

#[tokio::test]
async fn no_answer_exits_with_6() {
    let refused =
        run(program(&format!("user list --email user@example.com --user-service-url {NOWHERE}"))).await.error(6);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains(NOWHERE) && message.contains("user-service") && message.contains("refused"), "{message}");
    assert!(!message.contains("example.com"), "the message contains personal data: {message}");

    // The kernel accepts the connection, but no program answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let late = run(program(&format!("user list --timeout-ms 100 --user-service-url {url}"))).await.error(6);
    assert!(late["message"].as_str().unwrap().contains("100 ms"), "{late}");
    assert!(started.elapsed() < Duration::from_secs(5), "the default timeout applied");
}

#[tokio::test]
async fn a_wrong_command_exits_with_2_and_sends_nothing() {
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
        "order list --order-service-url http://127.0.0.1:0",
    ] {
        let ran = run(program(wrong)).await;
        assert_eq!((ran.exit_code, ran.stdout.as_str()), (2, ""), "{wrong}: {ran:?}");
        assert!(ran.stderr.contains("Usage:") || ran.stderr.contains("--help"), "{wrong}: {ran:?}");
    }
}

#[tokio::test]
async fn a_body_comes_from_either_a_file_or_options() {
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
async fn a_dash_reads_the_body_from_stdin() {
    let platform = Platform::start().await;
    let mut file = tempfile::tempfile().unwrap();
    write!(file, r#"{{"email": "user@example.com", "name": "John Doe"}}"#).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut create = platform.program("user create --json-body -");
    create.stdin(file);
    assert_eq!(run(create).await.json()["name"], "John Doe");
}

#[tokio::test]
async fn a_value_that_looks_like_an_option_gets_a_hint() {
    let platform = Platform::start().await;
    let refused = platform.run("user create --email user@example.com --name -Ada").await;
    assert_eq!(refused.exit_code, 2, "{refused:?}");
    assert!(refused.stderr.contains("--name=-Ada"), "{refused:?}");
    assert_eq!(platform.run("user create --email user@example.com --name=-Ada").await.json()["name"], "-Ada");
}

#[tokio::test]
async fn a_proxy_is_named_and_not_used_for_this_machine() {
    let platform = Platform::start().await;
    let mut local = platform.program("user-service health");
    local.env("HTTP_PROXY", NOWHERE);
    assert_eq!(run(local).await.json(), json!({"status": "ok"}));

    let mut remote = program("user list --user-service-url http://user-service.invalid:8001");
    remote.env("HTTP_PROXY", NOWHERE);
    let error = run(remote).await.error(6)["message"].to_string();
    assert!(error.contains("refused") && error.contains("the proxy of HTTP_PROXY"), "{error}");
}

#[tokio::test]
async fn an_empty_variable_counts_as_unset() {
    let platform = Platform::start().await;
    let mut health = platform.program("user-service health");
    health.env("ORDER_SERVICE_URL", "");
    assert_eq!(run(health).await.json(), json!({"status": "ok"}));
}

#[tokio::test]
async fn a_closed_pipe_ends_a_list_without_an_error() {
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
async fn an_answer_that_cannot_be_written_exits_with_1() {
    let platform = Platform::start().await;
    let mut health = platform.program("user-service health");
    health.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let error = run(health).await.error(1);
    assert!(error["message"].as_str().unwrap().contains("cannot be written"), "{error}");
}

#[tokio::test]
async fn help_contains_the_texts_of_the_documents() {
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
            for field in ["summary", "description"] {
                assert!(help.contains(&text(&operation[field])), "{id}: its {field} is not in: {help}");
            }
        }
    }
}

#[tokio::test]
async fn the_readme_and_help_list_the_same_exit_codes() {
    let readme = include_str!("../README.md");
    let help = run(program("--help")).await.stdout;
    let (_, exit_codes) = help.split_once("Exit codes:\n").unwrap();
    assert_eq!(exit_codes.lines().count(), 8, "{help}");
    for line in exit_codes.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(readme.contains(&format!("| {code} | {meaning} |")), "{line} is not in the README");
    }
}

/// Joins wrapped lines, so that texts can be found in the help.
fn words(help: &str) -> String {
    help.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Starts a server that gives this answer to its first request, whatever the request is; returns its URL.
fn serve_once(answer: &str) -> String {
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

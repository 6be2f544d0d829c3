//! What only the embedded carrier can: to be opened again after its process was killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use service_runtime::events::{Embedded, MAX_DELIVERIES, Transport};
use slog::{Discard, Logger, o};

use crate::events::{assert_nothing, envelopes, event, events, next, publish, receive, shared, subscribe, text};

/// The variable that makes this program the process to kill, with the file of events.
const VICTIM: &str = "TEST_EVENTS_OF_VICTIM";
const QUEUE: &str = "stock.events";

async fn open(path: &Path) -> Transport {
    Transport::Embedded(Embedded::open(path, &Logger::root(Discard, o!())).await.unwrap())
}

/// Runs the test `test` in another process on the file `path`, and kills it as soon as it says that it is ready.
fn run_and_kill(test: &str, path: &Path) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(VICTIM, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = BufReader::new(victim.stdout.take().unwrap()).lines().any(|line| line.unwrap().contains("READY"));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(ready, "{test} ended");
}

/// Says that it is ready, and waits for its end.
#[allow(clippy::print_stdout, reason = "the test that kills this process waits for the line")]
async fn wait_to_be_killed() {
    println!("READY");
    std::future::pending().await
}

fn file_of_victim() -> PathBuf {
    std::env::var_os(VICTIM).unwrap().into()
}

#[tokio::test]
#[ignore = "killed by a_killed_process_loses_nothing"]
async fn holds_some_events() {
    let transport = open(&file_of_victim()).await;
    let mut stock = subscribe(&transport, shared(QUEUE, &["order.created"])).await;
    publish(&transport, events("order.created", 100)).await;
    let _held = [next(&mut stock).await, next(&mut stock).await];
    wait_to_be_killed().await;
}

#[tokio::test]
async fn a_killed_process_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.sqlite");
    run_and_kill("embedded::holds_some_events", &path);
    let transport = open(&path).await;
    let mut stock = transport.subscribe(shared(QUEUE, &[]));
    for expected in envelopes(&events("order.created", 64)) {
        let delivery = next(&mut stock).await;
        assert_eq!(text(&delivery), expected);
        assert!(delivery.redelivered);
        delivery.ack();
    }
    assert_eq!(receive(&mut stock, 36).await, envelopes(&events("order.created", 100))[64..]);
    assert_nothing(&mut stock).await;
    // The binding is still there, too.
    publish(&transport, vec![event("order.created", 100)]).await;
    next(&mut stock).await.ack();
    transport.close().await;
}

#[tokio::test]
#[ignore = "killed by an_event_that_kills_the_process_becomes_a_dead_letter"]
async fn dies_of_an_event() {
    let transport = open(&file_of_victim()).await;
    let mut stock = transport.subscribe(shared(QUEUE, &[]));
    let _poison = next(&mut stock).await;
    wait_to_be_killed().await;
}

#[tokio::test]
async fn an_event_that_kills_the_process_becomes_a_dead_letter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.sqlite");
    let transport = open(&path).await;
    let stock = subscribe(&transport, shared(QUEUE, &["order.created"])).await;
    drop(stock);
    publish(&transport, vec![event("order.created", 1)]).await;
    transport.close().await;
    for _ in 0..MAX_DELIVERIES {
        run_and_kill("embedded::dies_of_an_event", &path);
    }
    let transport = open(&path).await;
    let mut stock = transport.subscribe(shared(QUEUE, &[]));
    assert_nothing(&mut stock).await;
    assert_eq!(transport.dead_letters(QUEUE, 10).await.unwrap().len(), 1);
    transport.close().await;
}

#[tokio::test]
async fn a_file_is_used_by_one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.sqlite");
    let transport = open(&path).await;
    let error = Embedded::open(&path, &Logger::root(Discard, o!())).await.unwrap_err();
    assert!(format!("{error:#}").contains("another process carries events in this file"), "{error:#}");
    transport.close().await;
    open(&path).await.close().await;
}

//! What only RabbitMQ can do: fail.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use service_runtime::events::{EventsUrl, RabbitMq, Transport};
use service_testing::{Broker, CapturedLog, MANAGEMENT_VARIABLE, TestCarrier};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::events::{
    PATIENCE, assert_nothing, envelopes, event, events, next, publish, receive, shared, subscribe, text,
};

const QUEUE: &str = "stock.events";
/// The longest that a publication may take: a connection, its declarations, and a batch, each with a timeout of 2 s.
const BOUND: Duration = Duration::from_secs(10);

fn connect(url: &EventsUrl) -> Transport {
    Transport::RabbitMq(RabbitMq::new(url.clone(), "test", &CapturedLog::default().logger(&[])))
}

/// Asks the management plugin of the shared broker.
async fn manage(method: Method, path: &str, body: serde_json::Value) {
    let url = format!("{}/api/{path}", std::env::var(MANAGEMENT_VARIABLE).unwrap());
    let request = reqwest::Client::new().request(method, url).basic_auth("guest", Some("guest")).json(&body);
    request.send().await.unwrap().error_for_status().unwrap();
}

/// The broker of a test that breaks it, after `act` on it.
async fn on_broker(mut broker: Broker, act: impl FnOnce(&mut Broker) -> anyhow::Result<()> + Send + 'static) -> Broker {
    let acted = spawn_blocking(move || act(&mut broker).map(|()| broker));
    acted.await.unwrap().unwrap()
}

async fn start() -> Broker {
    spawn_blocking(Broker::start).await.unwrap().unwrap()
}

async fn settle(broker: Broker) -> Broker {
    on_broker(broker, |broker| {
        broker.settle();
        Ok(())
    })
    .await
}

/// Publishes 3,000 events and receives them, while `fault` happens to the broker after some have been received.
async fn lose_nothing(fault: impl FnOnce(&mut Broker) -> anyhow::Result<()> + Send + 'static) {
    let broker = start().await;
    let url = broker.create_vhost().await.unwrap();
    let transport = connect(&url);
    let mut stock = subscribe(&transport, shared(QUEUE, &["order.created"])).await;
    let broker = settle(broker).await;
    let sent = events("order.created", 3000);
    let batches = sent.chunks(50).map(<[_]>::to_vec).collect::<Vec<_>>();
    let publisher = tokio::spawn({
        let transport = transport.clone();
        async move {
            for batch in batches {
                publish(&transport, batch).await;
            }
        }
    });
    let mut missing: BTreeSet<String> = envelopes(&sent).into_iter().collect();
    let mut fault = Some(fault);
    let mut broken = tokio::spawn(std::future::pending());
    let mut whole = Some(broker);
    while !missing.is_empty() {
        let delivery = next(&mut stock).await;
        missing.remove(&text(&delivery));
        delivery.ack();
        if missing.len() < 2500
            && let Some((fault, broker)) = fault.take().zip(whole.take())
        {
            broken = tokio::spawn(async move { on_broker(broker, fault).await });
        }
    }
    publisher.await.unwrap();
    let _broker = broken.await.unwrap();
    transport.close().await;
}

#[tokio::test]
async fn a_broker_that_is_killed_loses_nothing() {
    lose_nothing(|broker| {
        broker.kill()?;
        broker.restart()
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_freezes_for_a_while_loses_nothing() {
    lose_nothing(|broker| {
        broker.freeze()?;
        std::thread::sleep(Duration::from_secs(4));
        broker.thaw()
    })
    .await;
}

#[tokio::test]
async fn events_survive_the_broker() {
    let broker = start().await;
    let transport = connect(&broker.create_vhost().await.unwrap());
    drop(subscribe(&transport, shared(QUEUE, &["order.created"])).await);
    let sent = events("order.created", 100);
    publish(&transport, sent.clone()).await;
    let broker = settle(broker).await;
    let _broker = on_broker(broker, |broker| {
        broker.kill()?;
        broker.restart()
    })
    .await;
    let mut received = receive(&mut transport.subscribe(shared(QUEUE, &[])), 100).await;
    received.sort();
    assert_eq!(received, envelopes(&sent));
    transport.close().await;
}

#[tokio::test]
async fn a_broker_without_space_refuses_events_and_still_delivers() {
    let broker = start().await;
    let transport = connect(&broker.create_vhost().await.unwrap());
    let mut stock = subscribe(&transport, shared(QUEUE, &["order.created"])).await;
    publish(&transport, vec![event("order.created", 1), event("order.created", 2)]).await;
    let held = next(&mut stock).await;
    let broker = on_broker(broker, |broker| broker.control(&["set_disk_free_limit", "1000000GB"])).await;
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        let began = Instant::now();
        match transport.publish(vec![event("order.created", 3)]).await {
            // The broker checks its disk from time to time only.
            Ok(_) => assert!(Instant::now() < deadline, "the broker has space"),
            Err(error) => break (error.to_string(), began.elapsed()),
        }
    };
    assert!(refused.1 < BOUND, "{refused:?}");
    let (again, began) = (transport.publish(vec![event("order.created", 3)]).await.unwrap_err(), Instant::now());
    assert_eq!(again.to_string(), "the broker takes no messages: it is low on memory or disk");
    assert!(began.elapsed() < Duration::from_millis(100));
    // Acknowledgements arrive: nothing is delivered again.
    held.ack();
    next(&mut stock).await.ack();
    let _broker = on_broker(broker, |broker| broker.control(&["set_disk_free_limit", "1MB"])).await;
    publish(&transport, vec![event("order.created", 4)]).await;
    while text(&next(&mut stock).await) != event("order.created", 4).envelope {}
    transport.close().await;
}

#[tokio::test]
async fn a_broker_that_refuses_is_waited_for_and_reported_once() {
    let TestCarrier::RabbitMq(url) = TestCarrier::rabbitmq().await else { unreachable!() };
    let name = format!("late-{}", std::process::id());
    let url = url.to_string().replace("guest@", &format!("{name}:pass-word@"));
    let (base, _) = url.rsplit_once('/').unwrap();
    let url = format!("{base}/{name}").parse().unwrap();
    let log = CapturedLog::default();
    let transport = Transport::RabbitMq(RabbitMq::new(url, "test", &log.logger(&[])));
    let mut stock = transport.subscribe(shared(QUEUE, &["order.created"]));
    let refused = |error: String, expected: &str| assert!(error.contains(expected), "{error}");
    refused(transport.publish(vec![event("order.created", 1)]).await.unwrap_err().to_string(), "ACCESS_REFUSED");
    manage(Method::PUT, &format!("users/{name}"), json!({"password": "pass-word", "tags": ""})).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = transport.publish(vec![event("order.created", 1)]).await.unwrap_err().to_string();
        if error.contains("NOT_ALLOWED") {
            break;
        }
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    manage(Method::PUT, &format!("vhosts/{name}"), json!({})).await;
    let rights = json!({"configure": ".*", "write": ".*", "read": ".*"});
    manage(Method::PUT, &format!("permissions/{name}/{name}"), rights).await;
    publish(&transport, vec![event("order.created", 2)]).await;
    next(&mut stock).await.ack();
    transport.close().await;
    let log = log.text();
    for (line, connection) in [("no connection", "publisher"), ("no connection", QUEUE), ("connected", QUEUE)] {
        let is_that = |text: &&str| text.contains(line) && text.contains(&format!("\"{connection}\""));
        assert_eq!(log.lines().filter(is_that).count(), 1, "{line} {connection}: {log}");
    }
    assert!(!log.contains("pass-word") && !log.contains(&event("order.created", 2).envelope), "{log}");
}

#[tokio::test]
async fn a_queue_that_is_deleted_comes_back() {
    let carrier = TestCarrier::rabbitmq().await;
    let transport = carrier.open().await;
    let TestCarrier::RabbitMq(url) = carrier else { unreachable!() };
    let mut stock = subscribe(&transport, shared(QUEUE, &["order.created"])).await;
    let (_, vhost) = url.to_string().rsplit_once('/').map(|(base, vhost)| (base.to_owned(), vhost.to_owned())).unwrap();
    manage(Method::DELETE, &format!("queues/{vhost}/{QUEUE}"), json!({})).await;
    publish(&transport, vec![event("order.created", 1)]).await;
    assert_eq!(receive(&mut stock, 1).await, [event("order.created", 1).envelope]);
    assert_nothing(&mut stock).await;
    transport.close().await;
}

/// Whoever answers nothing, such as a frozen broker, is given up, and the connection is closed.
#[tokio::test]
async fn a_broker_that_never_answers_leaves_no_connection_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = connect(&format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    let publishing = tokio::spawn({
        let transport = transport.clone();
        async move { timeout(BOUND, transport.publish(vec![event("order.created", 1)])).await }
    });
    let (mut connection, _) = listener.accept().await.unwrap();
    let error = publishing.await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no answer within 2000 ms");
    let mut greeting = Vec::new();
    let read = timeout(BOUND, connection.read_to_end(&mut greeting)).await.expect("the connection ends");
    assert!(read.is_err() || greeting.starts_with(b"AMQP"));
    transport.close().await;
}

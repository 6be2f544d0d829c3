//! Outbox, relay, inbox and consumer of a service, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chrono::Utc;
use dropshot::ApiDescription;
use serde_json::{Value, json};
use service_runtime::database::{Database, DatabaseError};
use service_runtime::events::{Inbox, Outbox, Queue, Subscription, Transport};
use service_runtime::guard::Guard;
use service_runtime::server::Server;
use service_runtime::{Service, with_pool};
use service_testing::{CapturedLog, TestCarrier, TestDatabase, config_of, on_both_databases, outbox, publish};

contract::integer_type! {
    /// An order's id.
    pub struct OrderId in 1..=1_000_000, example 1;
}

contract::event! {
    /// An order was placed
    ///
    /// It is stored.
    pub struct OrderCreated as "order.created" about order_id {
        /// The order.
        pub order_id: OrderId,
    }
}

type Attempt = Result<Result<(), DatabaseError>, String>;
type Handle = Arc<dyn Fn(Value) -> Attempt + Send + Sync>;

thread_local! {
    static HANDLE: RefCell<Handle> = RefCell::new(Arc::new(|_| Ok(Ok(()))));
}

/// It has the name of a service that publishes `order.created` and consumes `stock.rejected`.
const SERVICE: Service = Service {
    name: "order-service",
    about: "A service for these tests.",
    document: r#"{"info": {"title": "Some Service"}, "paths": {}}"#,
    events: Some(r#"{"info": {"title": "Some Events", "version": "1.2.3"}}"#),
    settings: None,
    migrations: &[],
    serve: |mut parts| {
        let handle = HANDLE.with_borrow(Arc::clone);
        parts.handle_events(&["stock.rejected", "stock.unknown"], move |message| {
            let attempt = handle(serde_json::from_slice(&message).unwrap_or_default());
            async move { attempt }
        });
        // What the list says that it consumes besides.
        let others = &["payment.completed", "payment.failed", "payment.refunded"];
        parts.handle_events(others, |_| async { Ok::<_, Infallible>(Ok(())) });
        parts.serve(Ok(ApiDescription::<Guard<()>>::new()), ())
    },
};

async fn start(database: &TestDatabase, transport: &Transport, handle: Handle) -> (Server, CapturedLog) {
    HANDLE.with_borrow_mut(|current| *current = handle);
    let urls = [("user-service", "http://127.0.0.1:1".to_owned())];
    let mut config = config_of(&SERVICE, &database.url, &urls);
    config.transport = Some(transport.clone());
    let log = CapturedLog::default();
    (SERVICE.start(&config, &log.logger(&[])).await.unwrap(), log)
}

/// Writes the events of `orders` into the outbox, in one transaction.
async fn write(database: &Database, outbox: &Outbox, orders: std::ops::Range<i64>) {
    let event = |order_id: i64| OrderCreated { order_id: order_id.try_into().unwrap() };
    let events: Vec<_> = orders.map(|order_id| outbox.event(&event(order_id), Utc::now(), None).unwrap()).collect();
    with_pool!(database.writer(), |pool| async {
        let mut transaction = pool.begin().await?;
        let _wake = outbox.write(&mut transaction, &events).await?;
        transaction.commit().await
    })
    .unwrap();
}

fn orders(transport: &Transport) -> service_runtime::events::Deliveries {
    let queue = Queue::Shared("product-service.events".to_owned());
    transport.subscribe(Subscription { queue, types: vec!["order.created".to_owned()] })
}

/// An event of product-service.
fn rejected(id: &str) -> Value {
    json!({ "id": id, "type": "stock.rejected", "data": {} })
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

on_both_databases! {
    async fn what_a_killed_process_has_written_is_published_by_the_next(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let mut deliveries = orders(&transport);
        let opened = SERVICE.open(&database.url, 4).await.unwrap();
        // More than are taken over at a time, by two processes that are gone.
        write(&opened, &SERVICE.outbox().unwrap(), 1..1501).await;
        write(&opened, &SERVICE.outbox().unwrap(), 1501..2501).await;
        let (server, _log) = start(&database, &transport, Arc::new(|_| Ok(Ok(())))).await;
        let mut seen = BTreeSet::new();
        while seen.len() < 2500 {
            let delivery = deliveries.next().await.unwrap();
            let event: Value = serde_json::from_slice(&delivery.envelope).unwrap();
            assert!(seen.insert(event["data"]["order_id"].as_i64().unwrap()), "{event} came twice");
            assert_eq!(event["dataschema"], "urn:orders-platform:events:order-service:1.2.3");
            delivery.ack();
        }
        while !outbox(&opened).await.is_empty() {
            tokio::task::yield_now().await;
        }
        server.stop().await;
    }

    async fn an_event_that_no_queue_receives_waits_and_holds_up_no_other(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let opened = SERVICE.open(&database.url, 4).await.unwrap();
        write(&opened, &SERVICE.outbox().unwrap(), 1..3).await;
        let (server, log) = start(&database, &transport, Arc::new(|_| Ok(Ok(())))).await;
        until(|| log.text().contains("no queue receives them")).await;
        assert_eq!(outbox(&opened).await.len(), 2);
        let mut deliveries = orders(&transport);
        for _ in 0..2 {
            deliveries.next().await.unwrap().ack();
        }
        server.stop().await;
    }

    async fn a_rolled_back_transaction_publishes_nothing(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 4).await.unwrap();
        let own = SERVICE.outbox().unwrap();
        let event = own.event(&OrderCreated { order_id: 1.try_into().unwrap() }, Utc::now(), None).unwrap();
        with_pool!(opened.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            let _wake = own.write(&mut transaction, std::slice::from_ref(&event)).await?;
            transaction.rollback().await
        })
        .unwrap();
        assert_eq!(outbox(&opened).await, Vec::<Value>::new());
    }

    async fn an_id_is_recorded_once(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 4).await.unwrap();
        let inbox = Inbox::default();
        let record = async |ids: &[&str]| {
            with_pool!(opened.writer(), |pool| async {
                let mut transaction = pool.begin().await?;
                let new = inbox.record(&mut transaction, ids.iter().copied(), Utc::now()).await?;
                transaction.commit().await?;
                Ok(new.into_iter().collect::<BTreeSet<_>>())
            })
            .unwrap()
        };
        assert_eq!(record(&["b", "a", "b"]).await, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert_eq!(record(&["a", "c"]).await, BTreeSet::from(["c".to_owned()]));
        assert_eq!(record(&[]).await, BTreeSet::new());
    }
}

#[tokio::test]
async fn a_failure_that_may_pass_is_waited_out_and_delays_no_other() {
    let (database, carrier) = (TestDatabase::new(service_testing::Kind::Sqlite).await, TestCarrier::embedded());
    let transport = carrier.open().await;
    let (attempts, handled) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let handle: Handle = Arc::new({
        let (attempts, handled) = (attempts.clone(), handled.clone());
        move |event| {
            if event["id"] == "slow" && attempts.fetch_add(1, Ordering::Relaxed) < 6 {
                return Ok(Err(DatabaseError::Unavailable("it is away".to_owned())));
            }
            handled.lock().unwrap().push(event["id"].clone());
            Ok(Ok(()))
        }
    });
    let (server, log) = start(&database, &transport, handle).await;
    publish(&transport, &rejected("slow")).await;
    publish(&transport, &rejected("quick")).await;
    until(|| handled.lock().unwrap().len() == 2).await;
    // More often than another failure is attempted.
    assert_eq!(*handled.lock().unwrap(), ["quick", "slow"]);
    assert!(log.text().contains("event not handled yet"), "{}", log.text());
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_handled_goes_to_the_dead_letters_and_can_be_handled_again() {
    let (database, carrier) = (TestDatabase::new(service_testing::Kind::Sqlite).await, TestCarrier::embedded());
    let transport = carrier.open().await;
    let is_mended = Arc::new(AtomicUsize::new(0));
    let handle: Handle = Arc::new({
        let is_mended = is_mended.clone();
        move |event| match event["id"].as_str().unwrap() {
            _ if is_mended.load(Ordering::Relaxed) > 0 => Ok(Ok(())),
            "invalid" => Err("it breaks the contract".to_owned()),
            _ => Ok(Err(DatabaseError::UniqueViolation)),
        }
    });
    let (server, log) = start(&database, &transport, handle).await;
    let queue = "order-service.events";
    publish(&transport, &rejected("faulty")).await;
    publish(&transport, &rejected("invalid")).await;
    publish(&transport, &json!({ "type": "stock.rejected" })).await;
    let dead = async || transport.dead_letters(queue, 10).await.unwrap();
    while dead().await.len() < 3 {
        tokio::task::yield_now().await;
    }
    let reason_of = async |id: &str| {
        let letters = dead().await;
        letters.into_iter().find(|letter| letter.event_id == id).map(|letter| letter.reason)
    };
    assert_eq!(reason_of("invalid").await.unwrap(), "it breaks the contract");
    assert_eq!(reason_of("").await.unwrap(), "it is no CloudEvent in JSON");
    assert!(reason_of("faulty").await.unwrap().contains("unique"), "five attempts");
    is_mended.store(1, Ordering::Relaxed);
    assert_eq!(transport.replay(queue, Some("faulty")).await.unwrap(), ["faulty"]);
    until(|| log.text().contains("event handled")).await;
    assert_eq!(transport.drop_dead_letters(queue, Some("invalid")).await.unwrap(), ["invalid"]);
    assert_eq!(dead().await.len(), 1);
    server.stop().await;
}

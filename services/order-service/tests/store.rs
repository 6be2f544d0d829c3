//! Tests every method of the store, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use contract::money::Money;
use futures::future::join_all;
use order_service::SERVICE;
use order_service::status::Step;
use order_service::store::{Filter, NewOrder, OrderStore, StatusChange};
use order_service_api::{CancellationReason, Order, OrderId, OrderItem, OrderReceipt, OrderStatus, UserId};
use serde_json::json;
use service_runtime::database::{Connections, Database, DatabaseError};
use service_runtime::events::Inbox;
use service_runtime::idempotency::{Claim, KeyError, Keys};
use service_runtime::with_pool;
use service_testing::{Kind, TestDatabase, on_both_databases, outbox, types_and_data};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use OrderStatus::{Cancelled, Completed, Confirmed};

async fn store(database: &TestDatabase) -> OrderStore {
    store_in(SERVICE.open(&database.url, 10).await.unwrap())
}

fn store_in(database: Database) -> OrderStore {
    OrderStore::new(database, SERVICE.outbox().unwrap(), Inbox::default())
}

fn user(id: i64) -> UserId {
    id.try_into().unwrap()
}

async fn insert(store: &OrderStore, user_id: i64) -> Order {
    store.insert(order(user_id, 2), Utc::now(), None).await.unwrap().0
}

/// An order of one item without a price.
fn order(user_id: i64, quantity: i64) -> NewOrder {
    NewOrder {
        user_id: user(user_id),
        items: vec![item(456, quantity)],
        total: None,
        reservation_id: None,
        payment_method: None,
        payment_due_at: None,
        traceparent: None,
    }
}

fn item(product_id: i64, quantity: i64) -> OrderItem {
    let (product_id, quantity) = (product_id.try_into().unwrap(), quantity.try_into().unwrap());
    OrderItem { product_id, name: None, quantity, unit_price: None, subtotal: None }
}

/// An order of two items with prices, reserved.
fn reserved(user_id: i64) -> NewOrder {
    let priced = |product_id: i64, name: &str, quantity: i64, amount: i64| OrderItem {
        name: Some(name.parse().unwrap()),
        unit_price: Some(eur(amount)),
        subtotal: Some(eur(quantity * amount)),
        ..item(product_id, quantity)
    };
    NewOrder {
        items: vec![priced(9, "Tasse \"blau\" 名", 2, 1998), priced(7, "Bowl", 1, 0)],
        total: Some(eur(3996)),
        reservation_id: Some(Uuid::new_v4()),
        payment_method: Some("tok_ok".parse().unwrap()),
        payment_due_at: Some(Utc::now() + TimeDelta::minutes(15)),
        ..order(user_id, 2)
    }
}

fn quantity(order: &NewOrder) -> i64 {
    order.items[0].quantity.get()
}

fn claim(keys: &Keys, key: &str, order: &NewOrder) -> Claim {
    let request = (order.user_id, quantity(order));
    keys.claim("order_create", Some(key.parse().unwrap()), &request).unwrap().unwrap()
}

/// Makes `database` refuse orders with a quantity of 13.
async fn refuse_quantity_13(database: &Database) {
    match &database.writer().connections {
        Connections::Postgres(pool) => {
            sqlx::query("ALTER TABLE orders ADD CHECK (quantity <> 13)").execute(pool).await.unwrap();
        }
        Connections::Sqlite(pool) => {
            let trigger = "CREATE TRIGGER thirteen BEFORE INSERT ON orders WHEN NEW.quantity = 13
                           BEGIN SELECT RAISE(ABORT, 'thirteen'); END";
            sqlx::query(trigger).execute(pool).await.unwrap();
        }
    }
}

/// The move of an order to a status, because somebody asked for it.
fn to(id: OrderId, to: OrderStatus, at: DateTime<Utc>) -> StatusChange {
    StatusChange { id, step: Step::Requested(to), at, traceparent: None, event_id: None }
}

/// What the event with this id does to an order.
fn by_event(event_id: &str, id: OrderId, step: Step) -> StatusChange {
    StatusChange { id, step, at: Utc::now(), traceparent: None, event_id: Some(event_id.to_owned()) }
}

fn eur(amount: i64) -> Money {
    Money { amount: amount.try_into().unwrap(), currency: "EUR".parse().unwrap() }
}

async fn confirm(store: &OrderStore, order: &Order) {
    let confirmed = store.change(to(order.id, Confirmed, Utc::now())).await.unwrap();
    assert!(confirmed.is_some());
}

fn ids(orders: &[Order]) -> Vec<i64> {
    orders.iter().map(|order| order.id.get()).collect()
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_statement() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let (store, keys) = (store_in(opened.clone()), Keys::new(opened.clone()));
    let (absent_user, id) = (Some(user(1)), 1.try_into().unwrap());
    for filter in [(None, None), (absent_user, None), (None, Some(Confirmed)), (absent_user, Some(Confirmed))] {
        let (user_id, status) = filter;
        assert_eq!(store.list_before(i64::MAX, Filter { user_id, status }, 20).await.unwrap(), []);
    }
    assert_eq!(store.find(id).await.unwrap(), None);
    assert_eq!(store.change(to(id, Confirmed, Utc::now())).await.unwrap(), None);
    let new = order(1, 2);
    let claim = claim(&keys, "key", &new);
    assert_eq!(keys.stored_response::<OrderReceipt>(Some(&claim)).await.unwrap().map(|answer| answer.body), None);
    let (placed, _) = store.insert(new, Utc::now(), Some(claim.clone())).await.unwrap();
    store.insert(reserved(1), Utc::now(), None).await.unwrap();
    store.change(by_event("an id", placed.id, Step::OutOfStock)).await.unwrap().unwrap();
    // Confirmed by somebody, and then paid.
    let (paid, _) = store.insert(reserved(1), Utc::now(), None).await.unwrap();
    confirm(&store, &paid).await;
    assert_eq!(store.change(by_event("another id", paid.id, Step::Paid(eur(3996)))).await.unwrap(), None);
    assert_eq!(store.overdue(Utc::now(), 500).await.unwrap(), []);
    let mut purge = keys.purge();
    assert_eq!(purge.run(Utc::now()).await.unwrap(), 0);
    assert_eq!(purge.run(Utc::now()).await.unwrap(), 0);

    opened.ping().await.unwrap();
    let statements = service_testing::check_index_scans(&opened).await.unwrap();
    assert_eq!(statements.len(), 18, "{statements:?}");
}

#[tokio::test]
async fn a_full_disk_stores_exactly_the_acknowledged_orders() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let Connections::Sqlite(pool) = &opened.writer().connections else { panic!("the database is a file") };
    let limit = async |pages: i64| {
        let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).execute(pool).await.unwrap();
    };
    let (store, keys) = (store_in(opened.clone()), Keys::new(opened.clone()));
    // SQLite raises it to the number of pages in use.
    limit(1).await;
    let orders: Vec<NewOrder> = (1..=200).map(|user_id| order(user_id, 2)).collect();
    // With keys, a batch is a transaction of two statements.
    let claims: Vec<Option<Claim>> = orders
        .iter()
        .map(|order| (order.user_id.get() > 150).then(|| claim(&keys, &order.user_id.to_string(), order)))
        .collect();
    let insert_all = || {
        let inserts =
            orders.iter().zip(&claims).map(|(order, claim)| store.insert(order.clone(), Utc::now(), claim.clone()));
        join_all(inserts)
    };
    let placed = insert_all().await;
    let acknowledged = placed.iter().filter(|placed| placed.is_ok()).count();
    assert!(acknowledged < 200);
    for error in placed.into_iter().filter_map(Result::err) {
        assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");
    }
    assert_eq!(store.list_before(i64::MAX, Filter::default(), 1000).await.unwrap().len(), acknowledged);
    limit(1_000_000).await;
    let stored = insert_all().await.into_iter().filter(Result::is_ok).count();
    assert!(stored >= 150, "{stored}");
    assert_eq!(store.list_before(i64::MAX, Filter::default(), 1000).await.unwrap().len(), acknowledged + stored);
}

on_both_databases! {
    async fn an_inserted_order_is_read_back_unchanged(database: TestDatabase) {
        let store = store(&database).await;
        let largest = NewOrder { items: vec![item(UserId::MAX, 1_000_000)], ..order(UserId::MAX, 1) };
        let now: DateTime<Utc> = "2026-01-01T12:00:00.123456789Z".parse().unwrap();
        let (order, created) = store.insert(largest.clone(), now, None).await.unwrap();
        assert_eq!(created.location, "/api/v1/orders/1");
        assert_eq!((order.id.get(), order.user_id, order.quantity.get()), (1, largest.user_id, 1_000_000));
        assert_eq!(order.status, OrderStatus::Created);
        assert_eq!((order.created_at, order.updated_at), (now.into(), now.into()));
        assert_eq!(store.find(order.id).await.unwrap(), Some(order));
        assert_eq!(store.find(OrderId::MAX.try_into().unwrap()).await.unwrap(), None);
    }

    async fn an_order_of_several_items_is_read_back_unchanged(database: TestDatabase) {
        let store = store(&database).await;
        let now = Utc::now();
        // All at once, so that they share a batch; equal orders differ only in their reservations.
        let orders: Vec<NewOrder> = (0..20).map(|number| if number % 3 == 0 { order(1, 2) } else { reserved(1) }).collect();
        let placed = join_all(orders.iter().map(|order| store.insert(order.clone(), now, None))).await;
        let mut reserved_orders = 0;
        for (new, placed) in orders.iter().zip(placed) {
            let (order, _) = placed.unwrap();
            assert_eq!((&order.items, &order.total), (&new.items, &new.total));
            assert_eq!((order.product_id, order.quantity), (new.items[0].product_id, new.items[0].quantity));
            assert_eq!(store.find(order.id).await.unwrap().as_ref(), Some(&order));
            reserved_orders += usize::from(new.reservation_id.is_some());
        }
        let listed = store.list_before(i64::MAX, Filter::default(), 100).await.unwrap();
        assert_eq!(listed.iter().filter(|order| order.items == orders[1].items).count(), reserved_orders);
    }

    async fn each_change_of_an_order_writes_its_event_once(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 10).await.unwrap();
        let store = store_in(opened.clone());
        let placed = join_all([reserved(1), order(2, 2)].map(|new| store.insert(new, Utc::now(), None))).await;
        let orders: Vec<Order> = placed.into_iter().map(|placed| placed.unwrap().0).collect();
        confirm(&store, &orders[0]).await;
        // It is not created any more.
        let again = store.change(to(orders[0].id, Confirmed, Utc::now())).await.unwrap();
        assert_eq!(again, None);
        store.change(to(orders[0].id, Completed, Utc::now())).await.unwrap().unwrap();
        store.change(to(orders[1].id, Cancelled, Utc::now())).await.unwrap().unwrap();
        let events = outbox(&opened).await;
        let types: Vec<&str> = types_and_data(&events).iter().map(|(name, _)| *name).collect();
        assert_eq!(types, ["order.created", "order.created", "order.confirmed", "order.completed", "order.cancelled"]);
        assert_eq!(events[4]["data"], json!({ "order_id": 2, "user_id": 2, "reason": "requested" }));
        let ids: HashSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), events.len());
    }

    async fn an_event_changes_an_order_once(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 10).await.unwrap();
        let store = store_in(opened.clone());
        let order = insert(&store, 1).await;
        let change = || by_event("an id", order.id, Step::Requested(Confirmed));
        // Both at once, and once more.
        let (one, other) = tokio::join!(store.change(change()), store.change(change()));
        assert_eq!(usize::from(one.unwrap().is_some()) + usize::from(other.unwrap().is_some()), 1);
        assert_eq!(store.change(by_event("an id", order.id, Step::OutOfStock)).await.unwrap(), None);
        assert!(store.change(by_event("another id", order.id, Step::OutOfStock)).await.unwrap().is_some());
        assert_eq!(outbox(&opened).await.len(), 3);
    }

    async fn an_order_is_confirmed_by_a_payment_of_its_total(database: TestDatabase) {
        let store = store(&database).await;
        let (order, _) = store.insert(reserved(1), Utc::now(), None).await.unwrap();
        assert!(order.payment_due_at.is_some());
        let jpy = Money { currency: "JPY".parse().unwrap(), ..eur(3996) };
        for (number, wrong) in [eur(3995), eur(3997), eur(0), jpy].into_iter().enumerate() {
            let paid = by_event(&format!("wrong {number}"), order.id, Step::Paid(wrong));
            assert_eq!(store.change(paid).await.unwrap(), None);
        }
        let paid = store.change(by_event("right", order.id, Step::Paid(eur(3996)))).await.unwrap().unwrap();
        assert_eq!((paid.status, paid.payment_due_at), (Confirmed, None));
    }

    async fn a_failed_payment_cancels_unless_another_is_completed(database: TestDatabase) {
        let store = store(&database).await;
        let place = async || store.insert(reserved(1), Utc::now(), None).await.unwrap().0.id;
        let [unpaid, by_hand, paid, by_hand_and_paid] = [place().await, place().await, place().await, place().await];
        for id in [by_hand, by_hand_and_paid] {
            store.change(to(id, Confirmed, Utc::now())).await.unwrap().unwrap();
        }
        store.change(by_event("paid", paid, Step::Paid(eur(3996)))).await.unwrap().unwrap();
        assert_eq!(store.change(by_event("paid too", by_hand_and_paid, Step::Paid(eur(3996)))).await.unwrap(), None);
        for (id, is_cancelled) in [(unpaid, true), (by_hand, true), (paid, false), (by_hand_and_paid, false)] {
            let failed = store.change(by_event(&format!("failed {id}"), id, Step::PaymentFailed)).await.unwrap();
            assert_eq!(failed.is_some(), is_cancelled, "{id}");
            let reason = is_cancelled.then_some(CancellationReason::PaymentFailed);
            assert_eq!(store.find(id).await.unwrap().unwrap().cancellation_reason, reason);
        }
    }

    async fn payments_do_not_move_an_order_without_prices(database: TestDatabase) {
        let store = store(&database).await;
        let order = insert(&store, 1).await;
        for (number, step) in [Step::Paid(eur(1)), Step::PaymentFailed, Step::Refunded].into_iter().enumerate() {
            assert_eq!(store.change(by_event(&number.to_string(), order.id, step)).await.unwrap(), None);
        }
        assert!(store.change(by_event("lost", order.id, Step::OutOfStock)).await.unwrap().is_some());
    }

    async fn what_happens_to_an_order_at_once_happens_in_turn(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 10).await.unwrap();
        let store = store_in(opened.clone());
        for _ in 0..10 {
            let (order, _) = store.insert(reserved(1), Utc::now(), None).await.unwrap();
            let id = order.id;
            let event = |name: &str| format!("{name} {id}");
            // They share a batch: it is paid, and then its stock is lost.
            let (paid, lost, overdue) = tokio::join!(
                store.change(by_event(&event("paid"), id, Step::Paid(eur(3996)))),
                store.change(by_event(&event("lost"), id, Step::OutOfStock)),
                store.change(by_event(&event("overdue"), id, Step::Overdue)),
            );
            assert_eq!((paid.unwrap().unwrap().status, lost.unwrap().unwrap().status), (Confirmed, Cancelled));
            assert_eq!(overdue.unwrap(), None);
        }
        let events = outbox(&opened).await;
        let of_type = |name| events.iter().filter(|event| event["type"] == name).count();
        assert_eq!((of_type("order.confirmed"), of_type("order.cancelled")), (10, 10));
    }

    async fn only_created_orders_with_a_due_time_become_overdue(database: TestDatabase) {
        let store = store(&database).await;
        let now = Utc::now();
        let due = |minutes| NewOrder { payment_due_at: Some(now + TimeDelta::minutes(minutes)), ..reserved(1) };
        let mut ids = Vec::new();
        for new in [due(-1), due(-2), due(1), order(1, 2), due(-3)] {
            ids.push(store.insert(new, now, None).await.unwrap().0.id);
        }
        store.change(to(ids[4], Confirmed, now)).await.unwrap().unwrap();
        assert_eq!(store.overdue(now, 500).await.unwrap(), [ids[1], ids[0]]);
        assert_eq!(store.overdue(now, 1).await.unwrap(), [ids[1]]);
        assert_eq!(store.unpaid().await.unwrap().0, 3);
        let change = StatusChange { step: Step::Overdue, ..to(ids[1], Cancelled, now) };
        let overdue = store.change(change).await.unwrap().unwrap();
        assert_eq!(overdue.cancellation_reason, Some(CancellationReason::PaymentTimeout));
        assert_eq!(store.overdue(now, 500).await.unwrap(), [ids[0]]);
        // An instance of the release before does not know of due times.
        let opened = SERVICE.open(&database.url, 1).await.unwrap();
        let cancel = "UPDATE orders SET status = 'cancelled' WHERE payment_due_at IS NOT NULL";
        with_pool!(opened.writer(), |pool| async { sqlx::query(cancel).execute(pool).await.map(drop) }).unwrap();
        assert_eq!(store.overdue(now, 500).await.unwrap(), []);
        assert_eq!(store.unpaid().await.unwrap(), (0, None));
    }

    async fn times_keep_their_zeros_at_the_end(database: TestDatabase) {
        let store = store(&database).await;
        let time: DateTime<Utc> = "2026-01-01T12:00:00.120Z".parse().unwrap();
        let (order, _) = store.insert(order(1, 2), time, None).await.unwrap();
        let stored = serde_json::to_value(store.find(order.id).await.unwrap()).unwrap();
        assert_eq!(stored["created_at"], "2026-01-01T12:00:00.120000Z");
    }

    async fn a_status_changes_only_from_an_allowed_status(database: TestDatabase) {
        let store = store(&database).await;
        let order = insert(&store, 1).await;
        let later = DateTime::<Utc>::from(order.created_at) + TimeDelta::seconds(5);
        let updated = store.change(to(order.id, Confirmed, later)).await.unwrap().unwrap();
        assert_eq!((updated.status, updated.created_at, updated.updated_at), (Confirmed, order.created_at, later.into()));
        assert_eq!(store.change(to(order.id, Confirmed, later)).await.unwrap(), None);
        assert_eq!(store.change(to(order.id, OrderStatus::Created, later)).await.unwrap(), None);
        let cancelled = store.change(to(order.id, Cancelled, later)).await.unwrap();
        assert_eq!(cancelled.unwrap().status, Cancelled);
        let absent = 99.try_into().unwrap();
        assert_eq!(store.change(to(absent, Confirmed, later)).await.unwrap(), None);
    }

    async fn an_update_is_never_before_the_last_one(database: TestDatabase) {
        let store = store(&database).await;
        let order = insert(&store, 1).await;
        // The clock was set back by an hour, and then not at all.
        let earlier = DateTime::<Utc>::from(order.created_at) - TimeDelta::hours(1);
        let updated = store.change(to(order.id, Confirmed, earlier)).await.unwrap();
        assert_eq!(updated.map(|order| (order.status, order.updated_at)), Some((Confirmed, order.created_at)));
        let later = DateTime::<Utc>::from(order.created_at) + TimeDelta::microseconds(1);
        let updated = store.change(to(order.id, Completed, later)).await.unwrap();
        assert_eq!(updated.map(|order| (order.status, order.updated_at)), Some((Completed, later.into())));
    }

    async fn exactly_one_of_a_racing_cancel_and_complete_succeeds(database: TestDatabase) {
        let store = store(&database).await;
        for _ in 0..20 {
            let order = insert(&store, 1).await;
            confirm(&store, &order).await;
            let (cancelled, completed) = tokio::join!(
                store.change(to(order.id, Cancelled, Utc::now())),
                store.change(to(order.id, Completed, Utc::now())),
            );
            let succeeded: Vec<Order> = [cancelled.unwrap(), completed.unwrap()].into_iter().flatten().collect();
            assert_eq!(succeeded.len(), 1, "{succeeded:?}");
            assert_eq!(store.find(order.id).await.unwrap().as_ref(), succeeded.first());
        }
    }

    async fn orders_are_listed_newest_first_and_filtered(database: TestDatabase) {
        let store = store(&database).await;
        for user_id in [1, 2, 1, 2, 1] {
            insert(&store, user_id).await;
        }
        let third = store.find(3.try_into().unwrap()).await.unwrap().unwrap();
        confirm(&store, &third).await;
        let all = Filter::default();
        let of_user = Filter { user_id: Some(user(1)), ..all };
        let created = Filter { status: Some(OrderStatus::Created), ..all };
        let list = async |before, filter, limit| ids(&store.list_before(before, filter, limit).await.unwrap());
        assert_eq!(list(i64::MAX, all, 10).await, [5, 4, 3, 2, 1]);
        assert_eq!(list(4, all, 2).await, [3, 2]);
        assert_eq!(list(i64::MAX, of_user, 10).await, [5, 3, 1]);
        assert_eq!(list(i64::MAX, created, 10).await, [5, 4, 2, 1]);
        assert_eq!(list(i64::MAX, Filter { status: Some(Confirmed), ..of_user }, 10).await, [3]);
        assert_eq!(list(i64::MAX, Filter { user_id: Some(user(3)), ..all }, 10).await, [0_i64; 0]);
    }

    async fn concurrent_inserts_and_reads_return_their_own_orders(database: TestDatabase) {
        let store = store(&database).await;
        // Pairs of equal orders with the same time differ only in their ids.
        let now = Utc::now();
        let orders: Vec<NewOrder> = (0..300).map(|number| order(1 + number / 2, 1 + number / 4)).collect();
        let placed = join_all(orders.iter().map(|order| store.insert(order.clone(), now, None))).await;
        let mut ids_seen = HashSet::new();
        for (requested, placed) in orders.iter().zip(placed) {
            let (order, created) = placed.unwrap();
            assert_eq!((order.user_id, &order.items), (requested.user_id, &requested.items));
            assert_eq!(created.location, format!("/api/v1/orders/{}", order.id));
            assert!(ids_seen.insert(order.id.get()), "{order:?} was returned twice");
        }
        let ids: Vec<OrderId> = (1..=301).map(|id| id.try_into().unwrap()).collect();
        let found = join_all(ids.iter().chain([&ids[0]]).map(|id| store.find(*id))).await;
        for (id, found) in ids.iter().zip(&found).take(300) {
            assert_eq!(found.as_ref().unwrap().as_ref().map(|order| order.id), Some(*id));
        }
        assert_eq!(found[300].as_ref().unwrap(), &None);
        assert_eq!(found[301].as_ref().unwrap().as_ref().map(|order| order.id), Some(ids[0]));
    }

    async fn an_order_refused_by_the_database_fails_alone_in_its_batch(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 10).await.unwrap();
        refuse_quantity_13(&opened).await;
        let store = store_in(opened);
        let orders: Vec<NewOrder> = (1..=20).map(|quantity| order(1, quantity)).collect();
        let placed = join_all(orders.iter().map(|order| store.insert(order.clone(), Utc::now(), None))).await;
        for (order, placed) in orders.iter().zip(placed) {
            match placed {
                Ok((placed, _)) => assert_eq!(placed.items, order.items),
                Err(error) => assert!(quantity(order) == 13 && matches!(error, DatabaseError::Fault(_)), "{error}"),
            }
        }
        let stored = store.list_before(i64::MAX, Filter::default(), 100).await.unwrap();
        let mut quantities: Vec<i64> = stored.iter().map(|order| order.quantity.get()).collect();
        quantities.sort_unstable();
        assert_eq!(quantities, (1..=20).filter(|quantity| *quantity != 13).collect::<Vec<_>>());
    }

    async fn an_order_with_a_used_key_fails_alone_in_its_batch(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 10).await.unwrap();
        let store = store_in(opened.clone());
        // Like two processes: neither knows which keys the other has in use.
        let (ours, theirs) = (Keys::new(opened.clone()), Keys::new(opened));
        let taken = order(1, 1);
        store.insert(taken.clone(), Utc::now(), Some(claim(&theirs, "k7", &taken))).await.unwrap();

        let orders: Vec<NewOrder> = (1..=20).map(|user_id| order(user_id, 2)).collect();
        // Every third order has no key.
        let claims: Vec<Option<Claim>> = (1..=20)
            .zip(&orders)
            .map(|(number, order)| (number % 3 > 0).then(|| claim(&ours, &format!("k{number}"), order)))
            .collect();
        let inserts = orders.iter().zip(&claims).map(|(order, claim)| store.insert(order.clone(), Utc::now(), claim.clone()));
        let placed = join_all(inserts).await;
        for (number, (placed, claim)) in (1..=20).zip(placed.iter().zip(&claims)) {
            let stored = ours.stored_response::<OrderReceipt>(claim.as_ref()).await;
            if number == 7 {
                assert!(matches!(placed, Err(DatabaseError::UniqueViolation)), "{placed:?}");
                assert!(matches!(stored, Err(KeyError::Reused)), "{stored:?}");
            } else {
                let created = &placed.as_ref().unwrap().1;
                let stored = stored.unwrap().map(|stored| (stored.body, stored.location));
                assert_eq!(stored, claim.as_ref().map(|_| (created.body.clone(), created.location.clone())), "{number}");
            }
        }
        assert_eq!(store.list_before(i64::MAX, Filter::default(), 100).await.unwrap().len(), 20);
    }
}

//! What the store promises, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::HashSet;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use futures::future::join_all;
use order_service::store::{Filter, MIGRATIONS, OrderStore};
use order_service_api::{Order, OrderCreate, OrderId, OrderReceipt, OrderStatus, UserId};
use service_runtime::database::{Connections, Database, DatabaseError};
use service_runtime::idempotency::{Claim, KeyError, Keys};
use service_testing::{Kind, TestDatabase, on_both_databases};

use OrderStatus::{Cancelled, Completed, Confirmed};

async fn store(database: &TestDatabase) -> OrderStore {
    OrderStore::new(Database::open(&database.url, 10, &MIGRATIONS).await.unwrap())
}

fn user(id: i64) -> UserId {
    id.try_into().unwrap()
}

fn answer(order: &Order) -> serde_json::Result<Created<OrderReceipt>> {
    Created::new(&OrderReceipt { order_id: order.id, status: order.status }, order.id.to_string())
}

async fn insert(store: &OrderStore, user_id: i64) -> Order {
    store.insert(&order(user_id, 2), Utc::now(), None, answer).await.unwrap().0
}

fn order(user_id: i64, quantity: i64) -> OrderCreate {
    OrderCreate { user_id: user(user_id), product_id: 456.try_into().unwrap(), quantity: quantity.try_into().unwrap() }
}

fn claim(keys: &Keys, key: &str, order: &OrderCreate) -> Claim {
    keys.claim("order_create", Some(key.parse().unwrap()), order).unwrap().unwrap()
}

/// Makes `database` refuse orders of thirteen.
async fn refuse_thirteen(database: &Database) {
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

async fn confirm(store: &OrderStore, order: &Order) {
    assert!(store.update_status(order.id, &[OrderStatus::Created], Confirmed, Utc::now()).await.unwrap().is_some());
}

fn ids(orders: &[Order]) -> Vec<i64> {
    orders.iter().map(|order| order.id.get()).collect()
}

#[tokio::test]
async fn postgres_goes_along_an_index_for_every_statement_however_empty_its_tables() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = Database::open(&database.url, 1, &MIGRATIONS).await.unwrap();
    let (store, keys) = (OrderStore::new(opened.clone()), Keys::new(opened.clone()));
    let (nobody, id) = (Some(user(1)), 1.try_into().unwrap());
    for filter in [(None, None), (nobody, None), (None, Some(Confirmed)), (nobody, Some(Confirmed))] {
        let (user_id, status) = filter;
        assert_eq!(store.list_before(i64::MAX, Filter { user_id, status }, 20).await.unwrap(), []);
    }
    assert_eq!(store.find(id).await.unwrap(), None);
    assert_eq!(store.update_status(id, &[OrderStatus::Created], Confirmed, Utc::now()).await.unwrap(), None);
    assert_eq!(keys.purge(Utc::now()).await.unwrap(), 0);
    let new = order(1, 2);
    let claim = claim(&keys, "key", &new);
    assert_eq!(keys.answer::<OrderReceipt>(Some(&claim)).await.unwrap().map(|answer| answer.body), None);
    store.insert(&new, Utc::now(), Some(&claim), answer).await.unwrap();

    opened.ping().await.unwrap();
    let statements = service_testing::statements_along_an_index(&opened).await.unwrap();
    assert_eq!(statements.len(), 10, "{statements:?}");
}

on_both_databases! {
    async fn an_inserted_order_is_found_as_written(database: TestDatabase) {
        let store = store(&database).await;
        let largest = OrderCreate {
            user_id: user(UserId::MAX),
            product_id: UserId::MAX.try_into().unwrap(),
            quantity: 1_000_000.try_into().unwrap(),
        };
        let now: DateTime<Utc> = "2026-01-01T12:00:00.123456789Z".parse().unwrap();
        let (order, answered) = store.insert(&largest, now, None, answer).await.unwrap();
        assert_eq!(answered.location, "1");
        assert_eq!((order.id.get(), order.user_id, order.quantity.get()), (1, largest.user_id, 1_000_000));
        assert_eq!(order.status, OrderStatus::Created);
        assert_eq!((order.created_at, order.updated_at), (now.trunc_subsecs(6), now.trunc_subsecs(6)));
        assert_eq!(store.find(order.id).await.unwrap(), Some(order));
        assert_eq!(store.find(OrderId::MAX.try_into().unwrap()).await.unwrap(), None);
    }

    async fn a_status_moves_only_from_where_it_may(database: TestDatabase) {
        let store = store(&database).await;
        let order = insert(&store, 1).await;
        let later = order.created_at + chrono::TimeDelta::seconds(5);
        let moved = store.update_status(order.id, &[OrderStatus::Created], Confirmed, later).await.unwrap().unwrap();
        assert_eq!((moved.status, moved.created_at, moved.updated_at), (Confirmed, order.created_at, later));
        assert_eq!(store.update_status(order.id, &[OrderStatus::Created], Confirmed, later).await.unwrap(), None);
        assert_eq!(store.update_status(order.id, &[], OrderStatus::Created, later).await.unwrap(), None);
        let cancelled = store.update_status(order.id, &[OrderStatus::Created, Confirmed], Cancelled, later).await.unwrap();
        assert_eq!(cancelled.unwrap().status, Cancelled);
        let absent = 99.try_into().unwrap();
        assert_eq!(store.update_status(absent, &[OrderStatus::Created], Confirmed, later).await.unwrap(), None);
    }

    async fn of_a_cancel_and_a_complete_that_race_exactly_one_wins(database: TestDatabase) {
        let store = store(&database).await;
        for _ in 0..20 {
            let order = insert(&store, 1).await;
            confirm(&store, &order).await;
            let (cancelled, completed) = tokio::join!(
                store.update_status(order.id, &[OrderStatus::Created, Confirmed], Cancelled, Utc::now()),
                store.update_status(order.id, &[Confirmed], Completed, Utc::now()),
            );
            let winners: Vec<Order> = [cancelled.unwrap(), completed.unwrap()].into_iter().flatten().collect();
            assert_eq!(winners.len(), 1, "{winners:?}");
            assert_eq!(store.find(order.id).await.unwrap().as_ref(), winners.first());
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

    async fn of_many_orders_at_once_everybody_gets_their_own(database: TestDatabase) {
        let store = store(&database).await;
        // Pairs of equal orders at the same time, so that nothing but the id tells them apart.
        let now = Utc::now();
        let orders: Vec<OrderCreate> = (0..300).map(|number| order(1 + number / 2, 1 + number / 4)).collect();
        let placed = join_all(orders.iter().map(|order| store.insert(order, now, None, answer))).await;
        let mut given = HashSet::new();
        for (asked, placed) in orders.iter().zip(placed) {
            let (order, answered) = placed.unwrap();
            assert_eq!((order.user_id, order.quantity), (asked.user_id, asked.quantity));
            assert_eq!(answered.location, order.id.to_string());
            assert!(given.insert(order.id.get()), "{order:?} was given twice");
        }
        let ids: Vec<OrderId> = (1..=301).map(|id| id.try_into().unwrap()).collect();
        let found = join_all(ids.iter().chain([&ids[0]]).map(|id| store.find(*id))).await;
        for (id, found) in ids.iter().zip(&found).take(300) {
            assert_eq!(found.as_ref().unwrap().as_ref().map(|order| order.id), Some(*id));
        }
        assert_eq!(found[300].as_ref().unwrap(), &None);
        assert_eq!(found[301].as_ref().unwrap().as_ref().map(|order| order.id), Some(ids[0]));
    }

    async fn of_orders_placed_at_once_one_that_the_database_refuses_fails_alone(database: TestDatabase) {
        let opened = Database::open(&database.url, 10, &MIGRATIONS).await.unwrap();
        refuse_thirteen(&opened).await;
        let store = OrderStore::new(opened);
        let orders: Vec<OrderCreate> = (1..=20).map(|quantity| order(1, quantity)).collect();
        let placed = join_all(orders.iter().map(|order| store.insert(order, Utc::now(), None, answer))).await;
        for (order, placed) in orders.iter().zip(placed) {
            match placed {
                Ok((placed, _)) => assert_eq!(placed.quantity, order.quantity),
                Err(error) => assert!(order.quantity.get() == 13 && matches!(error, DatabaseError::Fault(_)), "{error}"),
            }
        }
        let stored = store.list_before(i64::MAX, Filter::default(), 100).await.unwrap();
        let mut quantities: Vec<i64> = stored.iter().map(|order| order.quantity.get()).collect();
        quantities.sort_unstable();
        assert_eq!(quantities, (1..=20).filter(|quantity| *quantity != 13).collect::<Vec<_>>());
    }

    async fn of_orders_placed_at_once_one_whose_key_was_used_fails_alone(database: TestDatabase) {
        let opened = Database::open(&database.url, 10, &MIGRATIONS).await.unwrap();
        let store = OrderStore::new(opened.clone());
        // Two processes: neither knows which keys the other works on.
        let (ours, theirs) = (Keys::new(opened.clone()), Keys::new(opened));
        let taken = order(1, 1);
        store.insert(&taken, Utc::now(), Some(&claim(&theirs, "k7", &taken)), answer).await.unwrap();

        let orders: Vec<OrderCreate> = (1..=20).map(|user_id| order(user_id, 2)).collect();
        // Every third has no key.
        let claims: Vec<Option<Claim>> = (1..=20)
            .zip(&orders)
            .map(|(number, order)| (number % 3 > 0).then(|| claim(&ours, &format!("k{number}"), order)))
            .collect();
        let inserts = orders.iter().zip(&claims).map(|(order, claim)| store.insert(order, Utc::now(), claim.as_ref(), answer));
        let placed = join_all(inserts).await;
        for (number, (placed, claim)) in (1..=20).zip(placed.iter().zip(&claims)) {
            let kept = ours.answer::<OrderReceipt>(claim.as_ref()).await;
            if number == 7 {
                assert!(matches!(placed, Err(DatabaseError::UniqueViolation)), "{placed:?}");
                assert!(matches!(kept, Err(KeyError::Reused)), "{kept:?}");
            } else {
                let answered = &placed.as_ref().unwrap().1;
                let kept = kept.unwrap().map(|kept| (kept.body, kept.location));
                assert_eq!(kept, claim.as_ref().map(|_| (answered.body.clone(), answered.location.clone())), "{number}");
            }
        }
        assert_eq!(store.list_before(i64::MAX, Filter::default(), 100).await.unwrap().len(), 20);
    }
}

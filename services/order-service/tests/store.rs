//! What the store promises, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use order_service::store::{Filter, MIGRATIONS, OrderStore};
use order_service_api::{Order, OrderCreate, OrderId, OrderReceipt, OrderStatus, UserId};
use service_runtime::database::Database;
use service_testing::{TestDatabase, on_both_databases};

use OrderStatus::{Cancelled, Completed, Confirmed};

async fn store(database: &TestDatabase) -> OrderStore {
    OrderStore::new(Database::open(&database.url, 10, &MIGRATIONS).await.unwrap())
}

fn user(id: i64) -> UserId {
    id.try_into().unwrap()
}

fn answer(order: &Order) -> serde_json::Result<Created<OrderReceipt>> {
    Created::first(&OrderReceipt { order_id: order.id, status: order.status }, order.id.to_string())
}

async fn insert(store: &OrderStore, user_id: i64) -> Order {
    let order =
        OrderCreate { user_id: user(user_id), product_id: 456.try_into().unwrap(), quantity: 2.try_into().unwrap() };
    store.insert(&order, Utc::now(), None, answer).await.unwrap().0
}

async fn confirm(store: &OrderStore, order: &Order) {
    assert!(store.update_status(order.id, &[OrderStatus::Created], Confirmed, Utc::now()).await.unwrap().is_some());
}

fn ids(orders: &[Order]) -> Vec<i64> {
    orders.iter().map(|order| order.id.get()).collect()
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
}

//! What becomes of orders that are placed together when the database is in the way. On PostgreSQL; for SQLite the same is
//! tested where it is done, in service-runtime's `group_commit`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::time::Duration;

use chrono::Utc;
use contract::answer::Created;
use futures::future::join_all;
use order_service::store::{Filter, MIGRATIONS, OrderStore};
use order_service_api::{Order, OrderCreate, OrderReceipt};
use service_runtime::database::{Connections, Database, DatabaseError};
use service_testing::Cluster;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::task::JoinHandle;

type Placed = Result<(Order, Created<OrderReceipt>), DatabaseError>;

/// A cluster, and the orders of an empty database of it.
async fn start() -> (Cluster, Database, OrderStore) {
    let cluster = Cluster::start().unwrap();
    let database = Database::open(&cluster.create_database().await.unwrap(), 10, &MIGRATIONS).await.unwrap();
    let store = OrderStore::new(database.clone());
    (cluster, database, store)
}

fn pool(database: &Database) -> &PgPool {
    match &database.writer().connections {
        Connections::Postgres(pool) => pool,
        Connections::Sqlite(_) => panic!("another database"),
    }
}

/// Keeps everybody from writing orders until what is returned is dropped.
async fn lock_orders(database: &Database) -> Transaction<'static, Postgres> {
    let mut transaction = pool(database).begin().await.unwrap();
    sqlx::query("LOCK TABLE orders IN SHARE MODE").execute(&mut *transaction).await.unwrap();
    transaction
}

/// Until an insert waits for the lock.
async fn insert_waits(connection: &mut PgConnection) {
    let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *connection).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}

fn answer(order: &Order) -> serde_json::Result<Created<OrderReceipt>> {
    Created::new(&OrderReceipt { order_id: order.id, status: order.status }, order.id.to_string())
}

async fn insert(store: OrderStore, user_id: i64) -> Placed {
    let order = OrderCreate {
        user_id: user_id.try_into().unwrap(),
        product_id: 456.try_into().unwrap(),
        quantity: 2.try_into().unwrap(),
    };
    store.insert(&order, Utc::now(), None, answer).await
}

fn spawn(store: &OrderStore, users: std::ops::RangeInclusive<i64>) -> Vec<JoinHandle<Placed>> {
    users.map(|user_id| tokio::spawn(insert(store.clone(), user_id))).collect()
}

async fn users(store: &OrderStore) -> Vec<i64> {
    let orders = store.list_before(i64::MAX, Filter::default(), 100).await.unwrap();
    let mut users: Vec<i64> = orders.iter().map(|order| order.user_id.get()).collect();
    users.sort_unstable();
    users
}

#[tokio::test]
async fn when_the_database_ends_in_the_middle_of_a_batch_everybody_is_told_and_later_orders_are_placed() {
    let (cluster, database, store) = start().await;
    let mut lock = lock_orders(&database).await;
    let orders = spawn(&store, 1..=20);
    insert_waits(&mut lock).await;
    cluster.kill().unwrap();
    for placed in join_all(orders).await {
        assert!(matches!(placed.unwrap(), Err(DatabaseError::Unavailable(_))));
    }
    cluster.restart().unwrap();
    assert_eq!(users(&store).await, [0_i64; 0]);
    for placed in join_all(spawn(&store, 21..=40)).await {
        placed.unwrap().unwrap();
    }
    assert_eq!(users(&store).await, (21..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_that_waits_too_long_is_given_up_and_writes_nothing() {
    let (_cluster, database, store) = start().await;
    let lock = lock_orders(&database).await;
    for placed in join_all(spawn(&store, 1..=20)).await {
        assert!(matches!(placed.unwrap(), Err(DatabaseError::Unavailable(_))));
    }
    drop(lock);
    insert(store.clone(), 21).await.unwrap();
    assert_eq!(users(&store).await, [21]);
}

#[tokio::test]
async fn a_caller_whose_time_is_over_leaves_the_others_of_their_batch_as_they_are() {
    let (_cluster, database, store) = start().await;
    let mut lock = lock_orders(&database).await;
    let first = spawn(&store, 1..=1);
    insert_waits(&mut lock).await;
    // The next batch, which has not begun.
    let waiting = tokio::time::timeout(Duration::from_millis(1), insert(store.clone(), 2)).await;
    assert!(waiting.is_err());
    let others = spawn(&store, 3..=5);
    // The batch in flight loses its caller.
    first.iter().for_each(JoinHandle::abort);
    lock.rollback().await.unwrap();
    for placed in join_all(others).await {
        placed.unwrap().unwrap();
    }
    assert_eq!(users(&store).await, [1, 3, 4, 5]);
}

#[tokio::test]
async fn a_connection_that_the_server_ends_costs_at_most_the_batch_on_it() {
    let (_cluster, database, store) = start().await;
    insert(store.clone(), 1).await.unwrap();
    store.find(1.try_into().unwrap()).await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(others).execute(pool(&database)).await.unwrap();
    let placed = insert(store.clone(), 2).await;
    assert!(matches!(placed, Ok(_) | Err(DatabaseError::Unavailable(_))), "{placed:?}");
    insert(store.clone(), 3).await.unwrap();
    store.find(1.try_into().unwrap()).await.unwrap();
}

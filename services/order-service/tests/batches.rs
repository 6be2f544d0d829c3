//! Tests the batched inserts of orders under faults that only PostgreSQL can have: a crash, a lock, lost connections.
//! The tests on SQLite are in `tests/store.rs`.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::time::Duration;

use chrono::Utc;
use contract::answer::Created;
use futures::future::join_all;
use order_service::SERVICE;
use order_service::store::{Filter, NewOrder, OrderStore};
use order_service_api::{Order, OrderItem, OrderReceipt};
use service_runtime::database::{Connections, Database, DatabaseError};
use service_runtime::events::Inbox;
use service_testing::Cluster;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::task::JoinHandle;

type Placed = Result<(Order, Created<OrderReceipt>), DatabaseError>;

/// A cluster, with an empty database and its store.
async fn start() -> (Cluster, Database, OrderStore) {
    let cluster = Cluster::start().unwrap();
    let database = SERVICE.open(&cluster.create_database().await.unwrap(), 10).await.unwrap();
    let store = OrderStore::new(database.clone(), SERVICE.outbox().unwrap(), Inbox::default());
    (cluster, database, store)
}

fn pool(database: &Database) -> &PgPool {
    match &database.writer().connections {
        Connections::Postgres(pool) => pool,
        Connections::Sqlite(_) => panic!("not PostgreSQL"),
    }
}

/// Blocks writes to the orders until the transaction ends.
async fn lock_orders(database: &Database) -> Transaction<'static, Postgres> {
    let mut transaction = pool(database).begin().await.unwrap();
    sqlx::query("LOCK TABLE orders IN SHARE MODE").execute(&mut *transaction).await.unwrap();
    transaction
}

/// Returns once an insert waits for the lock.
async fn wait_for_blocked_insert(connection: &mut PgConnection) {
    let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *connection).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}

/// Returns once no other connection executes a statement. Not for a connection in a transaction, which reads the same
/// activity again and again.
async fn wait_for_idle_server(connection: &mut PgConnection) {
    let active = "SELECT COUNT(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(active).fetch_one(&mut *connection).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
}

async fn insert(store: OrderStore, user_id: i64) -> Placed {
    let item = OrderItem {
        product_id: 456.try_into().unwrap(),
        name: None,
        quantity: 2.try_into().unwrap(),
        unit_price: None,
        subtotal: None,
    };
    let order = NewOrder {
        user_id: user_id.try_into().unwrap(),
        items: vec![item],
        total: None,
        reservation_id: None,
        payment_method: None,
        payment_due_at: None,
        traceparent: None,
    };
    store.insert(order, Utc::now(), None).await
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
async fn a_database_crash_fails_the_batch_and_later_orders_succeed() {
    let (cluster, database, store) = start().await;
    let mut lock = lock_orders(&database).await;
    let orders = spawn(&store, 1..=20);
    wait_for_blocked_insert(&mut lock).await;
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
async fn a_batch_that_waits_too_long_for_a_lock_writes_nothing() {
    let (_cluster, database, store) = start().await;
    let lock = lock_orders(&database).await;
    for placed in join_all(spawn(&store, 1..=20)).await {
        assert!(matches!(placed.unwrap(), Err(DatabaseError::Unavailable(_))));
    }
    // On a busy machine the callers give up before the statement does.
    wait_for_idle_server(&mut pool(&database).acquire().await.unwrap()).await;
    drop(lock);
    insert(store.clone(), 21).await.unwrap();
    assert_eq!(users(&store).await, [21]);
}

#[tokio::test]
async fn a_cancelled_caller_does_not_affect_the_rest_of_its_batch() {
    let (_cluster, database, store) = start().await;
    let mut lock = lock_orders(&database).await;
    let first = spawn(&store, 1..=1);
    wait_for_blocked_insert(&mut lock).await;
    // This order is in the next batch, which has not started.
    let waiting = tokio::time::timeout(Duration::from_millis(1), insert(store.clone(), 2)).await;
    assert!(waiting.is_err());
    let others = spawn(&store, 3..=5);
    // The batch in flight loses its only caller.
    first.iter().for_each(JoinHandle::abort);
    lock.rollback().await.unwrap();
    for placed in join_all(others).await {
        placed.unwrap().unwrap();
    }
    assert_eq!(users(&store).await, [1, 3, 4, 5]);
}

#[tokio::test]
async fn a_connection_closed_by_the_server_costs_at_most_one_batch() {
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

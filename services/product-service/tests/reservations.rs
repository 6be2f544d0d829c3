//! Tests the reservations in the database, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use product_service::SERVICE;
use product_service::store::{OrderEvent, OrderStep, ProductStore, Refusal, ReservationStore};
use product_service_api::{
    Product, ProductCreate, Reservation, ReservationCreate, ReservationId, ReservationItem, ReservationStatus,
    ReservedItem,
};
use service_runtime::database::{Database, DatabaseUrl};
use service_runtime::events::Inbox;
use service_testing::{Kind, TestDatabase, on_both_databases};
use sqlx::{ConnectOptions as _, Executor as _};
use uuid::Uuid;

use ReservationStatus::{Bound, Committed, Expired, Held, Released};

async fn open(url: &DatabaseUrl) -> Database {
    SERVICE.open(url, 10).await.unwrap()
}

fn stores(database: &Database) -> (ProductStore, ReservationStore) {
    let outbox = SERVICE.outbox().unwrap();
    let reservations = ReservationStore::new(database.clone(), outbox.clone(), Inbox::default());
    (ProductStore::new(database.clone(), outbox), reservations)
}

async fn product(products: &ProductStore, sku: &str, stock: i64) -> Product {
    let new: ProductCreate = serde_json::from_value(serde_json::json!({
        "sku": sku, "name": format!("Product {sku}"), "category": "kitchen",
        "price": { "amount": 1998, "currency": "EUR" }, "stock": stock,
    }))
    .unwrap();
    products.insert(&new, Utc::now(), None, None).await.unwrap().0
}

fn new(items: &[(&Product, i64)]) -> ReservationCreate {
    let items: Vec<_> = items
        .iter()
        .map(|(product, quantity)| serde_json::json!({ "product_id": product.id, "quantity": quantity }))
        .collect();
    let id = Uuid::new_v4().to_string();
    serde_json::from_value(serde_json::json!({ "reservation_id": id, "items": items })).unwrap()
}

async fn reserve(store: &ReservationStore, items: &[(&Product, i64)]) -> Result<Reservation, Refusal> {
    store.reserve(new(items), Utc::now()).await.unwrap()
}

async fn release(store: &ReservationStore, id: &ReservationId) -> Result<Reservation, Refusal> {
    store.release(id.clone(), Utc::now()).await.unwrap()
}

/// What happens to the order of the reservation `made`.
fn event(made: &Reservation, step: OrderStep) -> OrderEvent {
    OrderEvent {
        event_id: Uuid::new_v4().to_string(),
        traceparent: None,
        order_id: 1.try_into().unwrap(),
        reservation_id: made.reservation_id.clone(),
        step,
    }
}

fn placed(made: &Reservation) -> OrderStep {
    let item = |item: &ReservedItem| ReservationItem { product_id: item.product_id, quantity: item.quantity };
    OrderStep::Placed(made.items.iter().map(item).collect())
}

/// Available and reserved.
async fn stock(products: &ProductStore, product: &Product) -> (i64, i64) {
    let product = products.find(product.id).await.unwrap().unwrap();
    (product.stock.get(), product.reserved.get())
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_statement() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let (products, store) = stores(&opened);
    let mug = product(&products, "A", 10).await;
    let made = reserve(&store, &[(&mug, 1)]).await.unwrap();
    assert!(store.find(&made.reservation_id).await.unwrap().is_some());
    assert_eq!(store.list_after("", 1001).await.unwrap().len(), 1);
    assert_eq!(store.list_after(made.reservation_id.as_str(), 2).await.unwrap(), []);
    release(&store, &made.reservation_id).await.unwrap();
    let later = Utc::now() + TimeDelta::days(15);
    for id in store.due(later, 500).await.unwrap() {
        store.sweep(id, later).await.unwrap();
    }
    assert_eq!(store.find(&made.reservation_id).await.unwrap(), None);
    service_testing::check_index_scans(&opened).await.unwrap();
}

/// Between reading which products a reservation has and locking their stock, another process can commit it.
#[tokio::test]
async fn what_another_process_commits_meanwhile_is_not_released_in_part() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let DatabaseUrl::Postgres(options) = &database.url else { panic!("not PostgreSQL") };
    let (opened, mut other) = (open(&database.url).await, options.connect().await.unwrap());
    let (products, store) = stores(&opened);
    let (hot, cold) = (product(&products, "A", 10).await, product(&products, "B", 10).await);
    let theirs = new(&[(&hot, 1), (&cold, 1)]);
    let id = theirs.reservation_id.clone();
    let item = |product: &Product| serde_json::json!({ "product_id": product.id, "quantity": 1, "name": product.name, "unit_price": product.price });
    other.execute("BEGIN; UPDATE stock SET reserved = reserved + 1").await.unwrap();
    let insert = "INSERT INTO reservations VALUES ($1, 'held', $2, now() + interval '1 h', now())";
    let items = serde_json::json!([item(&hot), item(&cold)]).to_string();
    sqlx::query(insert).bind(id.as_str()).bind(items).execute(&mut other).await.unwrap();

    // One batch: the buyer makes it lock the hot product.
    let bought = hot.clone();
    let both = tokio::spawn(async move {
        let items = [(&bought, 1)];
        tokio::join!(reserve(&store, &items), release(&store, &id))
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut other).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    other.execute("COMMIT").await.unwrap();
    let (bought, released) = both.await.unwrap();
    assert!(bought.is_ok(), "{bought:?}");
    assert_eq!(released, Err(Refusal::NotFound));
    assert_eq!((stock(&products, &hot).await, stock(&products, &cold).await), ((8, 2), (9, 1)));
}

on_both_databases! {
    async fn an_id_belongs_to_one_reservation_whatever_its_products(database: TestDatabase) {
        let opened = open(&database.url).await;
        let (products, store) = stores(&opened);
        let (mug, tea) = (product(&products, "A", 10).await, product(&products, "B", 5).await);
        let made = reserve(&store, &[(&mug, 1)]).await.unwrap();
        let other = ReservationCreate { reservation_id: made.reservation_id, ..new(&[(&tea, 1)]) };
        assert_eq!(store.reserve(other, Utc::now()).await.unwrap(), Err(Refusal::IdTaken));
        assert_eq!((stock(&products, &mug).await, stock(&products, &tea).await), ((9, 1), (5, 0)));
    }

    async fn a_repeated_reservation_is_the_same_even_if_nothing_is_left(database: TestDatabase) {
        let (opened, again) = (open(&database.url).await, open(&database.url).await);
        let (products, store) = stores(&opened);
        let mug = product(&products, "A", 10).await;
        let all = new(&[(&mug, 10)]);
        let made = store.reserve(all.clone(), Utc::now()).await.unwrap().unwrap();
        let one_more = [(&mug, 1)];
        let (repeated, refused) =
            tokio::join!(store.reserve(all.clone(), Utc::now()), reserve(&store, &one_more));
        assert_eq!(repeated.unwrap(), Ok(made.clone()));
        assert_eq!(refused, Err(Refusal::InsufficientStock(vec![(mug.id, 0)])));
        products.delete(mug.id, Utc::now(), None).await.unwrap();
        assert_eq!(stores(&again).1.reserve(all, Utc::now()).await.unwrap(), Ok(made));
    }

    async fn a_reservation_is_read_as_made(database: TestDatabase) {
        let opened = open(&database.url).await;
        let (products, store) = stores(&opened);
        let (mug, tea) = (product(&products, "A", 10).await, product(&products, "B", 5).await);
        let now: DateTime<Utc> = Utc::now();
        let made = store.reserve(new(&[(&tea, 1), (&mug, 3)]), now).await.unwrap().unwrap();
        assert_eq!((made.status, made.expires_at), (Held, Some((now + TimeDelta::minutes(15)).into())));
        let items: Vec<_> = made.items.iter().map(|item| (item.product_id, item.quantity.get(), &item.name)).collect();
        assert_eq!(items, [(mug.id, 3, &mug.name), (tea.id, 1, &tea.name)]);
        assert!(made.items.iter().all(|item| item.unit_price == mug.price));
        assert_eq!(store.find(&made.reservation_id).await.unwrap(), Some(made));
        assert_eq!((stock(&products, &mug).await, stock(&products, &tea).await), ((7, 3), (4, 1)));
    }

    async fn a_reservation_moves_through_its_statuses(database: TestDatabase) {
        let opened = open(&database.url).await;
        let (products, store) = stores(&opened);
        let mug = product(&products, "A", 10).await;
        let made = reserve(&store, &[(&mug, 4)]).await.unwrap();
        let id = &made.reservation_id;
        for (step, to, expected) in [
            (placed(&made), Bound, (6, 4)),
            (placed(&made), Bound, (6, 4)),
            (OrderStep::Confirmed, Committed, (6, 0)),
            (OrderStep::Cancelled, Released, (10, 0)),
            (placed(&made), Released, (10, 0)),
        ] {
            store.follow(event(&made, step), Utc::now()).await.unwrap();
            let settled = store.find(id).await.unwrap().unwrap();
            assert_eq!((settled.status, settled.expires_at), (to, None));
            assert_eq!(settled.order_id, Some(1.try_into().unwrap()));
            assert_eq!(stock(&products, &mug).await, expected, "{to:?}");
        }
        let released = release(&store, id).await;
        assert_eq!(store.find(id).await.unwrap(), released.ok());
    }

    async fn a_list_has_every_reservation_by_its_id(database: TestDatabase) {
        let opened = open(&database.url).await;
        let (products, store) = stores(&opened);
        let mug = product(&products, "A", 10).await;
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(reserve(&store, &[(&mug, 1)]).await.unwrap());
        }
        store.follow(event(&all[0], placed(&all[0])), Utc::now()).await.unwrap();
        release(&store, &all[1].reservation_id).await.unwrap();
        for made in &mut all {
            *made = store.find(&made.reservation_id).await.unwrap().unwrap();
        }
        all.sort_by(|one, other| one.reservation_id.as_str().cmp(other.reservation_id.as_str()));
        assert_eq!(store.list_after("", 10).await.unwrap(), all);
        let mut paged: Vec<Reservation> = Vec::new();
        for _ in 0..=all.len() {
            let after = paged.last().map_or("", |last| last.reservation_id.as_str()).to_owned();
            paged.extend(store.list_after(&after, 1).await.unwrap());
        }
        assert_eq!(paged, all);
    }

    async fn what_is_due_is_swept(database: TestDatabase) {
        let opened = open(&database.url).await;
        let (products, store) = stores(&opened);
        let mug = product(&products, "A", 10).await;
        let made = reserve(&store, &[(&mug, 4)]).await.unwrap();
        let bound = reserve(&store, &[(&mug, 1)]).await.unwrap();
        store.follow(event(&bound, placed(&bound)), Utc::now()).await.unwrap();
        assert_eq!(store.due(Utc::now(), 500).await.unwrap(), []);
        let later = Utc::now() + TimeDelta::minutes(16);
        assert_eq!(store.due(later, 500).await.unwrap(), std::slice::from_ref(&made.reservation_id));
        store.sweep(made.reservation_id.clone(), later).await.unwrap();
        assert_eq!(store.find(&made.reservation_id).await.unwrap().unwrap().status, Expired);
        assert_eq!(stock(&products, &mug).await, (9, 1));
        assert_eq!(store.due(later, 500).await.unwrap(), []);
        store.sweep(made.reservation_id.clone(), later + TimeDelta::days(14)).await.unwrap();
        assert_eq!(store.find(&made.reservation_id).await.unwrap(), None);
        assert!(store.find(&bound.reservation_id).await.unwrap().is_some());
    }

    async fn two_instances_never_oversell(database: TestDatabase) {
        let (one, other) = (open(&database.url).await, open(&database.url).await);
        let products = stores(&one).0;
        let stores = [stores(&one).1, stores(&other).1];
        let (mug, tea) = (product(&products, "A", 50).await, product(&products, "B", 1000).await);
        // In both orders: instances that lock rows as they are named would deadlock.
        let buyers = (0..200).map(|number| {
            let items = if number % 3 == 0 { [(&tea, 1), (&mug, 1)] } else { [(&mug, 1), (&tea, 1)] };
            let store = &stores[number % 2];
            async move { reserve(store, &items).await }
        });
        let outcomes = join_all(buyers).await;
        let granted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(granted, 50);
        let sold_out = Refusal::InsufficientStock(vec![(mug.id, 0)]);
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|_| true) || *outcome == Err(sold_out.clone())));
        assert_eq!((stock(&products, &mug).await, stock(&products, &tea).await), ((0, 50), (950, 50)));
    }

    async fn two_instances_make_a_reservation_once(database: TestDatabase) {
        let (one, other) = (open(&database.url).await, open(&database.url).await);
        let products = stores(&one).0;
        let stores = [stores(&one).1, stores(&other).1];
        let mug = product(&products, "A", 50).await;
        let same = new(&[(&mug, 2)]);
        let made = join_all((0..20).map(|number| stores[number % 2].reserve(same.clone(), Utc::now()))).await;
        assert!(made.iter().all(|outcome| outcome.as_ref().unwrap().is_ok()), "{made:?}");
        assert_eq!(stock(&products, &mug).await, (48, 2));
        let made = made[0].as_ref().unwrap().as_ref().unwrap();
        let followed = (0..20).map(|number| {
            let step = match number % 3 {
                0 => placed(made),
                1 => OrderStep::Confirmed,
                _ => OrderStep::Cancelled,
            };
            stores[number % 2].follow(event(made, step), Utc::now())
        });
        for outcome in join_all(followed).await {
            outcome.unwrap();
        }
        assert_eq!(stock(&products, &mug).await, (50, 0));
    }

    async fn the_database_is_the_last_guard(database: TestDatabase) {
        let opened = open(&database.url).await;
        let products = stores(&opened).0;
        let mug = product(&products, "A", 3).await;
        let oversell = "UPDATE stock SET reserved = 4";
        let refused = service_runtime::with_pool!(opened.writer(), |pool| async {
            sqlx::query(oversell).execute(pool).await.map(|_| ())
        });
        assert!(refused.is_err());
        assert_eq!(stock(&products, &mug).await, (3, 0));
    }
}

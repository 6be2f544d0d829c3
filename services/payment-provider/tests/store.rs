//! The guarantees of the store, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::Utc;
use futures::future::join_all;
use payment_provider::SERVICE;
use payment_provider::store::{ChargeStore, Refusal, Stored};
use payment_provider_api::{Charge, ChargeCreate, ChargeId, ChargeStatus, Refund, RefundCreate};
use serde_json::json;
use service_runtime::database::Connections;
use service_testing::{Kind, TestDatabase, on_both_databases};
use uuid::Uuid;

use ChargeStatus::{Cancelled, Declined, Succeeded};

async fn store(database: &TestDatabase) -> ChargeStore {
    ChargeStore::new(SERVICE.open(&database.url, 10).await.unwrap())
}

/// Two instances of the service.
async fn stores(database: &TestDatabase) -> [ChargeStore; 2] {
    [store(database).await, store(database).await]
}

fn new_charge(amount: i64, reference: &str) -> ChargeCreate {
    serde_json::from_value(json!({
        "charge_id": Uuid::new_v4().to_string(), "amount": { "amount": amount, "currency": "EUR" },
        "payment_method": "tok_ok", "reference": reference,
    }))
    .unwrap()
}

async fn charge(store: &ChargeStore, new: &ChargeCreate) -> Result<Stored<Charge>, Refusal> {
    store.charge(new.clone(), Succeeded, Utc::now()).await.unwrap()
}

async fn cancel(store: &ChargeStore, id: &ChargeId) -> Stored<Charge> {
    store.cancel(id, Utc::now()).await.unwrap()
}

async fn find(store: &ChargeStore, id: &ChargeId) -> Charge {
    store.find(id).await.unwrap().unwrap().charge
}

fn has_content_of(charge: &Charge, new: &ChargeCreate) -> bool {
    charge.amount.as_ref() == Some(&new.amount) && charge.reference.as_ref() == Some(&new.reference)
}

fn new_refund(amount: i64, currency: &str) -> RefundCreate {
    let id = Uuid::new_v4().to_string();
    serde_json::from_value(json!({ "refund_id": id, "amount": { "amount": amount, "currency": currency } })).unwrap()
}

async fn refund(store: &ChargeStore, charge: &ChargeCreate, new: &RefundCreate) -> Result<Stored<Refund>, Refusal> {
    store.refund(&charge.charge_id, new, Utc::now()).await.unwrap()
}

fn too_large(left: i64) -> Refusal {
    Refusal::TooLarge { left, currency: "EUR".parse().unwrap() }
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_statement() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let store = ChargeStore::new(opened.clone());
    let new = new_charge(1998, "orders/1");
    assert!(store.fail_first(&new.charge_id).await.unwrap());
    cancel(&store, &new_charge(1998, "orders/1").charge_id).await;
    for is_new in [true, false] {
        assert_eq!(charge(&store, &new).await.unwrap().is_new, is_new);
    }
    let half = new_refund(999, "EUR");
    for is_new in [true, false] {
        assert_eq!(refund(&store, &new, &half).await.unwrap().is_new, is_new);
    }
    for reference in [None, Some(&new.reference)] {
        assert_eq!(store.list_before(7, reference, 1).await.unwrap().len(), 1);
    }
    let statements = service_testing::check_index_scans(&opened).await.unwrap();
    // Charges: write, read again, cancel, find, two lists. Refunds: update, write, find. First failures.
    let own = ["charges", "refunds"];
    assert_eq!(statements.iter().filter(|sql| own.iter().any(|table| sql.contains(table))).count(), 10);
}

#[tokio::test]
async fn sqlite_reads_every_list_along_an_index() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let Connections::Sqlite(pool) = &opened.reader().connections else { panic!("not SQLite") };
    for (rest, along) in [
        ("id < 7 ORDER BY id DESC", "INTEGER PRIMARY KEY (rowid<?)"),
        ("reference = 'a' AND id < 7 ORDER BY id DESC", "charges_by_reference (reference=? AND id<?)"),
    ] {
        let explain = format!("EXPLAIN QUERY PLAN SELECT * FROM charges WHERE {rest} LIMIT 2");
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(explain)).fetch_all(pool).await.unwrap();
        assert!(plan.len() == 1 && plan[0].3.contains(along), "{rest}: {plan:?}");
    }
}

on_both_databases! {
    async fn a_stored_charge_is_found_as_written(database: TestDatabase) {
        let store = store(&database).await;
        let new = new_charge(1998, "orders/1");
        let made = charge(&store, &new).await.unwrap();
        assert!(made.is_new);
        assert_eq!((made.value.status, made.value.refunded.get()), (Succeeded, 0));
        assert!(has_content_of(&made.value, &new));
        let found = store.find(&new.charge_id).await.unwrap().unwrap();
        assert_eq!((found.charge, found.payment_method), (made.value, new.payment_method));
        assert_eq!(store.find(&new_charge(1, "a").charge_id).await.unwrap(), None);
    }

    async fn concurrent_equal_charges_make_one(database: TestDatabase) {
        let stores = stores(&database).await;
        let new = new_charge(1998, "orders/1");
        let made = join_all((0..40).map(|number| charge(&stores[number % 2], &new))).await;
        let made: Vec<Stored<Charge>> = made.into_iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(made.iter().filter(|made| made.is_new).count(), 1);
        assert!(made.iter().all(|other| other.value == made[0].value));
        assert_eq!(stores[0].list_before(i64::MAX, None, 10).await.unwrap().len(), 1);
    }

    async fn instances_that_make_the_same_charges_do_not_deadlock(database: TestDatabase) {
        let stores = stores(&database).await;
        let new: Vec<ChargeCreate> = (1..=100).map(|amount| new_charge(amount, "orders/1")).collect();
        let (one, other) = tokio::join!(
            join_all(new.iter().map(|new| charge(&stores[0], new))),
            join_all(new.iter().rev().map(|new| charge(&stores[1], new))),
        );
        for (number, (one, other)) in one.into_iter().zip(other.into_iter().rev()).enumerate() {
            let (one, other) = (one.unwrap(), other.unwrap());
            assert!(one.is_new != other.is_new && one.value == other.value, "{number}: {one:?}, {other:?}");
        }
    }

    async fn an_id_belongs_to_one_content(database: TestDatabase) {
        let store = store(&database).await;
        let new = new_charge(1998, "orders/1");
        let made = charge(&store, &new).await.unwrap().value;
        let others = [
            ChargeCreate { amount: new_charge(1999, "a").amount, ..new.clone() },
            ChargeCreate { reference: "orders/2".parse().unwrap(), ..new.clone() },
            ChargeCreate { payment_method: None, ..new.clone() },
            ChargeCreate { amount: new_refund(1998, "USD").amount, ..new.clone() },
        ];
        for outcome in join_all(others.iter().map(|other| charge(&store, other))).await {
            assert_eq!(outcome, Err(Refusal::ChargeIdTaken));
        }
        assert_eq!(find(&store, &new.charge_id).await, made);
        // Of one batch.
        let new = new_charge(1, "orders/3");
        let other = ChargeCreate { amount: new_charge(2, "a").amount, ..new.clone() };
        let (one, other) = tokio::join!(charge(&store, &new), charge(&store, &other));
        assert!(one.unwrap().is_new);
        assert_eq!(other, Err(Refusal::ChargeIdTaken));
    }

    async fn a_charge_that_was_cancelled_first_is_never_made(database: TestDatabase) {
        let store = store(&database).await;
        let new = new_charge(1998, "orders/1");
        let cancelled = cancel(&store, &new.charge_id).await;
        assert!(cancelled.is_new);
        let Charge { status, amount, reference, created_at, .. } = cancelled.value;
        assert_eq!((status, amount, reference), (Cancelled, None, None));
        let charged = charge(&store, &new).await.unwrap();
        assert!(!charged.is_new);
        assert_eq!((charged.value.status, charged.value.created_at), (Cancelled, created_at));
        assert!(has_content_of(&charged.value, &new));
        assert_eq!(charge(&store, &new).await.unwrap(), charged);
        assert_eq!(cancel(&store, &new.charge_id).await, charged);
        let other = ChargeCreate { payment_method: None, ..new.clone() };
        assert_eq!(charge(&store, &other).await, Err(Refusal::ChargeIdTaken));
        assert_eq!(refund(&store, &new, &new_refund(1, "EUR")).await, Err(Refusal::NotRefundable(Cancelled)));
    }

    async fn what_is_made_or_declined_is_not_cancelled(database: TestDatabase) {
        let store = store(&database).await;
        for status in [Succeeded, Declined] {
            let new = new_charge(1998, "orders/1");
            let made = store.charge(new.clone(), status, Utc::now()).await.unwrap().unwrap();
            assert_eq!(cancel(&store, &new.charge_id).await, Stored { value: made.value, is_new: false });
            assert_eq!(find(&store, &new.charge_id).await.status, status);
        }
    }

    async fn a_charge_and_its_cancellation_have_one_outcome(database: TestDatabase) {
        let stores = stores(&database).await;
        let races = (0..40).map(|number| {
            let (one, other) = (&stores[number % 2], &stores[number / 2 % 2]);
            async move {
                let new = new_charge(1998, "orders/1");
                let (charged, cancelled) = tokio::join!(charge(one, &new), cancel(other, &new.charge_id));
                let (charged, stored) = (charged.unwrap(), find(one, &new.charge_id).await);
                assert_eq!((charged.value.status, cancelled.value.status), (stored.status, stored.status));
                assert!(charged.is_new != cancelled.is_new, "{charged:?}, {cancelled:?}");
                assert!(charged.value == stored && has_content_of(&stored, &new), "{charged:?}, {stored:?}");
            }
        });
        join_all(races).await;
    }

    async fn refunds_never_exceed_the_charge(database: TestDatabase) {
        let stores = stores(&database).await;
        let new = new_charge(10, "orders/1");
        charge(&stores[0], &new).await.unwrap();
        let refunds: Vec<RefundCreate> = (0..20).map(|_| new_refund(3, "EUR")).collect();
        let outcomes =
            join_all(refunds.iter().enumerate().map(|(number, each)| refund(&stores[number % 2], &new, each))).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
        assert_eq!(find(&stores[0], &new.charge_id).await.refunded.get(), 9);
        for (each, outcome) in refunds.iter().zip(outcomes) {
            let stored = stores[0].find_refund(&each.refund_id).await.unwrap();
            assert_eq!(stored, outcome.ok().map(|made| made.value));
        }
    }

    async fn a_repeated_refund_refunds_nothing_more(database: TestDatabase) {
        let stores = stores(&database).await;
        let new = new_charge(10, "orders/1");
        charge(&stores[0], &new).await.unwrap();
        for amount in [4, 6] {
            let same = new_refund(amount, "EUR");
            let made = join_all((0..20).map(|number| refund(&stores[number % 2], &new, &same))).await;
            let made: Vec<Stored<Refund>> = made.into_iter().collect::<Result<_, _>>().unwrap();
            assert_eq!(made.iter().filter(|made| made.is_new).count(), 1);
            assert!(made.iter().all(|other| other.value == made[0].value));
        }
        assert_eq!(find(&stores[0], &new.charge_id).await.refunded.get(), 10);
    }

    async fn a_refund_that_breaks_a_rule_changes_nothing(database: TestDatabase) {
        let store = store(&database).await;
        let (new, other) = (new_charge(10, "orders/1"), new_charge(10, "orders/2"));
        charge(&store, &new).await.unwrap();
        charge(&store, &other).await.unwrap();
        let made = new_refund(4, "EUR");
        refund(&store, &new, &made).await.unwrap();
        for (amount, currency) in [(0, "EUR"), (7, "EUR"), ((1 << 53) - 1, "EUR"), (1, "USD")] {
            let wrong = new_refund(amount, currency);
            assert_eq!(refund(&store, &new, &wrong).await, Err(too_large(6)), "{wrong:?}");
            assert_eq!(store.find_refund(&wrong.refund_id).await.unwrap(), None);
        }
        let changed = RefundCreate { amount: new_refund(5, "EUR").amount, ..made.clone() };
        assert_eq!(refund(&store, &new, &changed).await, Err(Refusal::RefundIdTaken));
        assert_eq!(refund(&store, &other, &made).await, Err(Refusal::RefundIdTaken));
        assert_eq!(refund(&store, &new_charge(1, "a"), &new_refund(1, "EUR")).await, Err(Refusal::ChargeNotFound));
        let refunded = |charge: Charge| charge.refunded.get();
        assert_eq!(refunded(find(&store, &new.charge_id).await), 4);
        assert_eq!(refunded(find(&store, &other.charge_id).await), 0);
        let declined = new_charge(10, "orders/3");
        store.charge(declined.clone(), Declined, Utc::now()).await.unwrap().unwrap();
        assert_eq!(refund(&store, &declined, &new_refund(1, "EUR")).await, Err(Refusal::NotRefundable(Declined)));
    }

    async fn the_database_is_the_last_guard(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 10).await.unwrap();
        let store = ChargeStore::new(opened.clone());
        let (made, cancelled) = (new_charge(10, "orders/1"), new_charge(10, "orders/2"));
        charge(&store, &made).await.unwrap();
        cancel(&store, &cancelled.charge_id).await;
        for wrong in [
            "UPDATE charges SET refunded = 11",
            "UPDATE charges SET status = 'succeeded' WHERE amount IS NULL",
        ] {
            let refused = service_runtime::with_pool!(opened.writer(), |pool| async {
                sqlx::query(wrong).execute(pool).await.map(drop)
            });
            assert!(refused.is_err(), "{wrong}");
        }
    }

    async fn one_request_for_a_charge_is_the_first_to_fail(database: TestDatabase) {
        let stores = stores(&database).await;
        let id = new_charge(10, "orders/1").charge_id;
        let first = join_all((0..20).map(|number| stores[number % 2].fail_first(&id))).await;
        assert_eq!(first.into_iter().filter(|first| *first.as_ref().unwrap()).count(), 1);
        assert!(stores[0].fail_first(&new_charge(10, "orders/1").charge_id).await.unwrap());
    }

    async fn a_list_has_the_newest_first_below_a_number(database: TestDatabase) {
        let store = store(&database).await;
        for reference in ["orders/1", "orders/2", "orders/1", "orders/1"] {
            charge(&store, &new_charge(10, reference)).await.unwrap();
        }
        cancel(&store, &new_charge(10, "orders/1").charge_id).await;
        let list = async |before: i64, reference: Option<&str>, limit: i64| -> Vec<i64> {
            let reference = reference.map(|reference| reference.parse().unwrap());
            let rows = store.list_before(before, reference.as_ref(), limit).await.unwrap();
            rows.iter().map(|row| row.number).collect()
        };
        assert_eq!(list(i64::MAX, None, 10).await, [5, 4, 3, 2, 1]);
        assert_eq!(list(4, None, 2).await, [3, 2]);
        assert_eq!(list(i64::MAX, Some("orders/1"), 10).await, [4, 3, 1]);
        assert_eq!(list(4, Some("orders/1"), 1).await, [3]);
        assert_eq!(list(i64::MAX, Some("orders"), 10).await, [0_i64; 0]);
    }
}

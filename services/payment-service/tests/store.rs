//! The guarantees of the store, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::{DateTime, TimeDelta, Utc};
use contract::money::Money;
use futures::future::join_all;
use payment_service::SERVICE;
use payment_service::store::{
    ChargeOutcome, Filter, NewPayment, PaymentStore, Refusal, Task, TaskKind, TaskMetrics, Turn,
};
use payment_service_api::{FailureReason, OrderId, Payment, PaymentCreate, PaymentStatus, RefundStatus};
use service_runtime::database::Database;
use service_runtime::events::Inbox;
use service_testing::{Kind, TestDatabase, on_both_databases, outbox, types_and_data};

async fn open(database: &TestDatabase) -> (Database, PaymentStore) {
    let opened = SERVICE.open(&database.url, 10).await.unwrap();
    (opened.clone(), PaymentStore::new(opened, SERVICE.outbox().unwrap(), Inbox::default()))
}

fn eur(amount: i64) -> Money {
    Money { amount: amount.try_into().unwrap(), currency: "EUR".parse().unwrap() }
}

fn order(id: i64) -> OrderId {
    id.try_into().unwrap()
}

/// What an order is paid by an event.
fn new(order_id: i64) -> NewPayment {
    NewPayment {
        order_id: order(order_id),
        user_id: 1.try_into().unwrap(),
        amount: eur(3996),
        payment_method: None,
        traceparent: None,
    }
}

/// What an order is paid by a request.
fn asked(order_id: i64, amount: Money) -> PaymentCreate {
    let (order_id, user_id) = (order(order_id), 1.try_into().unwrap());
    PaymentCreate { order_id, user_id, amount, payment_method: "tok_ok".parse().unwrap() }
}

async fn pay(store: &PaymentStore, order_id: i64) -> Payment {
    store.pay_by_event(format!("placed {order_id}"), new(order_id), Utc::now()).await.unwrap().unwrap()
}

async fn cancel(store: &PaymentStore, order_id: i64) {
    store.cancel_order(&format!("cancelled {order_id}"), order(order_id), None, Utc::now()).await.unwrap();
}

/// What is due now or soon, claimed.
async fn claim(store: &PaymentStore, turn: Turn) -> Vec<Task> {
    store.claim(turn, 100, Utc::now() + TimeDelta::hours(1), TimeDelta::zero()).await.unwrap()
}

async fn claim_one(store: &PaymentStore) -> Task {
    let mut tasks = claim(store, Turn::First).await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks.remove(0)
}

async fn charged(store: &PaymentStore, order_id: i64) -> Payment {
    pay(store, order_id).await;
    let task = claim_one(store).await;
    store.settle(task, ChargeOutcome::Charged, Utc::now()).await.unwrap().unwrap()
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_statement() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let store = PaymentStore::new(opened.clone(), SERVICE.outbox().unwrap(), Inbox::default());
    let of_order = Filter { order_id: Some(order(1)), ..Filter::default() };
    let of_user = Filter { user_id: Some(1.try_into().unwrap()), ..Filter::default() };
    let failed = Filter { status: Some(PaymentStatus::Failed), ..Filter::default() };
    let all_of_it = Filter { user_id: of_user.user_id, status: failed.status, ..of_order };
    for filter in [Filter::default(), of_order, of_user, failed, all_of_it] {
        assert_eq!(store.list_before(i64::MAX, filter, 20).await.unwrap(), []);
    }
    let payment = charged(&store, 1).await;
    let (refund, _) = store.refund(payment.id, Some(eur(1)), Utc::now(), None, None).await.unwrap().unwrap();
    let task = claim_one(&store).await;
    store.postpone(&task, Utc::now(), Utc::now()).await.unwrap();
    store.name_charge(&task, "name").await.unwrap();
    assert!(store.settle_refund(&task, true, Utc::now()).await.unwrap());
    cancel(&store, 1).await;
    assert!(store.settle_refund(&claim_one(&store).await, false, Utc::now()).await.unwrap());
    assert!(store.find_refund(payment.id, refund.id).await.unwrap().is_some());
    let refused = store.refund(payment.id, Some(eur(0)), Utc::now(), None, None).await.unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::TooLarge(eur(3995)));
    service_testing::check_index_scans(&opened).await.unwrap();
}

on_both_databases! {
    async fn a_stored_payment_is_read_back_and_to_be_charged(database: TestDatabase) {
        let (_, store) = open(&database).await;
        let now: DateTime<Utc> = "2026-01-01T12:00:00.123456789Z".parse().unwrap();
        let new = NewPayment { payment_method: Some("tok_ok".parse().unwrap()), ..new(7) };
        let payment = store.pay_by_event("an event".to_owned(), new, now).await.unwrap().unwrap();
        assert_eq!((payment.id.get(), payment.order_id.get(), payment.status), (1, 7, PaymentStatus::Pending));
        assert_eq!((&payment.amount, &payment.refunded), (&eur(3996), &eur(0)));
        assert_eq!((payment.created_at, payment.updated_at), (now.into(), now.into()));
        assert_eq!(store.find(payment.id).await.unwrap(), Some(payment.clone()));
        let task = claim_one(&store).await;
        assert_eq!((task.kind, task.payment_id, task.attempts), (TaskKind::Charge, payment.id, 1));
        assert_eq!((task.amount, task.payment_method.unwrap().as_str()), (eur(3996), "tok_ok"));
        assert_eq!(task.charge_id.len(), 36);
        // It is not the first time any more, and the same is asked for again.
        assert!(claim(&store, Turn::First).await.is_empty());
        let again = claim(&store, Turn::Again).await;
        assert_eq!((&again[0].charge_id, again[0].attempts), (&task.charge_id, 2));
    }

    async fn an_order_has_one_live_payment(database: TestDatabase) {
        let (_, store) = open(&database).await;
        // Some of them share a batch, and an event comes twice.
        let events = (0..10).map(|number| store.pay_by_event(format!("event {}", number % 9), new(1), Utc::now()));
        let requests = (0..10).map(|_| store.pay(asked(1, eur(1)), Utc::now(), None, None));
        let (by_events, by_requests) = tokio::join!(join_all(events), join_all(requests));
        let by_events = by_events.into_iter().filter_map(Result::unwrap).count();
        let by_requests: Vec<_> = by_requests.into_iter().map(Result::unwrap).collect();
        let (stored, refused): (Vec<_>, Vec<_>) = by_requests.into_iter().partition(Result::is_ok);
        assert_eq!(by_events + stored.len(), 1);
        assert!(refused.into_iter().all(|refused| refused.unwrap_err() == Refusal::AlreadyPaid));
        // A failed one makes room.
        store.settle(claim_one(&store).await, ChargeOutcome::Declined, Utc::now()).await.unwrap().unwrap();
        store.pay(asked(1, eur(3996)), Utc::now(), None, None).await.unwrap().unwrap();
        assert_eq!(store.list_before(i64::MAX, Filter::default(), 10).await.unwrap().len(), 2);
    }

    async fn a_cancelled_order_is_not_paid_even_if_it_comes_later(database: TestDatabase) {
        let (_, store) = open(&database).await;
        cancel(&store, 1).await;
        assert_eq!(store.pay_by_event("placed 1".to_owned(), new(1), Utc::now()).await.unwrap(), None);
        let refused = store.pay(asked(1, eur(1)), Utc::now(), None, None).await.unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::OrderCancelled);
        assert!(claim(&store, Turn::First).await.is_empty());
    }

    async fn a_free_order_is_paid_without_the_provider(database: TestDatabase) {
        let (opened, store) = open(&database).await;
        let free = NewPayment { amount: eur(0), ..new(1) };
        let payment = store.pay_by_event("placed".to_owned(), free, Utc::now()).await.unwrap().unwrap();
        assert_eq!(payment.status, PaymentStatus::Completed);
        assert!(claim(&store, Turn::First).await.is_empty());
        assert_eq!(types_and_data(&outbox(&opened).await)[0].0, "payment.completed");
    }

    async fn an_outcome_is_stored_once_with_its_event(database: TestDatabase) {
        let (opened, store) = open(&database).await;
        for id in 1..=3 {
            pay(&store, id).await;
        }
        let tasks = claim(&store, Turn::First).await;
        let outcomes = [ChargeOutcome::Charged, ChargeOutcome::Declined, ChargeOutcome::Cancelled];
        // Two processes have claimed each of them.
        let settle = || tasks.iter().zip(outcomes).map(|(task, outcome)| store.settle(task.clone(), outcome, Utc::now()));
        let settled = join_all(settle().chain(settle())).await;
        assert_eq!(settled.into_iter().filter_map(Result::unwrap).count(), 3);
        let read = async |id: i64| {
            let payment = store.find(id.try_into().unwrap()).await.unwrap().unwrap();
            (payment.status, payment.failure_reason)
        };
        assert_eq!(read(1).await, (PaymentStatus::Completed, None));
        assert_eq!(read(2).await, (PaymentStatus::Failed, Some(FailureReason::Declined)));
        assert_eq!(read(3).await, (PaymentStatus::Failed, Some(FailureReason::OrderCancelled)));
        let events = outbox(&opened).await;
        let mut types: Vec<&str> = types_and_data(&events).iter().map(|(name, _)| *name).collect();
        types.sort_unstable();
        assert_eq!(types, ["payment.completed", "payment.failed", "payment.failed"]);
        assert!(claim(&store, Turn::Again).await.is_empty());
    }

    async fn an_outcome_of_one_payment_leaves_the_others_waiting(database: TestDatabase) {
        let (_, store) = open(&database).await;
        for id in 1..=3 {
            pay(&store, id).await;
        }
        let tasks = claim(&store, Turn::First).await;
        store.settle(tasks[1].clone(), ChargeOutcome::Charged, Utc::now()).await.unwrap().unwrap();
        let mut waiting: Vec<i64> = claim(&store, Turn::Again).await.into_iter().map(|task| task.id).collect();
        waiting.sort_unstable();
        assert_eq!(waiting, [tasks[0].id, tasks[2].id]);
    }

    async fn a_cancelled_order_is_refunded_whichever_comes_first(database: TestDatabase) {
        let (_, store) = open(&database).await;
        for id in 1..=20 {
            pay(&store, id).await;
            let task = claim_one(&store).await;
            // The provider has charged it; its answer and the cancellation come at the same time.
            let settle = async { store.settle(task, ChargeOutcome::Charged, Utc::now()).await.unwrap() };
            let (settled, ()) = tokio::join!(settle, cancel(&store, id));
            assert_eq!(settled.unwrap().status, PaymentStatus::Completed);
            let refund = claim_one(&store).await;
            assert_eq!((refund.kind, &refund.amount), (TaskKind::Refund, &eur(3996)), "{id}");
            assert!(store.settle_refund(&refund, true, Utc::now()).await.unwrap());
            let payment = store.find(refund.payment_id).await.unwrap().unwrap();
            assert_eq!((payment.status, payment.refunded), (PaymentStatus::Refunded, eur(3996)));
        }
    }

    async fn what_is_not_charged_yet_is_cancelled_with_its_order(database: TestDatabase) {
        let (_, store) = open(&database).await;
        let payment = pay(&store, 1).await;
        let claimed = claim_one(&store).await;
        let now = Utc::now();
        store.postpone(&claimed, now, now + TimeDelta::hours(5)).await.unwrap();
        cancel(&store, 1).await;
        // An attempt that has begun before does not put it off.
        store.postpone(&claimed, Utc::now(), Utc::now() + TimeDelta::hours(5)).await.unwrap();
        let task = claim(&store, Turn::Again).await.remove(0);
        assert_eq!((task.kind, task.charge_id == claimed.charge_id), (TaskKind::Cancel, true));
        // Without an outcome its order is still not paid by another payment.
        assert_eq!(store.find(payment.id).await.unwrap().unwrap().status, PaymentStatus::Pending);
    }

    async fn a_charge_has_one_name_at_the_provider(database: TestDatabase) {
        let (_, store) = open(&database).await;
        pay(&store, 1).await;
        let task = claim_one(&store).await;
        assert!(store.name_charge(&task, "one").await.unwrap());
        assert!(!store.name_charge(&task, "other").await.unwrap());
        assert_eq!(claim(&store, Turn::Again).await.remove(0).provider_reference.as_deref(), Some("one"));
    }

    async fn refunds_add_up_to_at_most_what_was_paid(database: TestDatabase) {
        let (opened, store) = open(&database).await;
        let payment = charged(&store, 1).await;
        let refunds = (0..20).map(|_| store.refund(payment.id, Some(eur(1000)), Utc::now(), None, None));
        let made: Vec<_> = join_all(refunds).await.into_iter().filter_map(|refund| refund.unwrap().ok()).collect();
        assert_eq!(made.len(), 3);
        let refused = store.refund(payment.id, Some(eur(997)), Utc::now(), None, None).await.unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::TooLarge(eur(996)));
        let jpy = Money { currency: "JPY".parse().unwrap(), ..eur(1) };
        let refused = store.refund(payment.id, Some(jpy), Utc::now(), None, None).await.unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::TooLarge(eur(996)));
        // The provider refuses one of them, makes the others, and then the rest is asked for.
        let tasks = claim(&store, Turn::First).await;
        for (task, is_made) in tasks.iter().zip([false, true, true]) {
            assert!(store.settle_refund(task, is_made, Utc::now()).await.unwrap());
            assert!(!store.settle_refund(task, is_made, Utc::now()).await.unwrap());
        }
        let failed = store.find_refund(payment.id, tasks[0].refund.as_ref().unwrap().0).await.unwrap().unwrap();
        assert_eq!(failed.status, RefundStatus::Failed);
        assert_eq!(store.find(payment.id).await.unwrap().unwrap().refunded, eur(2000));
        let (rest, _) = store.refund(payment.id, None, Utc::now(), None, None).await.unwrap().unwrap();
        assert_eq!(rest.amount, eur(1996));
        let refused = store.refund(payment.id, None, Utc::now(), None, None).await.unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::NotRefundable(PaymentStatus::Completed));
        assert!(store.settle_refund(&claim_one(&store).await, true, Utc::now()).await.unwrap());
        assert_eq!(store.find(payment.id).await.unwrap().unwrap().status, PaymentStatus::Refunded);
        let events = outbox(&opened).await;
        let remaining: Vec<_> = events.iter().filter_map(|event| event["data"]["remaining"]["amount"].as_i64()).collect();
        assert_eq!(remaining, [2996, 1996, 0]);
    }

    async fn a_pending_payment_is_not_refunded(database: TestDatabase) {
        let (_, store) = open(&database).await;
        let payment = pay(&store, 1).await;
        let refused = store.refund(payment.id, None, Utc::now(), None, None).await.unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::NotRefundable(PaymentStatus::Pending));
        let absent = store.refund(99.try_into().unwrap(), None, Utc::now(), None, None).await.unwrap();
        assert_eq!(absent.unwrap_err(), Refusal::NotFound);
    }

    async fn what_waits_for_an_outcome_is_counted(database: TestDatabase) {
        let (_, store) = open(&database).await;
        assert!(store.waiting().await.unwrap().is_empty());
        let first = pay(&store, 1).await;
        pay(&store, 2).await;
        let waiting = store.waiting().await.unwrap();
        let charges = TaskMetrics { waiting: 2, oldest: Some(first.created_at.into()) };
        assert_eq!(waiting.into_iter().collect::<Vec<_>>(), [("charge".to_owned(), charges)]);
    }

    async fn payments_are_listed_newest_first_and_filtered(database: TestDatabase) {
        let (_, store) = open(&database).await;
        for id in 1..=3 {
            pay(&store, id).await;
        }
        let list = async |before, filter, limit| {
            let listed = store.list_before(before, filter, limit).await.unwrap();
            listed.iter().map(|payment| payment.id.get()).collect::<Vec<_>>()
        };
        assert_eq!(list(i64::MAX, Filter::default(), 2).await, [3, 2]);
        assert_eq!(list(2, Filter::default(), 2).await, [1]);
        assert_eq!(list(i64::MAX, Filter { order_id: Some(order(2)), ..Filter::default() }, 9).await, [2]);
        assert_eq!(list(i64::MAX, Filter { status: Some(PaymentStatus::Failed), ..Filter::default() }, 9).await, [0_i64; 0]);
    }
}

//! The guarantees of the store, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use notification_service::SERVICE;
use notification_service::store::{Backlog, Due, Filter, NewEvent, NotificationStore};
use notification_service_api::Channel::{Email, Sms};
use notification_service_api::{Notification, NotificationReason, NotificationStatus};
use service_runtime::database::Connections;
use service_runtime::events::Inbox;
use service_testing::{Kind, TestDatabase, on_both_databases};
use uuid::Uuid;

use NotificationStatus::{Failed, Queued, Sent, Suppressed};

const LEASE: TimeDelta = TimeDelta::minutes(5);

async fn store(database: &TestDatabase) -> NotificationStore {
    NotificationStore::new(SERVICE.open(&database.url, 10).await.unwrap(), Inbox::default())
}

/// Queues an e-mail and an SMS about a confirmed order at the time `at`; returns the event's id.
async fn queue(store: &NotificationStore, user_id: i64, order_id: i64, at: DateTime<Utc>) -> String {
    let id = Uuid::new_v4().to_string();
    assert!(store.queue(event(&id, user_id, order_id), &[Email, Sms], at).await.unwrap());
    id
}

fn event(id: &str, user_id: i64, order_id: i64) -> NewEvent<'_> {
    let (event_type, data, traceparent) = ("order.confirmed", r#"{"a": "ß"}"#, Some("00-1-2-01"));
    NewEvent { id, event_type, user_id, order_id: Some(order_id), data, traceparent }
}

async fn claim(store: &NotificationStore, limit: i64, at: DateTime<Utc>) -> Vec<Due> {
    store.claim(Email, limit, at, LEASE).await.unwrap()
}

async fn list(store: &NotificationStore, filter: Filter) -> Vec<Notification> {
    store.list_before(i64::MAX, filter, 100).await.unwrap()
}

fn filter(user: Option<i64>, order: Option<i64>, status: Option<NotificationStatus>) -> Filter {
    Filter { user_id: user.map(|id| id.try_into().unwrap()), order_id: order.map(|id| id.try_into().unwrap()), status }
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_statement() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let store = NotificationStore::new(opened.clone(), Inbox::default());
    let now = Utc::now();
    assert_eq!(store.find(1.try_into().unwrap()).await.unwrap(), None);
    for (user, order, status) in every_filter() {
        assert_eq!(store.list_before(7, filter(user, order, status), 20).await.unwrap(), []);
    }
    queue(&store, 1, 1, now).await;
    let due = claim(&store, 1, now).await.remove(0);
    store.postpone(&due, now).await.unwrap();
    store.end(&due, Sent, None, now).await.unwrap();
    store.suppress_user("an event", 1, now).await.unwrap();
    service_testing::check_index_scans(&opened).await.unwrap();
}

fn every_filter() -> Vec<(Option<i64>, Option<i64>, Option<NotificationStatus>)> {
    let ids = [None, Some(1)];
    let with_user = |user| ids.into_iter().map(move |order| (user, order));
    let pairs = ids.into_iter().flat_map(with_user);
    pairs.flat_map(|(user, order)| [None, Some(Queued)].map(|status| (user, order, status))).collect()
}

#[tokio::test]
async fn sqlite_reads_every_list_and_what_is_due_along_an_index() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let Connections::Sqlite(pool) = &opened.reader().connections else { panic!("not SQLite") };
    for (condition, along) in [
        ("id < 7", "INTEGER PRIMARY KEY (rowid<?)"),
        (
            "id < 7 AND order_id = 1 AND +user_id = 1 AND +status = 'sent'",
            "notifications_by_order (order_id=? AND id<?)",
        ),
        ("id < 7 AND user_id = 1 AND +status = 'sent'", "notifications_by_user (user_id=? AND id<?)"),
        ("id < 7 AND status = 'sent'", "notifications_by_status (status=? AND id<?)"),
    ] {
        let explain =
            format!("EXPLAIN QUERY PLAN SELECT * FROM notifications WHERE {condition} ORDER BY id DESC LIMIT 2");
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(explain)).fetch_all(pool).await.unwrap();
        assert!(plan.len() == 1 && plan[0].3.contains(along), "{condition}: {plan:?}");
    }
    let due = "EXPLAIN QUERY PLAN SELECT id FROM notifications
         WHERE status = 'queued' AND channel = 'sms' AND next_attempt_at <= 7 ORDER BY next_attempt_at LIMIT 2";
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(due).fetch_all(pool).await.unwrap();
    assert!(plan.len() == 1 && plan[0].3.contains("notifications_due"), "{plan:?}");
}

on_both_databases! {
    async fn an_event_is_queued_once_for_each_channel(database: TestDatabase) {
        let store = store(&database).await;
        let now = Utc::now();
        let id = queue(&store, 7, 8, now).await;
        assert!(!store.queue(event(&id, 7, 8), &[Email, Sms], now).await.unwrap());
        let listed = list(&store, Filter::default()).await;
        assert_eq!(listed.iter().map(|row| row.channel).collect::<Vec<_>>(), [Sms, Email]);
        for row in &listed {
            assert_eq!((row.event_id.as_str(), row.event_type.as_str()), (id.as_str(), "order.confirmed"));
            assert_eq!((row.user_id.get(), row.order_id.unwrap().get(), row.attempts.get()), (7, 8, 0));
            assert_eq!((row.status, row.reason, row.created_at), (Queued, None, row.updated_at));
            assert_eq!(store.find(row.id).await.unwrap().as_ref(), Some(row));
        }
    }

    /// The inbox is purged after some days.
    async fn an_event_that_the_inbox_has_forgotten_is_not_queued_again(database: TestDatabase) {
        let store = store(&database).await;
        let id = queue(&store, 7, 8, Utc::now()).await;
        let opened = SERVICE.open(&database.url, 1).await.unwrap();
        let forget = "DELETE FROM inbox";
        service_runtime::with_pool!(opened.writer(), |pool| async { sqlx::query(forget).execute(pool).await.map(drop) })
            .unwrap();
        store.queue(event(&id, 7, 8), &[Email, Sms], Utc::now()).await.unwrap();
        assert_eq!(list(&store, Filter::default()).await.len(), 2);
    }

    async fn the_oldest_are_claimed_first_and_each_by_one(database: TestDatabase) {
        let store = store(&database).await;
        let now = Utc::now();
        let mut ids = Vec::new();
        for age in [1, 3, 2] {
            ids.push((age, queue(&store, 7, 8, now - TimeDelta::seconds(age)).await));
        }
        let first = claim(&store, 2, now).await;
        let ages = |claimed: &[Due]| -> Vec<i64> {
            claimed.iter().map(|due| ids.iter().find(|(_, id)| *id == due.event_id).unwrap().0).collect()
        };
        assert_eq!(ages(&first), [3, 2]);
        assert_eq!((first[0].attempts, first[0].user_id, first[0].data.as_str()), (1, 7, r#"{"a": "ß"}"#));
        assert_eq!(first[0].traceparent.as_deref(), Some("00-1-2-01"));
        assert_eq!(ages(&claim(&store, 2, now).await), [1]);
        assert_eq!(claim(&store, 2, now + LEASE - TimeDelta::seconds(1)).await, []);
        // Whoever claimed them is dead.
        let again = claim(&store, 9, now + LEASE).await;
        assert_eq!((ages(&again), again[0].attempts), (vec![3, 2, 1], 2));
    }

    async fn concurrent_claims_share_nothing(database: TestDatabase) {
        let (store, other) = (store(&database).await, store(&database).await);
        let now = Utc::now();
        for _ in 0..20 {
            queue(&store, 7, 8, now).await;
        }
        let claims = (0..8).map(|number| if number % 2 == 0 { claim(&store, 5, now) } else { claim(&other, 5, now) });
        let claimed: Vec<i64> = join_all(claims).await.into_iter().flatten().map(|due| due.id).collect();
        assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), claimed.len(), "{claimed:?}");
        let mut left = claimed.len();
        while left < 20 {
            left += claim(&store, 5, now).await.len();
        }
        assert_eq!(left, 20);
    }

    async fn a_postponed_one_is_due_later(database: TestDatabase) {
        let store = store(&database).await;
        let now = Utc::now();
        queue(&store, 7, 8, now).await;
        let due = claim(&store, 1, now).await.remove(0);
        store.postpone(&due, now + TimeDelta::seconds(9)).await.unwrap();
        assert_eq!(claim(&store, 1, now + TimeDelta::seconds(8)).await, []);
        assert_eq!(claim(&store, 1, now + TimeDelta::seconds(9)).await[0].attempts, 2);
    }

    async fn who_was_overtaken_changes_nothing(database: TestDatabase) {
        let store = store(&database).await;
        let now = Utc::now();
        queue(&store, 7, 8, now).await;
        let late = claim(&store, 1, now).await.remove(0);
        let current = claim(&store, 1, now + LEASE).await.remove(0);
        assert!(!store.end(&late, Failed, Some(NotificationReason::Refused), now).await.unwrap());
        store.postpone(&late, now).await.unwrap();
        assert_eq!(claim(&store, 1, now + LEASE).await, []);
        assert!(store.end(&current, Sent, None, now).await.unwrap());
    }

    async fn an_end_is_final_and_leaves_no_data(database: TestDatabase) {
        let store = store(&database).await;
        let now = Utc::now();
        queue(&store, 7, 8, now).await;
        let (due, later) = (claim(&store, 1, now).await.remove(0), now + TimeDelta::days(1));
        assert!(store.end(&due, Failed, Some(NotificationReason::Refused), now).await.unwrap());
        assert!(!store.end(&due, Sent, None, later).await.unwrap());
        store.postpone(&due, now).await.unwrap();
        assert_eq!(claim(&store, 1, later).await, []);
        let ended = store.find(due.id.try_into().unwrap()).await.unwrap().unwrap();
        assert_eq!((ended.status, ended.reason), (Failed, Some(NotificationReason::Refused)));
        assert_eq!(store.backlog().await.unwrap().get("email"), None);
        let waiting = store.backlog().await.unwrap()["sms"];
        assert_eq!((waiting.queued, waiting.oldest.is_some()), (1, true));
        assert_ne!(waiting, Backlog::default());
        let opened = SERVICE.open(&database.url, 1).await.unwrap();
        let select = "SELECT data FROM notifications WHERE status = 'failed'";
        let data: Vec<(String,)> =
            service_runtime::with_pool!(opened.reader(), |pool| sqlx::query_as(select).fetch_all(pool)).unwrap();
        assert_eq!(data, [(String::new(),)]);
    }

    async fn what_is_queued_for_a_deleted_user_is_suppressed_once(database: TestDatabase) {
        let store = store(&database).await;
        let now = Utc::now();
        queue(&store, 7, 8, now).await;
        queue(&store, 9, 8, now).await;
        store.suppress_user("an event", 7, now).await.unwrap();
        let suppressed = list(&store, filter(Some(7), None, Some(Suppressed))).await;
        assert_eq!(suppressed.len(), 2);
        assert_eq!(suppressed[0].reason, Some(NotificationReason::UserDeleted));
        assert_eq!(list(&store, filter(None, None, Some(Queued))).await.len(), 2);
        queue(&store, 7, 8, now).await;
        store.suppress_user("an event", 7, now).await.unwrap();
        assert_eq!(list(&store, filter(Some(7), None, Some(Queued))).await.len(), 2);
    }

    async fn a_list_has_what_its_filter_says_below_an_id(database: TestDatabase) {
        let store = store(&database).await;
        for (user, order) in [(1, 1), (1, 2), (2, 1)] {
            queue(&store, user, order, Utc::now()).await;
        }
        let oldest = claim(&store, 1, Utc::now()).await.remove(0);
        store.end(&oldest, Sent, None, Utc::now()).await.unwrap();
        for (user, order, status) in every_filter() {
            let expected: Vec<i64> = [(6, 2, 1), (5, 2, 1), (4, 1, 2), (3, 1, 2), (2, 1, 1), (1, 1, 1)]
                .into_iter()
                .filter(|row| user.is_none_or(|user| user == row.1) && order.is_none_or(|order| order == row.2))
                .map(|row| row.0)
                .filter(|id| status.is_none() || *id != 1)
                .collect();
            let listed = list(&store, filter(user, order, status)).await;
            assert_eq!(listed.iter().map(|row| row.id.get()).collect::<Vec<_>>(), expected, "{user:?} {order:?} {status:?}");
            let below = store.list_before(4, filter(user, order, status), 2).await.unwrap();
            let expected: Vec<i64> = expected.into_iter().filter(|id| *id < 4).take(2).collect();
            assert_eq!(below.iter().map(|row| row.id.get()).collect::<Vec<_>>(), expected);
        }
    }
}

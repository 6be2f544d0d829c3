//! The guarantees of the store, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::Utc;
use service_testing::{Kind, TestDatabase, on_both_databases};
use widget_service::SERVICE;
use widget_service::store::WidgetStore;
use widget_service_api::{Widget, WidgetCreate};

async fn store(database: &TestDatabase) -> WidgetStore {
    WidgetStore::new(SERVICE.open(&database.url, 10).await.unwrap(), SERVICE.outbox().unwrap())
}

async fn insert(store: &WidgetStore, name: &str) -> Widget {
    store.insert(&WidgetCreate { name: name.parse().unwrap() }, Utc::now(), None, None).await.unwrap().0
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_statement() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let store = WidgetStore::new(opened.clone(), SERVICE.outbox().unwrap());
    assert_eq!(store.find(1.try_into().unwrap()).await.unwrap(), None);
    assert_eq!(store.list_after(0, 20).await.unwrap(), []);
    insert(&store, "First widget").await;
    service_testing::check_index_scans(&opened).await.unwrap();
}

on_both_databases! {
    async fn a_stored_widget_is_found_as_written(database: TestDatabase) {
        let store = store(&database).await;
        let widget = insert(&store, "First widget").await;
        assert_eq!((widget.id.get(), widget.name.as_str()), (1, "First widget"));
        assert_eq!(store.find(widget.id).await.unwrap(), Some(widget));
        assert_eq!(store.find(2.try_into().unwrap()).await.unwrap(), None);
    }

    async fn a_list_starts_after_an_id_and_is_bounded(database: TestDatabase) {
        let store = store(&database).await;
        for name in ["a", "b", "c"] {
            insert(&store, name).await;
        }
        let listed = store.list_after(1, 1).await.unwrap();
        assert_eq!(listed.iter().map(|widget| widget.id.get()).collect::<Vec<_>>(), [2]);
    }
}

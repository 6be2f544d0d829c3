//! Tests every method of the store, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::{DateTime, TimeDelta, Utc};
use contract::precondition::IfMatch;
use product_service::SERVICE;
use product_service::store::{Filter, ProductStore};
use product_service_api::{Product, ProductCreate, ProductReplace};
use service_runtime::database::{Connections, DatabaseError};
use service_testing::{Kind, TestDatabase, on_both_databases};

const ANY: IfMatch = IfMatch(None);

async fn store(database: &TestDatabase) -> ProductStore {
    ProductStore::new(SERVICE.open(&database.url, 10).await.unwrap(), SERVICE.outbox().unwrap())
}

fn mug(sku: &str, category: &str, stock: i64) -> ProductCreate {
    serde_json::from_value(serde_json::json!({
        "sku": sku, "name": "Blue mug", "description": "Ünï ‘quoted’", "category": category,
        "price": { "amount": 1998, "currency": "EUR" }, "stock": stock,
    }))
    .unwrap()
}

fn replacement(sku: &str) -> ProductReplace {
    serde_json::from_value(serde_json::json!({
        "sku": sku, "name": "Red mug", "category": "office", "price": { "amount": 0, "currency": "JPY" },
    }))
    .unwrap()
}

async fn insert(store: &ProductStore, sku: &str, category: &str, stock: i64) -> Product {
    store.insert(&mug(sku, category, stock), Utc::now(), None, None).await.unwrap().0
}

fn ids(products: &[Product]) -> Vec<i64> {
    products.iter().map(|product| product.id.get()).collect()
}

fn filter(ids: Option<&str>, category: Option<&str>, in_stock: Option<bool>) -> Filter {
    let (ids, category) = (ids.map(|ids| ids.parse().unwrap()), category.map(|category| category.parse().unwrap()));
    Filter { ids, category, in_stock, search: None }
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_statement() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let store = ProductStore::new(opened.clone(), SERVICE.outbox().unwrap());
    let product = insert(&store, "A", "kitchen", 1).await;
    assert!(store.find(product.id).await.unwrap().is_some());
    assert_eq!(store.find_each(&[product.id]).await.unwrap().len(), 1);
    assert_eq!(store.categories().await.unwrap().len(), 1);
    // Searches have plans of another kind, which their own test checks.
    for category in [None, Some("kitchen")] {
        for ids in [None, Some("1")] {
            for in_stock in [None, Some(true), Some(false)] {
                store.list_before(i64::MAX, &filter(ids, category, in_stock), 20).await.unwrap();
            }
        }
    }
    let version = Some(vec![product.version]);
    assert!(store.update(product.id, &IfMatch(version), &replacement("B"), Utc::now(), None).await.unwrap().is_some());
    assert!(store.delete(product.id, Utc::now(), None).await.unwrap());
    service_testing::check_index_scans(&opened).await.unwrap();
}

on_both_databases! {
    async fn a_stored_product_is_found_as_written(database: TestDatabase) {
        let store = store(&database).await;
        let new = mug("MUG-01", "kitchen", 250);
        let (product, _) = store.insert(&new, Utc::now(), None, None).await.unwrap();
        assert_eq!((&product.sku, &product.name, &product.description), (&new.sku, &new.name, &new.description));
        assert_eq!((&product.category, &product.price), (&new.category, &new.price));
        assert_eq!((product.stock.get(), product.reserved.get(), product.version.get()), (250, 0, 1));
        assert_eq!(store.find(product.id).await.unwrap(), Some(product));
        assert_eq!(store.find(2.try_into().unwrap()).await.unwrap(), None);
    }

    async fn a_sku_belongs_to_one_product(database: TestDatabase) {
        let store = store(&database).await;
        let first = insert(&store, "A", "kitchen", 1).await;
        let again = store.insert(&mug("A", "office", 1), Utc::now(), None, None).await;
        assert!(matches!(again, Err(DatabaseError::UniqueViolation)), "{again:?}");
        let second = insert(&store, "B", "kitchen", 1).await;
        let taken = store.update(second.id, &ANY, &replacement("A"), Utc::now(), None).await;
        assert!(matches!(taken, Err(DatabaseError::UniqueViolation)), "{taken:?}");
        assert_eq!(store.find(second.id).await.unwrap().as_ref(), Some(&second));
        // Its own SKU is not taken, and that of a deleted product is free again.
        assert!(store.update(second.id, &ANY, &replacement("B"), Utc::now(), None).await.unwrap().is_some());
        assert!(store.delete(first.id, Utc::now(), None).await.unwrap());
        assert!(store.update(second.id, &ANY, &replacement("A"), Utc::now(), None).await.unwrap().is_some());
    }

    async fn a_replacement_keeps_stock_and_makes_a_version(database: TestDatabase) {
        let store = store(&database).await;
        let product = insert(&store, "A", "kitchen", 7).await;
        let replaced = store.update(product.id, &ANY, &replacement("B"), Utc::now(), None).await.unwrap().unwrap();
        assert_eq!((replaced.id, replaced.stock, replaced.version.get()), (product.id, product.stock, 2));
        assert_eq!((replaced.sku.as_str(), replaced.description.as_ref()), ("B", None));
        assert_eq!(store.find(product.id).await.unwrap(), Some(replaced));
        assert_eq!(store.update(9.try_into().unwrap(), &ANY, &replacement("C"), Utc::now(), None).await.unwrap(), None);
    }

    async fn only_the_version_that_was_read_is_replaced(database: TestDatabase) {
        let store = store(&database).await;
        let product = insert(&store, "A", "kitchen", 7).await;
        let version = |versions: &[i64]| IfMatch(Some(versions.iter().map(|v| (*v).try_into().unwrap()).collect()));
        for wrong in [&[][..], &[2], &[2, 3]] {
            let refused = store.update(product.id, &version(wrong), &replacement("B"), Utc::now(), None).await.unwrap();
            assert_eq!(refused, None, "{wrong:?}");
        }
        assert_eq!(store.find(product.id).await.unwrap().as_ref(), Some(&product));
        assert!(store.update(product.id, &version(&[3, 1]), &replacement("B"), Utc::now(), None).await.unwrap().is_some());
        assert_eq!(store.update(product.id, &version(&[1]), &replacement("C"), Utc::now(), None).await.unwrap(), None);
    }

    async fn a_change_is_never_before_the_last(database: TestDatabase) {
        let store = store(&database).await;
        let product = insert(&store, "A", "kitchen", 7).await;
        let earlier = Utc::now() - TimeDelta::hours(1);
        let replaced = store.update(product.id, &ANY, &replacement("A"), earlier, None).await.unwrap().unwrap();
        assert!(DateTime::from(replaced.updated_at) > earlier);
        assert!(replaced.updated_at >= product.updated_at);
    }

    async fn a_deleted_product_is_gone_with_its_stock(database: TestDatabase) {
        let opened = SERVICE.open(&database.url, 10).await.unwrap();
        let store = ProductStore::new(opened.clone(), SERVICE.outbox().unwrap());
        let product = insert(&store, "A", "kitchen", 7).await;
        assert!(store.delete(product.id, Utc::now(), None).await.unwrap());
        assert!(!store.delete(product.id, Utc::now(), None).await.unwrap());
        assert_eq!(store.find(product.id).await.unwrap(), None);
        let count = "SELECT COUNT(*) FROM stock";
        let left: i64 = match &opened.writer().connections {
            Connections::Postgres(pool) => sqlx::query_scalar(count).fetch_one(pool).await.unwrap(),
            Connections::Sqlite(pool) => sqlx::query_scalar(count).fetch_one(pool).await.unwrap(),
        };
        assert_eq!(left, 0);
        assert!(insert(&store, "A", "kitchen", 7).await.id > product.id);
    }

    async fn a_list_has_what_matches_every_filter(database: TestDatabase) {
        let store = store(&database).await;
        for (sku, category, stock) in [("A", "a", 1), ("B", "b", 0), ("C", "b", 1), ("D", "a-b", 0), ("E", "b", 1)] {
            insert(&store, sku, category, stock).await;
        }
        for (wanted, filter) in [
            (&[5, 4, 3, 2, 1][..], filter(None, None, None)),
            (&[5, 3, 2], filter(None, Some("b"), None)),
            (&[], filter(None, Some("c"), None)),
            (&[5, 3], filter(None, Some("b"), Some(true))),
            (&[4, 2], filter(None, None, Some(false))),
            (&[5, 2, 1], filter(Some("1,5,2,77,5"), None, None)),
            (&[5, 2], filter(Some("1,2,5,10000000000000000000000"), Some("b"), None)),
            (&[2], filter(Some("1,2,5"), Some("b"), Some(false))),
        ] {
            assert_eq!(ids(&store.list_before(i64::MAX, &filter, 10).await.unwrap()), wanted, "{filter:?}");
            // Each page continues where the last one ended.
            let mut paged: Vec<i64> = Vec::new();
            while let [next] = store.list_before(paged.last().copied().unwrap_or(i64::MAX), &filter, 1).await.unwrap().as_slice() {
                paged.push(next.id.get());
            }
            assert_eq!(paged, wanted, "{filter:?}");
        }
    }
}

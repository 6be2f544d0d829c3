//! Tests every method of the store, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::Utc;
use service_runtime::database::DatabaseError;
use service_testing::{Kind, TestDatabase, on_both_databases};
use user_service::SERVICE;
use user_service::store::UserStore;
use user_service_api::{Channel, Contact, EmailAddress, User, UserCreate, UserId, UserName};

async fn store(database: &TestDatabase) -> UserStore {
    UserStore::new(SERVICE.open(&database.url, 10).await.unwrap(), SERVICE.outbox().unwrap())
}

fn email(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn id(id: i64) -> UserId {
    id.try_into().unwrap()
}

async fn try_insert(store: &UserStore, address: &str, full_name: &str) -> Result<User, DatabaseError> {
    let user = UserCreate { email: email(address), name: name(full_name) };
    store.insert(&user, Utc::now(), None, None).await.map(|(user, _)| user)
}

fn contact(phone: Option<&str>, language: &str, channels: &[Channel]) -> Contact {
    let phone = phone.map(|phone| phone.parse().unwrap());
    Contact { phone, language: language.parse().unwrap(), channels: channels.to_vec() }
}

async fn insert(store: &UserStore, address: &str) -> User {
    try_insert(store, address, "John Doe").await.unwrap()
}

#[tokio::test]
async fn postgres_plans_an_index_scan_for_every_statement() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = SERVICE.open(&database.url, 1).await.unwrap();
    let store = UserStore::new(opened.clone(), SERVICE.outbox().unwrap());
    assert_eq!(store.find(id(1)).await.unwrap(), None);
    assert_eq!(store.find_by_email(&email("a@example.com")).await.unwrap(), None);
    assert_eq!(store.list_after(0, 20).await.unwrap(), []);
    assert_eq!(store.update(id(1), &email("a@example.com"), &name("John Doe")).await.unwrap(), None);
    assert_eq!(store.find_contact(id(1)).await.unwrap(), None);
    assert!(!store.update_contact(id(1), &contact(None, "en", &[])).await.unwrap());
    assert!(!store.delete(id(1), Utc::now(), None).await.unwrap());
    let user = insert(&store, "a@example.com").await;
    assert!(store.delete(user.id, Utc::now(), None).await.unwrap());

    opened.ping().await.unwrap();
    let statements = service_testing::check_index_scans(&opened).await.unwrap();
    assert_eq!(statements.len(), 11, "{statements:?}");
}

on_both_databases! {
    async fn an_inserted_user_is_read_back_unchanged(database: TestDatabase) {
        let store = store(&database).await;
        let user = try_insert(&store, "John@Example.COM", "Jöhn 🦀 O'Dœ; --").await.unwrap();
        assert_eq!(user.id, id(1));
        assert_eq!(user.email.as_str(), "John@Example.COM");
        assert_eq!(user.name.as_str(), "Jöhn 🦀 O'Dœ; --");
        assert_eq!(store.find(id(1)).await.unwrap(), Some(user));
        assert_eq!(store.find(id(2)).await.unwrap(), None);
        assert_eq!(store.find(id(UserId::MAX)).await.unwrap(), None);
    }

    async fn a_contact_is_read_back_unchanged_and_belongs_to_one_user(database: TestDatabase) {
        let store = store(&database).await;
        let (one, other) = (insert(&store, "a@example.com").await, insert(&store, "b@example.com").await);
        let initial = contact(None, "en", &[Channel::Email]);
        for stored in [
            initial.clone(),
            contact(Some("+14155550123"), "de", &[Channel::Email, Channel::Sms]),
            contact(Some("+14155550123"), "de", &[]),
            contact(None, "en", &[]),
        ] {
            assert!(store.update_contact(one.id, &stored).await.unwrap());
            assert_eq!(store.find_contact(one.id).await.unwrap(), Some(stored));
            assert_eq!(store.find_contact(other.id).await.unwrap(), Some(initial.clone()));
        }
        store.update(one.id, &email("c@example.com"), &name("Jane Doe")).await.unwrap().unwrap();
        assert_eq!(store.find_contact(one.id).await.unwrap(), Some(contact(None, "en", &[])));
    }

    async fn a_name_stored_under_older_rules_stays_readable(database: TestDatabase) {
        let store = store(&database).await;
        let user = UserCreate { email: email("a@example.com"), name: UserName::from_stored("\u{3164}".to_owned()) };
        let (stored, _) = store.insert(&user, Utc::now(), None, None).await.unwrap();
        assert_eq!(store.find(stored.id).await.unwrap(), Some(stored));
    }

    async fn an_email_address_is_unique_regardless_of_case(database: TestDatabase) {
        let store = store(&database).await;
        insert(&store, "john@example.com").await;
        let refused = try_insert(&store, "JOHN@example.com", "Other").await;
        assert!(matches!(refused, Err(DatabaseError::UniqueViolation)), "{refused:?}");
        assert_eq!(store.list_after(0, 10).await.unwrap().len(), 1);
    }

    async fn one_of_twenty_concurrent_inserts_of_an_address_succeeds(database: TestDatabase) {
        let store = store(&database).await;
        let attempts = (0..20).map(|_| {
            let store = store.clone();
            async move { try_insert(&store, "john@example.com", "John Doe").await }
        });
        let results = futures::future::join_all(attempts).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let refused = results.iter().filter(|result| matches!(result, Err(DatabaseError::UniqueViolation)));
        assert_eq!(refused.count(), 19, "{results:?}");
    }

    async fn a_user_is_found_by_address_regardless_of_case(database: TestDatabase) {
        let store = store(&database).await;
        let user = insert(&store, "john@example.com").await;
        assert_eq!(store.find_by_email(&email("John@EXAMPLE.com")).await.unwrap(), Some(user));
        assert_eq!(store.find_by_email(&email("jane@example.com")).await.unwrap(), None);
    }

    async fn users_are_listed_in_id_order_after_the_given_id(database: TestDatabase) {
        let store = store(&database).await;
        for number in 1..=5 {
            insert(&store, &format!("u{number}@example.com")).await;
        }
        let ids = |users: Vec<User>| users.iter().map(|user| user.id.get()).collect::<Vec<_>>();
        assert_eq!(ids(store.list_after(0, 2).await.unwrap()), [1, 2]);
        assert_eq!(ids(store.list_after(2, 10).await.unwrap()), [3, 4, 5]);
        assert_eq!(ids(store.list_after(5, 10).await.unwrap()), [0_i64; 0]);
    }

    async fn the_existing_users_of_many_ids_are_found_in_id_order(database: TestDatabase) {
        let store = store(&database).await;
        for number in 1..=5 {
            insert(&store, &format!("u{number}@example.com")).await;
        }
        let find = async |ids: &[i64]| {
            let users = store.find_each(ids.iter().copied().map(id).collect()).await.unwrap();
            users.iter().map(|user| user.id.get()).collect::<Vec<_>>()
        };
        assert_eq!(find(&[2, 4, 7, UserId::MAX]).await, [2, 4]);
        assert_eq!(find(&[6]).await, [0_i64; 0]);
        assert_eq!(find(&[]).await, [0_i64; 0]);
        // Concurrent lookups share a statement and still get only their own users.
        let lists = futures::future::join_all([find(&[1, 2]), find(&[2, 9]), find(&[]), find(&[5])]).await;
        assert_eq!(lists, [vec![1, 2], vec![2], vec![], vec![5]]);
    }

    async fn an_update_replaces_address_and_name(database: TestDatabase) {
        let store = store(&database).await;
        let user = insert(&store, "john@example.com").await;
        let updated = store.update(user.id, &email("JOHN@example.com"), &name("Johnny")).await.unwrap().unwrap();
        assert_eq!((updated.id, updated.email.as_str(), updated.name.as_str()), (user.id, "JOHN@example.com", "Johnny"));
        assert_eq!(store.find(user.id).await.unwrap(), Some(updated));
        assert_eq!(store.update(id(99), &email("x@example.com"), &name("X")).await.unwrap(), None);
    }

    async fn an_update_to_an_address_in_use_changes_nothing(database: TestDatabase) {
        let store = store(&database).await;
        insert(&store, "john@example.com").await;
        let jane = insert(&store, "jane@example.com").await;
        let refused = store.update(jane.id, &email("John@example.com"), &name("Jane")).await;
        assert!(matches!(refused, Err(DatabaseError::UniqueViolation)), "{refused:?}");
        assert_eq!(store.find(jane.id).await.unwrap(), Some(jane));
    }

    async fn a_deleted_user_is_not_found_and_its_id_is_not_reused(database: TestDatabase) {
        let store = store(&database).await;
        let user = insert(&store, "john@example.com").await;
        assert!(store.delete(user.id, Utc::now(), None).await.unwrap());
        assert!(!store.delete(user.id, Utc::now(), None).await.unwrap());
        assert_eq!(store.find(user.id).await.unwrap(), None);
        let again = insert(&store, "john@example.com").await;
        assert!(again.id > user.id);
    }

    async fn users_survive_reopening_the_database(database: TestDatabase) {
        let user = insert(&store(&database).await, "john@example.com").await;
        assert_eq!(store(&database).await.find(user.id).await.unwrap(), Some(user));
    }
}

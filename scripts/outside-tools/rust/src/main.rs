//! What every client must be able to do: the steps of scripts/outside-tools/python/scenario.py.

mod clients;

use std::collections::HashSet;

use clients::{Page, Refused};
use order_service::models::OrderStatus;

/// An id that is not in use.
const UNKNOWN: i64 = 999999999999;
/// A list that has more pages than this does not end.
const MAX_PAGES: usize = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // The reason is the last line.
    std::panic::set_hook(Box::new(|panic| eprintln!("{}", panic.to_string().replace('\n', " "))));
    let client = clients::Clients::new();
    let run_id = uuid::Uuid::new_v4();
    let emails: Vec<_> = (0..5).map(|number| format!("{number}-{run_id}@example.com")).collect();
    let mut users = Vec::new();
    for email in &emails {
        users.push(client.create_user(email, "Ada Lovelace", Some(format!("user-{email}"))).await.unwrap());
    }
    let (ada, email) = (users[0], &emails[0]);
    let repeated = client.create_user(email, "Ada Lovelace", Some(format!("user-{email}"))).await;
    assert_eq!(repeated.unwrap(), ada, "a repeated key creates no user");
    assert_eq!(client.user(ada).await.unwrap(), (email.clone(), "Ada Lovelace".to_owned()));
    let replaced = client.replace_user(ada, email, "Ada King").await;
    assert_eq!(replaced.unwrap(), (email.clone(), "Ada King".to_owned()));
    expect_refused(client.create_user(&emails[1], "Grace", None).await, 409, "email_taken");
    let found = pages(async |limit, token| client.users(limit, token).await).await;
    expect_all(&users, &found);

    let key = |number| Some(format!("order-{number}-{run_id}"));
    let mut orders = Vec::new();
    for number in 0..5 {
        orders.push(client.create_order(ada, key(number)).await.unwrap());
    }
    let first = orders[0];
    assert_eq!(client.create_order(ada, key(0)).await.unwrap(), first, "a repeated key places no order");
    assert_eq!(client.order_status(first).await.unwrap(), OrderStatus::Created);
    assert_eq!(client.set_status(first, OrderStatus::Confirmed).await.unwrap(), OrderStatus::Confirmed);
    assert_eq!(client.cancel(first).await.unwrap(), OrderStatus::Cancelled);
    expect_refused(client.set_status(first, OrderStatus::Completed).await, 409, "invalid_transition");
    expect_refused(client.create_order(UNKNOWN, None).await, 404, "user_not_found");
    let found = pages(async |limit, token: Option<String>| {
        // The token contains the user.
        let user = token.is_none().then_some(ada);
        client.orders(user, limit, token).await
    });
    let found = found.await;
    expect_all(&orders, &found);
    assert_eq!(found.len(), orders.len(), "a filter finds nothing else");
    expect_refused(client.order_status(UNKNOWN).await, 404, "order_not_found");

    for user in users {
        client.delete_user(user).await.unwrap();
    }
    expect_refused(client.user(ada).await, 404, "user_not_found");
}

fn expect_refused<T: std::fmt::Debug>(result: Result<T, Refused>, status: u16, error_code: &str) {
    let refused = result.expect_err(error_code);
    assert_eq!((refused.status, refused.error_code.as_str()), (status, error_code));
}

/// The ids of a list that is read two items a page.
async fn pages(list: impl AsyncFn(Option<i64>, Option<String>) -> Result<Page, Refused>) -> Vec<i64> {
    let mut page = list(Some(2), None).await.unwrap();
    let mut ids = page.ids.clone();
    let mut count = 1;
    while let Some(token) = page.next {
        assert_eq!(page.ids.len(), 2, "a page that is not the last is full");
        assert!(count < MAX_PAGES, "a list ends");
        page = list(None, Some(token)).await.unwrap();
        ids.extend(&page.ids);
        count += 1;
    }
    assert!(page.ids.len() <= 2, "the last page is no longer than the others");
    ids
}

fn expect_all(created: &[i64], found: &[i64]) {
    let different: HashSet<_> = found.iter().collect();
    assert_eq!(different.len(), found.len(), "no id is found twice");
    assert!(created.iter().all(|id| different.contains(id)), "everything is found");
}

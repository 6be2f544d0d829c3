//! What a person sees who has just started the platform.

use std::time::SystemTime;

use service_runtime::database::DatabaseUrl;
use service_runtime::server::Server;

/// Prints what runs where, and three commands to try. On stderr: stdout is the log.
pub(crate) fn print(
    users: &Server,
    users_database: &DatabaseUrl,
    orders: &Server,
    orders_database: &DatabaseUrl,
    first_start: bool,
) {
    let (users_url, orders_url) = (users.url(), orders.url());
    let row = |name: &str, url: &str, document: &str, database: &str| {
        format!("  {name:<14} {url:<22} {document:<35} {database}\n")
    };
    let mut text = row("SERVICE", "URL", "DOCUMENT", "DATABASE");
    for (server, database) in [(users, users_database), (orders, orders_database)] {
        let url = server.url();
        text += &row(server.service_name(), &url, &format!("{url}/openapi.json"), &database.to_string());
    }
    let email = example_email(first_start);
    eprintln!(
        "\n{text}
Read the docs, and send requests from them:

  {users_url}/docs
  {orders_url}/docs

Try it: create a user, place an order for user 1, read order 1.

  curl -i {users_url}/api/v1/users -H 'Content-Type: application/json' -d '{{\"email\": \"{email}\", \"name\": \"John Doe\"}}'
  curl -i {orders_url}/api/v1/orders -H 'Content-Type: application/json' -d '{{\"user_id\": 1, \"product_id\": 456, \"quantity\": 2}}'
  curl -i {orders_url}/api/v1/orders/1

Ctrl-C stops everything.
"
    );
}

/// An address that no user has yet: the first one may have been taken by pasting the same line at an earlier start.
fn example_email(first_start: bool) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if first_start { "user@example.com".to_owned() } else { format!("user{now}@example.com") }
}

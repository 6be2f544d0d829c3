//! The text on the terminal of a person who has just started the platform.

use std::time::SystemTime;

use service_runtime::server::Server;
use service_runtime::stderr;

use crate::config::Config;

/// Prints what runs where, and commands to try. On stderr: stdout is the log.
pub(crate) fn print(servers: &[Server], config: &Config, first_start: bool) {
    let width = servers.iter().map(|server| server.service_name().len()).max().unwrap_or_default();
    let row = |name: &str, url: &str, document: &str, database: &str| {
        format!("  {name:<width$} {url:<22} {document:<35} {database}\n")
    };
    let mut table = row("SERVICE", "URL", "DOCUMENT", "DATABASE");
    let mut docs = String::new();
    for server in servers {
        let (name, url) = (server.service_name(), server.url());
        table += &row(name, &url, &format!("{url}/openapi.json"), &config.database(name).to_string());
        docs += &format!("  {url}/docs\n");
    }
    let example = example(servers, config, first_start);
    stderr::print(format_args!(
        "\n{table}\nRead the docs, and send requests from them:\n\n{docs}{example}\nCtrl-C stops everything.\n"
    ));
}

/// Commands that show what the platform does.
fn example(servers: &[Server], config: &Config, first_start: bool) -> String {
    let url = |name: &str| servers.iter().find(|server| server.service_name() == name).map(Server::url);
    let (Some(users), Some(products), Some(orders), Some(payments), Some(notifications)) = (
        url("user-service"),
        url("product-service"),
        url("order-service"),
        url("payment-service"),
        url("notification-service"),
    ) else {
        return String::new();
    };
    let email = example_email(first_start);
    // Of an older data directory it is not known which products it has.
    let note = if config.wants_demo(first_start) { "" } else { "\nProducts 1 and 2 are those that --demo creates.\n" };
    let messages = config.messages();
    let messages = messages.display();
    let json = "-H 'Content-Type: application/json'";
    let items = r#"[{"product_id": 1, "quantity": 2}, {"product_id": 2, "quantity": 1}]"#;
    format!(
        "
Try it: list products, create a user, order two products for user 1, read order 1 (it is paid by itself, and confirmed a
moment later), list its payments, list what user 1 was sent.

  curl -i '{products}/api/v1/products?search=blue'
  curl -i {users}/api/v1/users {json} -d '{{\"email\": \"{email}\", \"name\": \"John Doe\"}}'
  curl -i {orders}/api/v1/orders {json} -d '{{\"user_id\": 1, \"items\": {items}}}'
  curl -i {orders}/api/v1/orders/1
  curl -i '{payments}/api/v1/payments?order_id=1'
  curl -i '{notifications}/api/v1/notifications?user_id=1'
{note}
Messages are files in {messages}, or are sent to where SMTP_URL and SMS_URL say.
No money moves unless Stripe is configured.
"
    )
}

/// An e-mail address that no user has yet: after the first start the usual one may be taken.
fn example_email(first_start: bool) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if first_start { "user@example.com".to_owned() } else { format!("user{now}@example.com") }
}

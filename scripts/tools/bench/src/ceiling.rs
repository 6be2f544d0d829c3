//! The throughput of PostgreSQL alone: pgbench runs the prepared statement of the operation, one per transaction.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use service_testing::Cluster;

use crate::data::{CATEGORIES, HOT_PRODUCT, PEER_WORDS, PRODUCTS, USERS};
use crate::plan::Operation;
use crate::platform::ORDERS;

/// Time for connecting, which pgbench includes in its duration but not in its rate.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// The result of pgbench.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ceiling {
    pub(crate) transactions: f64,
    pub(crate) transactions_per_s: f64,
    pub(crate) failed: u64,
}

/// Whether this PostgreSQL has pgbench.
pub(crate) fn is_installed(cluster: &Cluster) -> bool {
    cluster.program("pgbench").exists()
}

/// Runs the statement of `operation` over so many connections to the database of its service at `url`. `None`: no
/// transaction completed.
pub(crate) fn measure(
    cluster: &Cluster,
    url: &str,
    operation: Operation,
    connections: usize,
    duration: Duration,
) -> Result<Option<Ceiling>> {
    let mut pgbench = Command::new(cluster.program("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--file=-"])
        .arg(format!("--client={connections}"))
        .arg(format!("--jobs={}", connections.min(2)))
        .arg(format!("--time={}", (duration + CONNECT_TIME).as_secs()))
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = pgbench.stdin.take() {
        stdin.write_all(script(operation).as_bytes())?;
    }
    let output = pgbench.wait_with_output()?;
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("number of transactions actually processed: 0\n") {
        return Ok(None);
    }
    parse(&text).map(Some).with_context(|| format!("pgbench printed something unexpected: {text}"))
}

/// The columns of a product, as product-service selects them.
const PRODUCT: &str = "id, sku, name, description, category, price_amount, price_currency, \
     (SELECT on_hand FROM stock WHERE product_id = id), (SELECT reserved FROM stock WHERE product_id = id), \
     version, created_at, updated_at";

/// The statements of the services, with pgbench's parameters. Of a reservation, for which a service needs several
/// statements, the one that would do for a single product.
fn script(operation: Operation) -> String {
    match operation {
        Operation::GetUser => {
            format!("\\set id random(1, {USERS})\nSELECT id, email, name FROM users WHERE id = :id;\n")
        }
        Operation::GetOrder => format!(
            "\\set id random(1, {ORDERS})\n\
             SELECT id, user_id, product_id, quantity, status, created_at, updated_at FROM orders WHERE id = :id;\n"
        ),
        Operation::PostOrder => format!(
            "\\set user random(1, {USERS})\n\
             INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at) \
             VALUES (:user, 456, 2, 'created', now(), now()) \
             RETURNING id, user_id, product_id, quantity, status, created_at, updated_at;\n"
        ),
        Operation::PostOrderOneItem | Operation::PostOrderFiveItems => format!(
            "\\set user random(1, {USERS})\n\
             WITH placed AS (INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at, \
             total_amount, currency, reservation_id) \
             VALUES (:user, 456, 2, 'created', now(), now(), 1998, 'EUR', gen_random_uuid()::text) RETURNING id) \
             INSERT INTO order_items (order_id, line, product_id, name, quantity, unit_amount) \
             SELECT id, line, line, 'Product', 2, 999 FROM placed, generate_series(1, {}) AS line;\n",
            operation.reserved_items()
        ),
        Operation::GetProduct => {
            format!("\\set id random(1, {PRODUCTS})\nSELECT {PRODUCT} FROM products WHERE id = :id;\n")
        }
        Operation::ListProducts => format!(
            "\\set category random(1, {CATEGORIES})\n\
             SELECT {PRODUCT} FROM products WHERE category = 'category-' || :category ORDER BY id DESC LIMIT 21;\n"
        ),
        Operation::SearchProducts => format!(
            "\\set id random(1, {PRODUCTS})\n\
             SELECT {PRODUCT} FROM products WHERE {PEER_WORDS} @@ ('product & ' || :id || ':*')::tsquery \
             ORDER BY id DESC LIMIT 21;\n"
        ),
        Operation::PostReservation => format!(
            "WITH taken AS (UPDATE stock SET reserved = reserved + 1 \
             WHERE product_id = {HOT_PRODUCT} AND on_hand - reserved >= 1 RETURNING product_id) \
             INSERT INTO reservations (id, status, items, due_at, created_at) \
             SELECT gen_random_uuid()::text, 'held', jsonb_build_array(jsonb_build_object( \
             'product_id', product_id, 'quantity', 1))::text, now() + interval '15 minutes', now() FROM taken;\n"
        ),
    }
}

fn parse(text: &str) -> Option<Ceiling> {
    let value = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        // `123 ms`, `123/123`, `12.5 (without initial connection time)`
        rest.trim().split([' ', '/']).next()?.parse::<f64>().ok()
    };
    Some(Ceiling {
        transactions: value("number of transactions actually processed:")?,
        transactions_per_s: value("tps =")?,
        // Printed by PostgreSQL 15 and later; before that a failed transaction ends pgbench.
        failed: value("number of failed transactions:").unwrap_or(0.0) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "pgbench (15.14 (Debian 15.14-0+deb12u1))
transaction type: -
scaling factor: 1
query mode: prepared
number of clients: 32
number of threads: 2
maximum number of tries: 1
duration: 3 s
number of transactions actually processed: 17345
number of failed transactions: 2 (0.012%)
latency average = 5.532 ms
initial connection time = 43.101 ms
tps = 5784.25 (without initial connection time)
";

    #[test]
    fn the_output_of_pgbench_is_parsed() {
        let expected = Ceiling { transactions: 17345.0, transactions_per_s: 5784.25, failed: 2 };
        assert_eq!(parse(OUTPUT), Some(expected));
    }

    #[test]
    fn the_output_of_pgbench_14_is_parsed() {
        let older: String = OUTPUT
            .lines()
            .filter(|line| !line.starts_with("number of failed"))
            .map(|line| line.replace("processed: 17345", "processed: 17345/17345") + "\n")
            .collect();
        assert_eq!(parse(&older).map(|ceiling| (ceiling.transactions, ceiling.failed)), Some((17345.0, 0)));
    }
}

//! Acknowledged writes, and whether they are stored as acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use harness::http::{Client, Reply, get, post};
use serde_json::Value;

use crate::platform::{ORDERS, USERS};

/// A request with an idempotency key that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) path: &'static str,
    pub(crate) key: String,
    pub(crate) body: String,
    pub(crate) reply: Reply,
}

/// The comparison of acknowledged writes with the stored rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Acknowledged, but not stored, or not as acknowledged.
    pub(crate) lost: usize,
    /// Rows of one request beyond the first, acknowledged or not.
    pub(crate) duplicates: usize,
}

/// Every acknowledged write of a run.
#[derive(Debug, Default)]
pub(crate) struct AcknowledgedWrites(Vec<Acknowledged>);

impl AcknowledgedWrites {
    pub(crate) fn add(&mut self, acknowledged: Acknowledged) {
        self.0.push(acknowledged);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Compares all writes with what the services at the `address` of each path have stored.
    pub(crate) async fn audit_all(&self, address: impl Fn(&str) -> SocketAddr) -> Result<Audit> {
        let orders = self.audit(ORDERS, &list(address(ORDERS), ORDERS).await?, "product_id");
        let users = self.audit(USERS, &list(address(USERS), USERS).await?, "email");
        Ok(Audit { lost: orders.lost + users.lost, duplicates: orders.duplicates + users.duplicates })
    }

    /// Compares the acknowledged writes to `path` with all stored `rows`. `unique` is the field in which all requests
    /// differ: an order's product, a user's e-mail address.
    fn audit(&self, path: &str, rows: &[Value], unique: &str) -> Audit {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut by_id = HashMap::new();
        let mut by_unique: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows {
            by_id.insert(row["id"].as_i64(), row);
            *by_unique.entry(text(&row[unique])).or_default() += 1;
        }
        let lost = self.0.iter().filter(|acknowledged| acknowledged.path == path).filter(|acknowledged| {
            let reply = acknowledged.reply.json();
            let id = reply["order_id"].as_i64().or(reply["id"].as_i64());
            let sent: Value = serde_json::from_str(&acknowledged.body).unwrap_or_default();
            let as_sent = |row: &&Value| sent.as_object().is_some_and(|sent| sent.iter().all(|(n, v)| row[n] == *v));
            id.is_none() || by_id.get(&id).filter(|row| as_sent(row)).is_none()
        });
        Audit { lost: lost.count(), duplicates: by_unique.values().map(|count| count - 1).sum() }
    }

    /// Repeats up to `max` acknowledged requests, spread over the run. Returns how many, and how many were answered
    /// differently from the first time, byte for byte.
    pub(crate) async fn replay(&self, address: impl Fn(&str) -> SocketAddr, max: usize) -> Result<(usize, usize)> {
        let step = self.0.len().div_ceil(max.max(1)).max(1);
        let mut different = 0;
        let mut count = 0;
        for acknowledged in self.0.iter().step_by(step) {
            let mut client = Client::new(address(acknowledged.path), Duration::from_secs(5));
            let again = client.send(&post(acknowledged.path, Some(&acknowledged.key), &acknowledged.body)).await?;
            count += 1;
            different += usize::from(!is_replay(&acknowledged.reply, &again));
        }
        Ok((count, different))
    }
}

/// Whether `again` repeats `first` and is marked as a replay.
pub(crate) fn is_replay(first: &Reply, again: &Reply) -> bool {
    same_answer(first, again) && again.header("idempotency-replayed") == Some("true")
}

/// Whether both have the same status, `Location` and body.
pub(crate) fn same_answer(one: &Reply, other: &Reply) -> bool {
    let of = |reply: &Reply| (reply.status, reply.header("location").map(str::to_owned));
    of(one) == of(other) && one.body == other.body
}

/// Reads every page of a list and returns its rows.
pub(crate) async fn list(address: SocketAddr, path: &str) -> Result<Vec<Value>> {
    let mut client = Client::new(address, Duration::from_secs(10));
    let mut rows = Vec::new();
    let mut next = format!("{path}?limit=1000");
    loop {
        let reply = client.send(&get(&next)).await?;
        ensure!(reply.status == 200, "listing {path} was answered with {}", reply.status);
        let mut page = reply.json();
        let Value::Array(items) = page["items"].take() else { bail!("{path} did not answer with a page") };
        rows.extend(items);
        match page["next_page"].as_str() {
            Some(token) => next = format!("{path}?page_token={token}"),
            None => return Ok(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(headers: &str, body: &str) -> Reply {
        Reply { status: 201, head: format!("HTTP/1.1 201 Created\r\n{headers}"), body: body.into() }
    }

    fn writes() -> AcknowledgedWrites {
        let mut writes = AcknowledgedWrites::default();
        for (id, product) in [(1, 10), (2, 20)] {
            writes.add(Acknowledged {
                path: "/orders",
                key: format!("key-{product}"),
                body: json!({"user_id": 1, "product_id": product}).to_string(),
                reply: reply("", &json!({"order_id": id}).to_string()),
            });
        }
        writes
    }

    fn row(id: i64, product: i64) -> Value {
        json!({"id": id, "user_id": 1, "product_id": product, "status": "created"})
    }

    #[test]
    fn rows_as_acknowledged_are_neither_lost_nor_duplicates() {
        let rows = [row(1, 10), row(2, 20), row(3, 30)];
        assert_eq!(writes().audit("/orders", &rows, "product_id"), Audit { lost: 0, duplicates: 0 });
    }

    #[test]
    fn a_missing_or_different_row_is_lost() {
        assert_eq!(writes().audit("/orders", &[row(1, 10)], "product_id").lost, 1);
        assert_eq!(writes().audit("/orders", &[row(1, 10), row(2, 21)], "product_id").lost, 1);
        assert_eq!(writes().audit("/orders", &[], "product_id").lost, 2);
    }

    #[test]
    fn a_second_row_of_a_request_is_a_duplicate() {
        let rows = [row(1, 10), row(2, 20), row(3, 20), row(4, 30), row(5, 30), row(6, 30)];
        assert_eq!(writes().audit("/orders", &rows, "product_id"), Audit { lost: 0, duplicates: 3 });
    }

    #[test]
    fn a_replay_is_byte_identical_and_marked() {
        let first = reply("Location: /1\r\n", "{\"a\":1}");
        assert!(is_replay(&first, &reply("location: /1\r\nIdempotency-Replayed: true\r\n", "{\"a\":1}")));
        for (head, body) in [
            ("Location: /1\r\n", "{\"a\":1}"),
            ("Location: /2\r\nIdempotency-Replayed: true\r\n", "{\"a\":1}"),
            ("Location: /1\r\nIdempotency-Replayed: true\r\n", "{\"a\": 1}"),
        ] {
            assert!(!is_replay(&first, &reply(head, body)), "{head} {body}");
        }
    }
}

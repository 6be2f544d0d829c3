//! What was acknowledged, and whether it is still so.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::http1::{Client, Reply, get, post};

/// A keyed request that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) path: &'static str,
    pub(crate) key: String,
    pub(crate) body: String,
    pub(crate) reply: Reply,
}

/// The judgement of a list of what is stored.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Acknowledged, and not there, or not as acknowledged.
    pub(crate) lost: usize,
    /// Rows beyond the first of one request, acknowledged or not.
    pub(crate) duplicates: usize,
}

/// Every acknowledged request of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Vec<Acknowledged>);

impl Ledger {
    pub(crate) fn add(&mut self, acknowledged: Acknowledged) {
        self.0.push(acknowledged);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Compares what was acknowledged of `path` with all `rows` that are stored. `mark` is the field
    /// that no two requests have in common: an order's product, a user's e-mail address.
    pub(crate) fn audit(&self, path: &str, rows: &[Value], mark: &str) -> Account {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut by_id = HashMap::new();
        let mut by_mark: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows {
            by_id.insert(row["id"].as_i64(), row);
            *by_mark.entry(text(&row[mark])).or_default() += 1;
        }
        let lost = self.0.iter().filter(|acknowledged| acknowledged.path == path).filter(|acknowledged| {
            let answer = acknowledged.reply.json();
            let id = answer["order_id"].as_i64().or(answer["id"].as_i64());
            let asked: Value = serde_json::from_str(&acknowledged.body).unwrap_or_default();
            let as_asked =
                |row: &&Value| asked.as_object().is_some_and(|asked| asked.iter().all(|(n, v)| row[n] == *v));
            id.is_none() || by_id.get(&id).filter(|row| as_asked(row)).is_none()
        });
        Account { lost: lost.count(), duplicates: by_mark.values().map(|count| count - 1).sum() }
    }

    /// Sends up to `most` acknowledged requests again, spread over the run; gives how many, and in how many cases the
    /// answer was not the first one, byte for byte.
    pub(crate) async fn replay(&self, address: impl Fn(&str) -> SocketAddr, most: usize) -> Result<(usize, usize)> {
        let step = self.0.len().div_ceil(most.max(1)).max(1);
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

/// Whether `again` is `first` once more, and says so.
pub(crate) fn is_replay(first: &Reply, again: &Reply) -> bool {
    same_answer(first, again) && again.header("idempotency-replayed") == Some("true")
}

/// Whether both are one answer: status, `Location` and every byte of the body.
pub(crate) fn same_answer(one: &Reply, other: &Reply) -> bool {
    let of = |reply: &Reply| (reply.status, reply.header("location").map(str::to_owned));
    of(one) == of(other) && one.body == other.body
}

/// Every row of a list, page by page.
pub(crate) async fn list(address: SocketAddr, path: &str) -> Result<Vec<Value>> {
    let mut client = Client::new(address, Duration::from_secs(10));
    let mut rows = Vec::new();
    let mut next = format!("{path}?limit=1000");
    loop {
        let reply = client.send(&get(&next)).await?;
        ensure!(reply.status == 200, "{path} answered {} to a list", reply.status);
        let mut page = reply.json();
        let Value::Array(items) = page["items"].take() else { bail!("{path} answered no page") };
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A reply as it would come over the network.
    async fn reply(head: &str, body: &str) -> Reply {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!("HTTP/1.1 201 Created\r\n{head}content-length: {}\r\n\r\n{body}", body.len());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            stream.write_all(text.as_bytes()).await
        });
        Client::new(address, Duration::from_secs(5)).send(&get("/")).await.unwrap()
    }

    async fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for (id, product) in [(1, 10), (2, 20)] {
            ledger.add(Acknowledged {
                path: "/orders",
                key: format!("key-{product}"),
                body: json!({"user_id": 1, "product_id": product}).to_string(),
                reply: reply("", &json!({"order_id": id}).to_string()).await,
            });
        }
        ledger
    }

    fn row(id: i64, product: i64) -> Value {
        json!({"id": id, "user_id": 1, "product_id": product, "status": "created"})
    }

    #[tokio::test]
    async fn what_is_there_as_acknowledged_is_neither_lost_nor_double() {
        let rows = [row(1, 10), row(2, 20), row(3, 30)];
        assert_eq!(ledger().await.audit("/orders", &rows, "product_id"), Account { lost: 0, duplicates: 0 });
    }

    #[tokio::test]
    async fn what_is_missing_or_another_is_lost() {
        assert_eq!(ledger().await.audit("/orders", &[row(1, 10)], "product_id").lost, 1);
        assert_eq!(ledger().await.audit("/orders", &[row(1, 10), row(2, 21)], "product_id").lost, 1);
        assert_eq!(ledger().await.audit("/orders", &[], "product_id").lost, 2);
    }

    #[tokio::test]
    async fn a_second_row_of_one_request_is_a_duplicate_also_if_it_was_never_acknowledged() {
        let rows = [row(1, 10), row(2, 20), row(3, 20), row(4, 30), row(5, 30), row(6, 30)];
        assert_eq!(ledger().await.audit("/orders", &rows, "product_id"), Account { lost: 0, duplicates: 3 });
    }

    #[tokio::test]
    async fn a_replay_is_the_same_to_the_byte_and_says_that_it_is_one() {
        let first = reply("Location: /1\r\n", "{\"a\":1}").await;
        assert!(is_replay(&first, &reply("location: /1\r\nIdempotency-Replayed: true\r\n", "{\"a\":1}").await));
        for (head, body) in [
            ("Location: /1\r\n", "{\"a\":1}"),
            ("Location: /2\r\nIdempotency-Replayed: true\r\n", "{\"a\":1}"),
            ("Location: /1\r\nIdempotency-Replayed: true\r\n", "{\"a\": 1}"),
        ] {
            assert!(!is_replay(&first, &reply(head, body).await), "{head} {body}");
        }
    }
}

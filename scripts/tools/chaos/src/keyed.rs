//! A client that does what the contract tells clients to do: it sends a keyed request again until it knows the outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::http1::{Client, Reply};

/// What came instead of an acknowledgement, and how often.
#[derive(Debug, Default)]
pub(crate) struct Troubles(BTreeMap<String, usize>);

impl Troubles {
    pub(crate) fn add(&mut self, trouble: String) {
        *self.0.entry(trouble).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (trouble, count) in other.0 {
            *self.0.entry(trouble).or_default() += count;
        }
    }

    /// How many in all.
    pub(crate) fn count(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<_> = self.0.iter().map(|(trouble, count)| format!("{count} × {trouble}")).collect();
        f.write_str(if list.is_empty() { "none" } else { "" })?;
        f.write_str(&list.join(", "))
    }
}

/// Sends `request`, which has a key, until it is answered with 201 or refused for good, or `patience` is at its end.
/// Gives the last trouble if there was no 201.
pub(crate) async fn until_acknowledged(
    client: &mut Client,
    request: &[u8],
    patience: Duration,
    random: &mut fastrand::Rng,
    troubles: &mut Troubles,
) -> Result<Reply, String> {
    let begin = Instant::now();
    loop {
        let (trouble, passing) = match client.send(request).await {
            Ok(reply) if reply.status == 201 => return Ok(reply),
            Ok(reply) => {
                let code = reply.json()["error_code"].as_str().unwrap_or("without a code").to_owned();
                let passing = reply.status >= 500 || reply.status == 429 || code == "idempotency_key_in_use";
                (format!("{} {code}", reply.status), passing)
            }
            Err(error) => (error.kind().to_string(), true),
        };
        troubles.add(trouble.clone());
        if !passing || begin.elapsed() > patience {
            return Err(trouble);
        }
        tokio::time::sleep(Duration::from_millis(random.u64(10..60))).await;
    }
}

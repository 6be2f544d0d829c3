//! Sends a request with an idempotency key until its outcome is known, as the contract asks of clients.

use std::time::{Duration, Instant};

use harness::http::{Client, Reply};
use harness::load::error_code;
use harness::measurements::Counts;

/// Sends `request` until it is answered with 201 or refused for good, or `time_limit` has passed. Counts every failure
/// in `failures`, and returns the last one if there was no 201.
pub(crate) async fn until_acknowledged(
    client: &mut Client,
    request: &[u8],
    time_limit: Duration,
    random: &mut fastrand::Rng,
    failures: &mut Counts,
) -> Result<Reply, String> {
    let begin = Instant::now();
    loop {
        let (failure, transient) = match client.send(request).await {
            Ok(reply) if reply.status == 201 => return Ok(reply),
            Ok(reply) => {
                let code = error_code(&reply.body);
                let transient = reply.status >= 500 || reply.status == 429 || code == "idempotency_key_in_use";
                (format!("{} {code}", reply.status), transient)
            }
            Err(error) => (error.kind().to_string(), true),
        };
        failures.add(failure.clone());
        if !transient || begin.elapsed() > time_limit {
            return Err(failure);
        }
        tokio::time::sleep(Duration::from_millis(random.u64(10..60))).await;
    }
}

//! Clients that place orders and create users with idempotency keys, and record what was acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::http::{Client, Reply, post};
use harness::load::error_code;
use harness::measurements::Counts;
use tokio::task::JoinSet;

use crate::acknowledged::{Acknowledged, AcknowledgedWrites};
use crate::platform::{ORDERS, USERS, order, unique, user};

/// The time limit of one attempt, after which a client retries.
const ATTEMPT_TIME_LIMIT: Duration = Duration::from_secs(3);

/// What the writers did.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) acknowledged: AcknowledgedWrites,
    /// The failures of all attempts.
    pub(crate) failures: Counts,
    /// The last failure of each request that was given up.
    pub(crate) failed: Counts,
}

#[derive(Debug)]
struct Shared {
    orders: SocketAddr,
    users: SocketAddr,
    user_ids: Vec<i64>,
    time_limit: Duration,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

/// Running writers; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Writers {
    shared: Arc<Shared>,
    tasks: JoinSet<Written>,
}

impl Writers {
    /// Starts `count` writers against the order-service and the user-service at these addresses. One request in eight
    /// creates a user, the others place orders for `user_ids`. Each is retried for `time_limit`.
    pub(crate) fn start(
        count: usize,
        (orders, users): (SocketAddr, SocketAddr),
        user_ids: Vec<i64>,
        time_limit: Duration,
        random: &mut fastrand::Rng,
    ) -> Self {
        let shared = Arc::new(Shared {
            orders,
            users,
            user_ids,
            time_limit,
            stop: AtomicBool::new(false),
            acknowledged: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            tasks.spawn(write(Arc::clone(&shared), random.fork()));
        }
        Self { shared, tasks }
    }

    /// How many requests were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` further requests are acknowledged.
    pub(crate) async fn progress(&self, more: usize) -> Result<()> {
        let (begin, goal) = (Instant::now(), self.acknowledged() + more);
        while self.acknowledged() < goal {
            let limit = self.shared.time_limit;
            ensure!(begin.elapsed() < limit, "nothing was acknowledged in {limit:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Lets each writer finish its request, and returns what they did.
    pub(crate) async fn finish(mut self) -> Written {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Written::default();
        while let Some(Ok(written)) = self.tasks.join_next().await {
            all.acknowledged.merge(written.acknowledged);
            all.failures.merge(written.failures);
            all.failed.merge(written.failed);
        }
        all
    }
}

async fn write(shared: Arc<Shared>, mut random: fastrand::Rng) -> Written {
    let mut written = Written::default();
    let mut to_orders = Client::new(shared.orders, ATTEMPT_TIME_LIMIT);
    let mut to_users = Client::new(shared.users, ATTEMPT_TIME_LIMIT);
    while !shared.stop.load(Ordering::Relaxed) {
        let number = unique();
        let key = format!("writer {number}");
        let (client, path, body) = if random.u8(0..8) == 0 {
            (&mut to_users, USERS, user(number))
        } else {
            let user_id = random.choice(&shared.user_ids).copied().unwrap_or(1);
            (&mut to_orders, ORDERS, order(user_id, number))
        };
        let request = post(path, Some(&key), &body);
        let failures = &mut written.failures;
        match until_acknowledged(client, &request, shared.time_limit, &mut random, failures).await {
            Ok(reply) => {
                written.acknowledged.add(Acknowledged { path, key, body, reply });
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => written.failed.add(format!("{path}: {failure}")),
        }
    }
    written
}

/// Sends `request`, which has an idempotency key, as the contract asks of clients: until it is answered with 201 or
/// refused for good, or `time_limit` has passed. Counts every failure in `failures`, and returns the last one if there
/// was no 201.
pub(crate) async fn until_acknowledged(
    client: &mut Client,
    request: &[u8],
    time_limit: Duration,
    random: &mut fastrand::Rng,
    failures: &mut Counts,
) -> Result<Reply, String> {
    until_answered(client, request, 201, time_limit, random, failures).await
}

/// [`until_acknowledged`] for any `request` that can be repeated, and the status of success.
pub(crate) async fn until_answered(
    client: &mut Client,
    request: &[u8],
    success: u16,
    time_limit: Duration,
    random: &mut fastrand::Rng,
    failures: &mut Counts,
) -> Result<Reply, String> {
    let begin = Instant::now();
    loop {
        let (failure, transient) = match client.send(request).await {
            Ok(reply) if reply.status == success => return Ok(reply),
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

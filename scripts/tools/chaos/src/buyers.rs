//! Buyers that compete for the stock of one product, through two replicas of product-service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::http::{Client, Reply, get, post};
use harness::load::error_code;
use harness::measurements::Counts;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::platform::unique;

/// The path of the reservations.
const RESERVATIONS: &str = "/api/v1/reservations";
/// How many buyers act at the same time.
const CONCURRENT: usize = 64;
/// The time limit of one attempt, after which a buyer repeats its request.
const ATTEMPT_TIME_LIMIT: Duration = Duration::from_secs(3);
/// The time limit of a request, retries across repeated kills included.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// Only the first buyers release what they got: those who come later must be enough to buy it all.
const RELEASING: usize = 500;

/// A client of both replicas.
#[derive(Debug)]
pub(crate) struct Shopper {
    clients: [Client; 2],
    /// The replica that is asked next.
    replica: usize,
    /// Of attempts, all of which were repeated.
    failures: Counts,
}

impl Shopper {
    pub(crate) fn new(replicas: [SocketAddr; 2]) -> Self {
        let clients = replicas.map(|address| Client::new(address, ATTEMPT_TIME_LIMIT));
        Self { clients, replica: 0, failures: Counts::default() }
    }

    /// Sends `request` until it is answered: after a 5xx, or without an answer, again to the other replica.
    async fn send(&mut self, request: &[u8]) -> Result<Reply> {
        let begin = Instant::now();
        loop {
            let failure = match self.clients[self.replica].send(request).await {
                Ok(reply) if reply.status < 500 => return Ok(reply),
                Ok(reply) => format!("{} {}", reply.status, error_code(&reply.body)),
                Err(error) => error.kind().to_string(),
            };
            ensure!(begin.elapsed() < TIME_LIMIT, "given up after {failure}");
            self.failures.add(failure);
            self.replica = 1 - self.replica;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reserves a piece of `product` under the id `reservation`.
    pub(crate) async fn reserve(&mut self, reservation: &str, product: i64) -> Result<Outcome> {
        let items = format!(r#"[{{"product_id":{product},"quantity":1}}]"#);
        let body = format!(r#"{{"reservation_id":"{reservation}","items":{items}}}"#);
        let reply = self.send(&post(RESERVATIONS, None, &body)).await?;
        Ok(match (reply.status, error_code(&reply.body).as_str()) {
            (201, _) if reply.json()["status"] == "held" => Outcome::Held,
            (409, "insufficient_stock") => Outcome::SoldOut,
            _ => Outcome::Wrong(String::from_utf8_lossy(&reply.body).into_owned()),
        })
    }

    /// Releases a reservation.
    pub(crate) async fn release(&mut self, reservation: &str) -> Result<Outcome> {
        let reply = self.send(&post(&format!("{RESERVATIONS}/{reservation}/release"), None, "")).await?;
        let released = reply.status == 200 && reply.json()["status"] == "released";
        let wrong = || Outcome::Wrong(String::from_utf8_lossy(&reply.body).into_owned());
        Ok(if released { Outcome::Released } else { wrong() })
    }

    /// The status of a reservation; `None`: there is none.
    pub(crate) async fn status(&mut self, reservation: &str) -> Result<Option<String>> {
        let reply = self.send(&get(&format!("{RESERVATIONS}/{reservation}"))).await?;
        match (reply.status, error_code(&reply.body).as_str()) {
            (404, "reservation_not_found") => Ok(None),
            _ => Ok(Some(reply.json()["status"].as_str().context("a reservation has a status")?.to_owned())),
        }
    }

    /// What is in stock of a product and what is reserved, as the replica with this number says.
    pub(crate) async fn stock(&mut self, product: i64, replica: usize) -> Result<(i64, i64)> {
        self.replica = replica;
        let product = self.send(&get(&format!("/api/v1/products/{product}"))).await?.json();
        Ok((
            product["stock"].as_i64().context("a product has a stock")?,
            product["reserved"].as_i64().context("a product has a number of reserved pieces")?,
        ))
    }
}

/// A buyer's last answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has a reservation.
    Held,
    /// It has released its reservation.
    Released,
    /// 409 `insufficient_stock`.
    SoldOut,
    /// Something else, or nothing within the time limit.
    Wrong(String),
}

/// A buyer that was answered.
#[derive(Debug)]
pub(crate) struct Buyer {
    pub(crate) reservation: String,
    pub(crate) outcome: Outcome,
}

/// A reservation id that no other call of a run gets.
pub(crate) fn new_reservation() -> String {
    format!("00000000-0000-4000-8000-{:012x}", unique())
}

/// Running buyers; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Buyers {
    shared: Arc<Shared>,
    tasks: JoinSet<(Vec<Buyer>, Counts)>,
}

#[derive(Debug)]
struct Shared {
    product: i64,
    /// A permit for each buyer that may begin.
    admitted: Semaphore,
    begun: AtomicUsize,
    ended: watch::Sender<usize>,
}

impl Buyers {
    /// Nobody buys before [`Self::admit`].
    pub(crate) fn start(replicas: [SocketAddr; 2], product: i64) -> Self {
        let (admitted, ended) = (Semaphore::new(0), watch::Sender::new(0));
        let shared = Arc::new(Shared { product, admitted, begun: AtomicUsize::new(0), ended });
        let mut tasks = JoinSet::new();
        for _ in 0..CONCURRENT {
            tasks.spawn(buy_all(Arc::clone(&shared), Shopper::new(replicas)));
        }
        Self { shared, tasks }
    }

    /// Lets `number` more buyers begin.
    pub(crate) fn admit(&self, number: usize) {
        self.shared.admitted.add_permits(number);
    }

    /// Waits until so many buyers in all have got their answers.
    pub(crate) async fn ended(&self, number: usize) -> Result<()> {
        let mut ended = self.shared.ended.subscribe();
        let waited = timeout(2 * TIME_LIMIT, ended.wait_for(|ended| *ended >= number)).await;
        waited.with_context(|| format!("fewer than {number} buyers have got an answer"))??;
        Ok(())
    }

    /// All buyers, once none is admitted any more, and the failures of their attempts.
    pub(crate) async fn finish(mut self) -> (Vec<Buyer>, Counts) {
        self.shared.admitted.close();
        let (mut buyers, mut failures) = (Vec::new(), Counts::default());
        while let Some(Ok((more, failed))) = self.tasks.join_next().await {
            buyers.extend(more);
            failures.merge(failed);
        }
        (buyers, failures)
    }
}

async fn buy_all(shared: Arc<Shared>, mut shopper: Shopper) -> (Vec<Buyer>, Counts) {
    let mut buyers = Vec::new();
    while let Ok(permit) = shared.admitted.acquire().await {
        permit.forget();
        let number = shared.begun.fetch_add(1, Ordering::Relaxed);
        let reservation = new_reservation();
        shopper.replica = number % 2;
        let outcome = buy(&mut shopper, &reservation, shared.product, number).await;
        let outcome = outcome.unwrap_or_else(|error| Outcome::Wrong(error.to_string()));
        buyers.push(Buyer { reservation, outcome });
        shared.ended.send_modify(|ended| *ended += 1);
    }
    (buyers, shopper.failures)
}

/// Reserves a piece; some of the first buyers release it again.
async fn buy(shopper: &mut Shopper, reservation: &str, product: i64, number: usize) -> Result<Outcome> {
    let outcome = shopper.reserve(reservation, product).await?;
    if outcome == Outcome::Held && number < RELEASING && number % 4 == 3 {
        return shopper.release(reservation).await;
    }
    Ok(outcome)
}

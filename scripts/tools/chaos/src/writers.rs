//! Clients that place keyed orders and create keyed users as long as they are let, and write down what was acknowledged.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::http1::{Client, post};
use crate::keyed::{Troubles, until_acknowledged};
use crate::ledger::{Acknowledged, Ledger};
use crate::platform::{ORDERS, USERS, order, unique, user};

/// How long one attempt may take before a client tries again.
const ATTEMPT: Duration = Duration::from_secs(3);

/// What the writers did.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) ledger: Ledger,
    pub(crate) troubles: Troubles,
    /// Keyed requests that were given up, with the last trouble of each.
    pub(crate) failed: Troubles,
}

#[derive(Debug)]
struct Shared {
    orders: SocketAddr,
    users: SocketAddr,
    user_ids: Vec<i64>,
    patience: Duration,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    written: Mutex<Written>,
}

/// Running writers; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Writers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Writers {
    /// `count` writers against the services at these addresses. One request in eight creates a user, the others place
    /// orders for `user_ids`. Each is tried for `patience`.
    pub(crate) fn start(
        count: usize,
        (orders, users): (SocketAddr, SocketAddr),
        user_ids: Vec<i64>,
        patience: Duration,
        random: &mut fastrand::Rng,
    ) -> Self {
        let shared = Arc::new(Shared {
            orders,
            users,
            user_ids,
            patience,
            stop: AtomicBool::new(false),
            acknowledged: AtomicUsize::new(0),
            written: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            tasks.spawn(write(Arc::clone(&shared), random.fork()));
        }
        Self { shared, tasks }
    }

    /// How many requests were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` requests were acknowledged from now on.
    pub(crate) async fn progress(&self, more: usize) -> Result<()> {
        let (begin, goal) = (Instant::now(), self.acknowledged() + more);
        while self.acknowledged() < goal {
            ensure!(begin.elapsed() < self.shared.patience, "nothing was acknowledged in {:?}", self.shared.patience);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Lets each writer finish its request; gives what they did.
    pub(crate) async fn finish(mut self) -> Written {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        std::mem::take(&mut self.shared.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn write(shared: Arc<Shared>, mut random: fastrand::Rng) {
    let mut to_orders = Client::new(shared.orders, ATTEMPT);
    let mut to_users = Client::new(shared.users, ATTEMPT);
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
        let mut troubles = Troubles::default();
        let outcome = until_acknowledged(client, &request, shared.patience, &mut random, &mut troubles).await;
        let mut written = shared.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.troubles.merge(troubles);
        match outcome {
            Ok(reply) => {
                written.ledger.add(Acknowledged { path, key, body, reply });
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(trouble) => written.failed.add(format!("{path}: {trouble}")),
        }
    }
}

//! The carrier for services in one process: a durable queue in a SQLite file.
//!
//! Messages are rows, one for each queue that has bound the event's type. What is being handled is known only to the
//! process, so that after its end everything that was not acknowledged is delivered again; how often a message was
//! delivered is stored before each delivery, so that one that kills the process is given up in the end.

mod dead_letters;
mod queue;
mod schema;
mod store;
mod subscriber;

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use slog::Logger;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::delivery::Deliveries;
use super::message::{DeadLetter, Outgoing, Published, Queue, Subscription, TransportError};
use queue::Waiting;
use store::Store;
use subscriber::Subscriber;

/// Carries events in a SQLite file, for services in one process. Clones share it.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    /// The queues by name, those of subscriptions of this process or with messages for one.
    queues: Mutex<HashMap<String, Arc<Waiting>>>,
    subscribers: Mutex<JoinSet<()>>,
    closed: watch::Sender<bool>,
    /// Keeps other processes from the file: they would not know what this one is handling.
    lock: File,
    log: Logger,
}

impl Embedded {
    /// Opens the file at `path`, or creates it and its directory.
    ///
    /// # Errors
    ///
    /// One clear line: the file cannot be used, or another process uses it.
    pub async fn open(path: &Path, log: &Logger) -> Result<Self> {
        let store = Store::open(path).await?;
        let lock = lock(path)?;
        store.remove_own_queues().await.context("cannot use the file of events")?;
        Ok(Self(Arc::new(Shared {
            store,
            queues: Mutex::default(),
            subscribers: Mutex::default(),
            closed: watch::Sender::new(false),
            lock,
            log: log.clone(),
        })))
    }

    pub(super) async fn publish(&self, events: Vec<Outgoing>) -> Result<Vec<Published>, TransportError> {
        let (published, queues) = self.0.store.publish(events).await?;
        queues.iter().for_each(|queue| self.queue(queue).wake());
        Ok(published)
    }

    pub(super) fn subscribe(&self, Subscription { queue, types }: Subscription) -> Deliveries {
        let (name, is_own) = match queue {
            Queue::Shared(name) => (name, false),
            Queue::Own => (schema::own_queue(), true),
        };
        // Forget those whose subscriber has ended.
        guard(&self.0.queues).retain(|name, queue| !schema::is_own(name) || Arc::strong_count(queue) > 1);
        let (sender, deliveries) = Deliveries::channel();
        let waiting = self.queue(&name);
        let log = self.0.log.new(slog::o!("queue" => name.clone()));
        let (store, closed) = (self.0.store.clone(), self.0.closed.subscribe());
        let subscriber = Subscriber { store, name, is_own, types, waiting, sender, closed, log };
        let mut subscribers = guard(&self.0.subscribers);
        // Forget those that have ended.
        while subscribers.try_join_next().is_some() {}
        if !*self.0.closed.borrow() {
            subscribers.spawn(subscriber.run());
        }
        deliveries
    }

    pub(super) async fn close(&self) {
        self.0.closed.send_replace(true);
        let mut subscribers = std::mem::take(&mut *guard(&self.0.subscribers));
        while subscribers.join_next().await.is_some() {}
        self.0.store.close().await;
        // If it fails, the end of the process unlocks the file.
        let _ = self.0.lock.unlock();
    }

    pub(super) async fn dead_letters(&self, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, TransportError> {
        self.0.store.dead_letters(queue, limit).await
    }

    pub(super) async fn replay(&self, queue: &str, event_id: Option<&str>) -> Result<Vec<String>, TransportError> {
        self.queue(queue).replay(&self.0.store, queue, event_id).await
    }

    pub(super) async fn drop_dead_letters(
        &self,
        queue: &str,
        event_id: Option<&str>,
    ) -> Result<Vec<String>, TransportError> {
        self.0.store.drop_dead_letters(queue, event_id).await
    }

    fn queue(&self, name: &str) -> Arc<Waiting> {
        let mut queues = guard(&self.0.queues);
        match queues.get(name) {
            Some(queue) => queue.clone(),
            None => queues.entry(name.to_owned()).or_default().clone(),
        }
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the file at `path` against other processes by a file beside it, until the end of this one.
fn lock(path: &Path) -> Result<File> {
    let path = path.with_added_extension("lock");
    let name = path.display();
    let file = File::create(&path).with_context(|| format!("cannot open the lock file {name}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another process carries events in this file: it has locked {name}"),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {name}")),
    }
}

//! What waits in a queue, as far as only the process knows: how far it has come, and what it has given back.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::store::{Store, Taken};
use crate::events::message::TransportError;

/// The place of one queue's subscribers in it, which they share.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The last message that was taken. All after it wait; those before it are being handled, unless given back. Locked
    /// while messages are taken, so that nothing is taken twice.
    last: tokio::sync::Mutex<i64>,
    /// Messages up to `last` that wait again.
    given_back: Mutex<BTreeSet<i64>>,
    changed: Notify,
}

impl Waiting {
    /// Wakes a subscriber: there may be something to take.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits until there may be something to take.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Lets messages be taken again.
    pub(super) fn give_back(&self, messages: impl IntoIterator<Item = i64>) {
        self.given_back.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
        self.wake();
    }

    /// Lets the dead letters of the queue `name` with this event wait again. Returns whether there were any.
    pub(super) async fn replay(
        &self,
        store: &Store,
        name: &str,
        event_id: Option<&str>,
    ) -> Result<Vec<String>, TransportError> {
        let last = self.last.lock().await;
        let (mut messages, events): (Vec<i64>, _) = store.replay(name, event_id).await?.into_iter().unzip();
        // Those after `last` wait anyway: nobody has subscribed since the start.
        messages.retain(|message| *message <= *last);
        self.give_back(messages);
        Ok(events)
    }

    /// Takes up to `limit` messages of the queue `name`, those given back first. Returns them, and whether more may wait.
    pub(super) async fn take(
        &self,
        store: &Store,
        name: &str,
        limit: usize,
    ) -> Result<(Vec<Taken>, bool), TransportError> {
        let mut last = self.last.lock().await;
        let again: Vec<i64> = {
            let given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner);
            given_back.iter().take(limit).copied().collect()
        };
        if again.is_empty() {
            let taken = store.take_after(name, *last, limit).await?;
            if let Some(newest) = taken.last() {
                *last = newest.id;
            }
            let is_full = taken.len() == limit;
            return Ok((taken, is_full));
        }
        let taken = store.take(&again).await?;
        // Only now: if the statement fails, they still wait.
        let mut given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner);
        given_back.retain(|id| !again.contains(id));
        Ok((taken, true))
    }
}

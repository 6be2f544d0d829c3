//! A subscriber of a queue: takes what waits, hands it out, and carries out the decisions.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use slog::{Logger, error, info, warn};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::queue::Waiting;
use super::store::{Store, Taken};
use crate::events::backoff::Backoff;
use crate::events::delivery::{Decision, Delivery, Verdict};
use crate::events::message::{MAX_DELIVERIES, PREFETCH, TransportError, UNDECIDED};

/// A subscriber of one queue.
pub(super) struct Subscriber {
    pub(super) store: Store,
    /// The queue's name.
    pub(super) name: String,
    /// Whether the queue ends with this subscriber.
    pub(super) is_own: bool,
    pub(super) types: Vec<String>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) sender: mpsc::Sender<Delivery>,
    /// Becomes true when the file is closed.
    pub(super) closed: watch::Receiver<bool>,
    pub(super) log: Logger,
}

/// The messages that were handed out, and what is known of them.
struct HandedOut {
    undecided: BTreeSet<i64>,
    verdicts: mpsc::UnboundedSender<Verdict>,
    given: mpsc::UnboundedReceiver<Verdict>,
}

impl Subscriber {
    /// Delivers until nobody receives any more, or the file is closed.
    pub(super) async fn run(self) {
        let (verdicts, given) = mpsc::unbounded_channel();
        let mut handed_out = HandedOut { undecided: BTreeSet::new(), verdicts, given };
        // `None` at the end only.
        let _ = self.deliver(&mut handed_out).await;
        self.end(handed_out).await;
    }

    async fn deliver(&self, handed_out: &mut HandedOut) -> Option<Infallible> {
        self.persist(|| self.store.bind(&self.name, &self.types)).await?;
        let mut may_wait = true;
        let mut verdicts = Vec::new();
        loop {
            let free = PREFETCH - handed_out.undecided.len();
            if may_wait && free > 0 {
                let taken;
                (taken, may_wait) = self.persist(|| self.waiting.take(&self.store, &self.name, free)).await?;
                if may_wait {
                    // Another subscriber may have room for the rest.
                    self.waiting.wake();
                }
                self.hand_out(taken, handed_out).await?;
            }
            let has_room = handed_out.undecided.len() < PREFETCH;
            // Only what waits is dropped when the subscription ends; what is carried out is not interrupted.
            tokio::select! {
                // First, because what is taken after the end is given back at once, and counts as a delivery.
                biased;
                () = self.ended() => return None,
                _ = handed_out.given.recv_many(&mut verdicts, PREFETCH) => {
                    self.persist(|| self.carry_out(&verdicts)).await?;
                    for verdict in verdicts.drain(..) {
                        handed_out.undecided.remove(&verdict.tag.cast_signed());
                    }
                }
                () = self.waiting.changed(), if has_room => may_wait = true,
            }
        }
    }

    async fn hand_out(&self, taken: Vec<Taken>, handed_out: &mut HandedOut) -> Option<()> {
        handed_out.undecided.extend(taken.iter().map(|message| message.id));
        for message in taken {
            if message.deliveries > i64::from(MAX_DELIVERIES) {
                self.persist(|| self.bury(message.id, UNDECIDED)).await?;
                handed_out.undecided.remove(&message.id);
                continue;
            }
            let tag = message.id.cast_unsigned();
            let again = message.deliveries > 1;
            let delivery = Delivery::new(message.envelope.into_bytes(), again, tag, handed_out.verdicts.clone());
            // There is always room for what may be undecided; if nobody receives, the delivery is given back.
            let _ = self.sender.send(delivery).await;
        }
        Some(())
    }

    async fn carry_out(&self, verdicts: &[Verdict]) -> Result<(), TransportError> {
        let (mut handled, mut returned) = (Vec::new(), Vec::new());
        for Verdict { tag, decision } in verdicts {
            let message = tag.cast_signed();
            match decision {
                Decision::Ack => handled.push(message),
                Decision::DeadLetter(reason) => self.bury(message, reason).await?,
                Decision::Return => returned.push(message),
            }
        }
        if !handled.is_empty() {
            self.store.remove(&handled).await?;
        }
        if !returned.is_empty() {
            self.waiting.give_back(returned);
        }
        Ok(())
    }

    async fn bury(&self, message: i64, reason: &str) -> Result<(), TransportError> {
        if self.is_own {
            return self.store.remove(&[message]).await;
        }
        self.store.bury(message, reason).await
    }

    /// Carries out what is decided, and gives back the rest.
    async fn end(self, mut handed_out: HandedOut) {
        if self.is_own {
            if let Err(error) = self.store.remove_queue(&self.name).await {
                // The next start removes it.
                warn!(self.log, "a queue of events is not removed"; "error" => error.to_string());
            }
            return;
        }
        let verdicts: Vec<_> = std::iter::from_fn(|| handed_out.given.try_recv().ok()).collect();
        // If it fails, they are delivered again.
        if self.carry_out(&verdicts).await.is_ok() {
            for verdict in verdicts {
                handed_out.undecided.remove(&verdict.tag.cast_signed());
            }
        }
        self.waiting.give_back(handed_out.undecided);
    }

    /// Repeats `work` until it succeeds: the disk may be full for a while. `None` if the subscription ends before.
    async fn persist<T, F>(&self, work: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, TransportError>>,
    {
        let mut backoff = Backoff::new();
        let mut failed = false;
        loop {
            match work().await {
                Ok(done) => {
                    if failed {
                        info!(self.log, "events are delivered again");
                    }
                    return Some(done);
                }
                Err(error) if !failed => {
                    failed = true;
                    error!(self.log, "events are not delivered"; "error" => error.to_string());
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = self.ended() => return None,
            }
        }
    }

    async fn ended(&self) {
        let mut closed = self.closed.clone();
        tokio::select! {
            () = self.sender.closed() => {}
            // The other end lives as long as this.
            _ = closed.wait_for(|closed| *closed) => {}
        }
    }
}

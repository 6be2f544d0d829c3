//! Deliveries: what a transport hands to a consumer, and the consumer's decisions on the way back.

use tokio::sync::mpsc;

use super::message::PREFETCH;

/// The deliveries of a subscription. Dropping it ends the subscription; undecided deliveries go back to the queue.
#[derive(Debug)]
pub struct Deliveries(mpsc::Receiver<Delivery>);

impl Deliveries {
    /// Deliveries, and where the transport puts them. The transport must keep to the prefetch.
    pub(super) fn channel() -> (mpsc::Sender<Delivery>, Self) {
        let (sender, receiver) = mpsc::channel(PREFETCH);
        (sender, Self(receiver))
    }

    /// Waits for the next delivery, as long as it takes. `None` once the transport is closed, or
    /// dropped with all its clones.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.0.recv().await
    }
}

/// An event to handle. Dropped without a decision, it goes back to the queue.
#[derive(Debug)]
pub struct Delivery {
    /// The CloudEvent as it was published.
    pub envelope: Vec<u8>,
    /// Whether it may have been delivered before. False does not mean that it was not published twice.
    pub redelivered: bool,
    undecided: Option<Undecided>,
}

/// What a consumer decided about a delivery.
#[derive(Debug)]
pub(super) enum Decision {
    Ack,
    DeadLetter(String),
    Return,
}

/// A decision about the delivery to which the transport gave `tag`.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) tag: u64,
    pub(super) decision: Decision,
}

/// Where the decision about a delivery goes. When nobody listens any more, the delivery is repeated.
#[derive(Debug)]
struct Undecided {
    tag: u64,
    // Unbounded, but there are no more decisions than deliveries, which are limited.
    verdicts: mpsc::UnboundedSender<Verdict>,
}

impl Delivery {
    /// A delivery whose decision is sent to `verdicts` with `tag`.
    pub(super) fn new(
        envelope: Vec<u8>,
        redelivered: bool,
        tag: u64,
        verdicts: mpsc::UnboundedSender<Verdict>,
    ) -> Self {
        Self { envelope, redelivered, undecided: Some(Undecided { tag, verdicts }) }
    }

    /// Removes it from the queue: it is handled. Does not wait; if the process or the connection ends before the
    /// transport knows, the event is delivered again.
    pub fn ack(mut self) {
        self.decide(Decision::Ack);
    }

    /// Moves it to the dead letters of the queue: it can never be handled, because of `reason`. Does not wait, as
    /// [`ack`](Self::ack). A queue of a subscription's own has no dead letters: it is then removed.
    pub fn dead_letter(mut self, reason: impl Into<String>) {
        self.decide(Decision::DeadLetter(reason.into()));
    }

    fn decide(&mut self, decision: Decision) {
        if let Some(Undecided { tag, verdicts }) = self.undecided.take() {
            let _ = verdicts.send(Verdict { tag, decision });
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.decide(Decision::Return);
    }
}

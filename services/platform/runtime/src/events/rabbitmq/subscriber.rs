//! A subscriber of a queue, over all its connections.

use std::sync::Arc;

use slog::Logger;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::connection::Broker;
use super::consumption::Consumption;
use super::link::Link;
use super::publisher::Publisher;
use crate::events::backoff::Backoff;
use crate::events::delivery::Delivery;
use crate::events::message::{Subscription, TransportError};

/// A subscriber of one queue.
pub(super) struct Subscriber {
    pub(super) broker: Broker,
    pub(super) publisher: Arc<Publisher>,
    pub(super) subscription: Subscription,
    pub(super) sender: mpsc::Sender<Delivery>,
    /// Becomes true when the transport is closed.
    pub(super) closed: watch::Receiver<bool>,
    pub(super) log: Logger,
}

impl Subscriber {
    /// Delivers until nobody receives any more, or the transport is closed.
    pub(super) async fn run(self) {
        let mut link = Link::new(self.log.clone(), self.broker.address());
        let mut backoff = Backoff::new();
        loop {
            let begun = tokio::select! {
                begun = Consumption::begin(&self.broker, &self.publisher, &self.subscription) => begun,
                () = self.ended() => return,
            };
            let error = match begun {
                Ok(consumption) => {
                    link.up();
                    backoff = Backoff::new();
                    match self.forward(consumption).await {
                        Ok(()) => return,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            link.down(&error);
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = self.ended() => return,
            }
        }
    }

    /// Forwards what is delivered and decided, until the subscription ends or the connection fails.
    async fn forward(&self, mut consumption: Consumption) -> Result<(), TransportError> {
        loop {
            // Only what waits is dropped when the subscription ends; what is carried out is not interrupted.
            let step = tokio::select! {
                // First, because what is delivered after the end is returned at once, and delivered again.
                biased;
                () = self.ended() => {
                    consumption.end().await;
                    return Ok(());
                }
                step = consumption.next() => step,
            };
            if let Some(delivery) = consumption.carry_out(step?).await? {
                // There is always room for what may be undecided; if nobody receives, the delivery goes back.
                let _ = self.sender.send(delivery).await;
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

//! What a subscriber receives and answers through one connection.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Consumer, message};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep, timeout};

use super::connection::{Broker, Connection, answer};
use super::post::Post;
use super::publisher::Publisher;
use super::topology::declare_queue;
use crate::events::backoff::Backoff;
use crate::events::delivery::{Decision, Delivery, Verdict};
use crate::events::message::{PREFETCH, Published, Queue, Subscription, TransportError};

/// How long the end of a subscription waits for dead letters that are being stored.
const BURIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The consumer of a queue on a connection. Decisions that come after its end go nowhere: the broker delivers again.
pub(super) struct Consumption {
    connection: Connection,
    consumer: Consumer,
    publisher: Arc<Publisher>,
    /// The queue whose dead letters are kept; none for a queue of its own.
    buries_for: Option<ShortString>,
    /// By the delivery's tag, what a dead letter would consist of.
    undecided: HashMap<u64, (BasicProperties, Vec<u8>)>,
    verdicts: mpsc::UnboundedSender<Verdict>,
    given: mpsc::UnboundedReceiver<Verdict>,
    /// Dead letters that are being stored. Each ends with the delivery's tag.
    burials: FuturesUnordered<BoxFuture<'static, Result<u64, TransportError>>>,
}

/// What happened.
pub(super) enum Step {
    Delivered(Box<message::Delivery>),
    Decided(Verdict),
    Buried(u64),
}

impl Consumption {
    /// Connects, declares the queue, and begins to consume it.
    pub(super) async fn begin(
        broker: &Broker,
        publisher: &Arc<Publisher>,
        subscription: &Subscription,
    ) -> Result<Self, TransportError> {
        let connection = broker.connect().await?;
        let channel = &connection.channel;
        let queue = declare_queue(channel, subscription).await?;
        let prefetch = u16::try_from(PREFETCH).unwrap_or(u16::MAX);
        answer(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        let consumer = answer(channel.basic_consume(queue.clone(), tag, options, FieldTable::default())).await?;
        let (verdicts, given) = mpsc::unbounded_channel();
        Ok(Self {
            connection,
            consumer,
            publisher: publisher.clone(),
            buries_for: matches!(subscription.queue, Queue::Shared(_)).then_some(queue),
            undecided: HashMap::new(),
            verdicts,
            given,
            burials: FuturesUnordered::new(),
        })
    }

    /// Waits for the next step.
    pub(super) async fn next(&mut self) -> Result<Step, TransportError> {
        tokio::select! {
            delivered = self.consumer.next() => match delivered {
                Some(Ok(delivery)) => Ok(Step::Delivered(Box::new(delivery))),
                Some(Err(error)) => Err(TransportError(error.to_string())),
                None => Err(TransportError("the broker has ended the subscription; is its queue deleted?".to_owned())),
            },
            // This holds the other end.
            Some(verdict) = self.given.recv() => Ok(Step::Decided(verdict)),
            Some(buried) = self.burials.next() => buried.map(Step::Buried),
        }
    }

    /// Does what follows from `step`. Returns a new delivery.
    pub(super) async fn carry_out(&mut self, step: Step) -> Result<Option<Delivery>, TransportError> {
        match step {
            Step::Delivered(delivered) => {
                let message::Delivery { delivery_tag, redelivered, properties, data, .. } = *delivered;
                let delivery = Delivery::new(data.clone(), redelivered, delivery_tag, self.verdicts.clone());
                self.undecided.insert(delivery_tag, (properties, data));
                return Ok(Some(delivery));
            }
            Step::Decided(Verdict { tag, decision }) => match decision {
                Decision::Ack => self.ack(tag).await?,
                Decision::DeadLetter(reason) => self.bury(tag, &reason).await?,
                Decision::Return => {
                    self.undecided.remove(&tag);
                    let options = BasicNackOptions { requeue: true, ..Default::default() };
                    answer(self.connection.channel.basic_nack(tag, options)).await?;
                }
            },
            Step::Buried(tag) => self.ack(tag).await?,
        }
        Ok(None)
    }

    /// Tells the broker what is already decided, and closes the connection: the rest goes back to the queue.
    pub(super) async fn end(mut self) {
        while let Ok(verdict) = self.given.try_recv() {
            // What is returned now would be delivered here once more.
            if !matches!(verdict.decision, Decision::Return) && self.carry_out(Step::Decided(verdict)).await.is_err() {
                return;
            }
        }
        let _ = timeout(BURIAL_TIMEOUT, self.finish_burials()).await;
        self.connection.close().await;
    }

    async fn finish_burials(&mut self) {
        while let Some(Ok(tag)) = self.burials.next().await {
            if self.ack(tag).await.is_err() {
                return;
            }
        }
    }

    async fn ack(&mut self, tag: u64) -> Result<(), TransportError> {
        self.undecided.remove(&tag);
        answer(self.connection.channel.basic_ack(tag, BasicAckOptions::default())).await
    }

    /// Stores a delivery as a dead letter, in the background; only then it is acknowledged.
    async fn bury(&mut self, tag: u64, reason: &str) -> Result<(), TransportError> {
        let (Some(queue), Some((properties, envelope))) = (&self.buries_for, self.undecided.remove(&tag)) else {
            return self.ack(tag).await;
        };
        let post = Post::dead_letter(queue.clone(), &properties, envelope, reason);
        let publisher = self.publisher.clone();
        self.burials.push(Box::pin(async move { store(&publisher, &post).await.map(|()| tag) }));
        Ok(())
    }
}

/// Publishes `post` until it is stored. Fails if its queue is missing.
async fn store(publisher: &Publisher, post: &Post) -> Result<(), TransportError> {
    let mut backoff = Backoff::new();
    loop {
        match publisher.publish(slice::from_ref(post)).await.as_deref() {
            Ok([Published::Stored]) => return Ok(()),
            Ok(_) => return Err(TransportError("the queue of the dead letters is missing".to_owned())),
            // The publisher logs it.
            Err(_) => sleep(backoff.next()).await,
        }
    }
}

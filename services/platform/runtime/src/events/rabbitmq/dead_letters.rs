//! The dead letters of a queue: messages of a queue of their own, in which operators look.
//!
//! Whoever looks holds them until he has seen enough; then they go back, which takes the broker a moment. Two who look
//! at the same time see different ones.

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::ShortString;
use tokio::time::{Duration, sleep};

use super::connection::{Broker, Connection, answer};
use super::post::{self, Post};
use super::publisher::Publisher;
use super::topology::{dead_queue, name};
use crate::events::message::{DeadLetter, Published, TransportError};

/// How often to look for an event before it counts as missing.
const LOOKS: u32 = 4;
/// The pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Up to `limit` dead letters of `queue`, the oldest first.
pub(super) async fn list(broker: &Broker, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, TransportError> {
    let look = Look::begin(broker, queue).await?;
    let mut letters = Vec::new();
    while letters.len() < limit
        && let Some(message) = look.next().await?
    {
        let delivery = message.delivery;
        letters.push(post::dead_letter(&delivery.properties, delivery.data));
    }
    look.connection.close().await;
    // Those that were looked at before come back in another order.
    letters.sort_by_key(|letter| letter.dead_since);
    Ok(letters)
}

/// Puts the event back into `queue`, and then removes it from the dead letters. Returns whether it was there.
pub(super) async fn replay(
    broker: &Broker,
    publisher: &Publisher,
    queue: &str,
    event_id: &str,
) -> Result<bool, TransportError> {
    let (look, found) = find(broker, queue, event_id).await?;
    if let Some(message) = &found {
        let post = Post::replay(name(queue)?, &message.delivery.properties, message.delivery.data.clone());
        match *publisher.publish(&[post]).await? {
            [Published::Stored] => look.remove(message).await?,
            _ => return Err(TransportError(format!("there is no queue {queue}"))),
        }
    }
    look.connection.close().await;
    Ok(found.is_some())
}

/// Removes the event from the dead letters of `queue`. Returns whether it was there.
pub(super) async fn remove(broker: &Broker, queue: &str, event_id: &str) -> Result<bool, TransportError> {
    let (look, found) = find(broker, queue, event_id).await?;
    if let Some(message) = &found {
        look.remove(message).await?;
    }
    look.connection.close().await;
    Ok(found.is_some())
}

/// Looks for an event, more than once: somebody else may have just looked at it. Returns the last look.
async fn find(broker: &Broker, queue: &str, event_id: &str) -> Result<(Look, Option<BasicGetMessage>), TransportError> {
    let mut looks = 1;
    loop {
        let look = Look::begin(broker, queue).await?;
        let found = look.find(event_id).await?;
        if found.is_some() || looks == LOOKS {
            return Ok((look, found));
        }
        look.connection.close().await;
        sleep(LOOK_INTERVAL).await;
        looks += 1;
    }
}

/// A look at dead letters. At its end, all go back except those that were removed.
struct Look {
    connection: Connection,
    queue: ShortString,
}

impl Look {
    async fn begin(broker: &Broker, queue: &str) -> Result<Self, TransportError> {
        Ok(Self { connection: broker.connect().await?, queue: dead_queue(queue)? })
    }

    async fn next(&self) -> Result<Option<BasicGetMessage>, TransportError> {
        answer(self.connection.channel.basic_get(self.queue.clone(), BasicGetOptions::default())).await
    }

    async fn find(&self, event_id: &str) -> Result<Option<BasicGetMessage>, TransportError> {
        while let Some(message) = self.next().await? {
            if message.delivery.properties.message_id().as_ref().is_some_and(|id| id.as_str() == event_id) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    async fn remove(&self, message: &BasicGetMessage) -> Result<(), TransportError> {
        answer(self.connection.channel.basic_ack(message.delivery.delivery_tag, BasicAckOptions::default())).await
    }
}

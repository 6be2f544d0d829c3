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

/// Puts the event, or each one, back into `queue`, and then removes it from the dead letters. Returns the ids of those that
/// were there.
pub(super) async fn replay(
    broker: &Broker,
    publisher: &Publisher,
    queue: &str,
    event_id: Option<&str>,
) -> Result<Vec<String>, TransportError> {
    let name = name(queue)?;
    remove_after(broker, queue, event_id, async |message| {
        let post = Post::replay(name.clone(), &message.delivery.properties, message.delivery.data.clone());
        match *publisher.publish(&[post]).await? {
            [Published::Stored] => Ok(()),
            _ => Err(TransportError(format!("there is no queue {queue}"))),
        }
    })
    .await
}

/// Removes the event, or each one, from the dead letters of `queue`. Returns the ids of those that were there.
pub(super) async fn remove(
    broker: &Broker,
    queue: &str,
    event_id: Option<&str>,
) -> Result<Vec<String>, TransportError> {
    remove_after(broker, queue, event_id, async |_| Ok(())).await
}

/// Removes the event, or each one, from the dead letters of `queue` once `done` is. Looks for one more than once: somebody
/// else may have just looked at it.
async fn remove_after(
    broker: &Broker,
    queue: &str,
    event_id: Option<&str>,
    done: impl AsyncFn(&BasicGetMessage) -> Result<(), TransportError>,
) -> Result<Vec<String>, TransportError> {
    let mut looks = 1;
    loop {
        let look = Look::begin(broker, queue).await?;
        let mut removed = Vec::new();
        // What dies again meanwhile comes after these.
        let mut left = u32::MAX;
        while left > 0
            && let Some(message) = look.next().await?
        {
            left = left.min(message.message_count.saturating_add(1)) - 1;
            let id = message.delivery.properties.message_id().as_ref().map_or("", |id| id.as_str()).to_owned();
            if event_id.is_none_or(|wanted| wanted == id) {
                done(&message).await?;
                look.remove(&message).await?;
                removed.push(id);
                left = if event_id.is_some() { 0 } else { left };
            }
        }
        look.connection.close().await;
        if !removed.is_empty() || event_id.is_none() || looks == LOOKS {
            return Ok(removed);
        }
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

    async fn remove(&self, message: &BasicGetMessage) -> Result<(), TransportError> {
        answer(self.connection.channel.basic_ack(message.delivery.delivery_tag, BasicAckOptions::default())).await
    }
}

//! The exchanges and queues that belong to the platform. Each is declared whenever a connection is made, which changes
//! nothing if it is there.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::connection::answer;
use crate::events::message::{MAX_DELIVERIES, Queue, Subscription, TransportError};

/// Where events are published; their type is the routing key.
pub(super) const EVENTS: &str = "platform.events";
/// Where dead letters are published; their queue is the routing key.
pub(super) const DEAD: &str = "platform.dead";
/// More deliveries than anybody makes by looking at dead letters. Without it, RabbitMQ 4 would drop one at the 21st
/// look.
const MANY: i32 = 1_000_000;

/// The queue of the dead letters of the queue `queue`.
pub(super) fn dead_queue(queue: &str) -> Result<ShortString, TransportError> {
    name(format!("{queue}.dead"))
}

/// A name for the broker, which may have 255 bytes.
pub(super) fn name(name: impl Into<String>) -> Result<ShortString, TransportError> {
    ShortString::try_new(name).map_err(|error| TransportError(error.to_string()))
}

/// Declares the exchanges.
pub(super) async fn declare_exchanges(channel: &Channel) -> Result<(), TransportError> {
    for (exchange, kind) in [(EVENTS, ExchangeKind::Topic), (DEAD, ExchangeKind::Direct)] {
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        answer(channel.exchange_declare(exchange.into(), kind, options, FieldTable::default())).await?;
    }
    Ok(())
}

/// Declares the queue of `subscription`, its bindings and its dead letters. Returns its name.
///
/// Bindings to types that are not wanted any more stay, as other instances of the service may be of another release.
pub(super) async fn declare_queue(
    channel: &Channel,
    subscription: &Subscription,
) -> Result<ShortString, TransportError> {
    declare_exchanges(channel).await?;
    let queue = match &subscription.queue {
        Queue::Shared(queue) => declare_shared_queue(channel, queue).await?,
        Queue::Own => {
            let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
            answer(channel.queue_declare("".into(), options, FieldTable::default())).await?.name().clone()
        }
    };
    for event_type in &subscription.types {
        bind(channel, &queue, EVENTS, name(event_type)?).await?;
    }
    Ok(queue)
}

async fn declare_shared_queue(channel: &Channel, queue: &str) -> Result<ShortString, TransportError> {
    let (dead, queue) = (dead_queue(queue)?, name(queue)?);
    declare_quorum_queue(channel, &dead, [("x-delivery-limit", MANY.into())]).await?;
    bind(channel, &dead, DEAD, queue.clone()).await?;
    // The limit counts deliveries that were returned: one more is made.
    let limit = MAX_DELIVERIES.cast_signed() - 1;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let arguments = [
        ("x-delivery-limit", limit.into()),
        ("x-dead-letter-exchange", text(DEAD)),
        ("x-dead-letter-routing-key", text(queue.as_str())),
        // A message leaves the queue only after its dead letter is stored. RabbitMQ wants the second for the first; the
        // queue has no limit that it could reach.
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    declare_quorum_queue(channel, &queue, arguments).await?;
    Ok(queue)
}

async fn declare_quorum_queue(
    channel: &Channel,
    queue: &ShortString,
    arguments: impl IntoIterator<Item = (&str, AMQPValue)>,
) -> Result<(), TransportError> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    for (argument, value) in arguments {
        table.insert(argument.into(), value);
    }
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    answer(channel.queue_declare(queue.clone(), options, table)).await?;
    Ok(())
}

async fn bind(channel: &Channel, queue: &ShortString, exchange: &str, key: ShortString) -> Result<(), TransportError> {
    let options = QueueBindOptions::default();
    answer(channel.queue_bind(queue.clone(), exchange.into(), key, options, FieldTable::default())).await
}

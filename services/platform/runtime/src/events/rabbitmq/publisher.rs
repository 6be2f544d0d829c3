//! Publishing with confirms, one batch at a time.

use std::collections::HashSet;
use std::time::Instant;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use slog::Logger;
use tokio::sync::Mutex;

use super::connection::{Broker, Connection, answer};
use super::link::Link;
use super::post::Post;
use super::topology::declare_exchanges;
use crate::events::backoff::Backoff;
use crate::events::message::{Published, TransportError};

/// The most messages that wait for their confirms: more are not faster.
const BATCH: usize = 256;

/// Publishes messages, one caller at a time.
#[derive(Debug)]
pub(super) struct Publisher {
    broker: Broker,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connection: Option<Connection>,
    link: Link,
    /// Why nothing could be published last, and when to connect again.
    failure: Option<(TransportError, Instant)>,
    backoff: Backoff,
    is_closed: bool,
}

impl Publisher {
    pub(super) fn new(broker: Broker, log: Logger) -> Self {
        let link = Link::new(log, broker.address());
        let state = State { connection: None, link, failure: None, backoff: Backoff::new(), is_closed: false };
        Self { broker, state: Mutex::new(state) }
    }

    /// Publishes `posts` in their order, and returns an outcome for each.
    pub(super) async fn publish(&self, posts: &[Post]) -> Result<Vec<Published>, TransportError> {
        let mut state = self.state.lock().await;
        let mut published = Vec::with_capacity(posts.len());
        for batch in posts.chunks(BATCH) {
            published.extend(self.publish_batch(&mut state, batch).await?);
        }
        Ok(published)
    }

    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        state.is_closed = true;
        if let Some(connection) = state.connection.take() {
            connection.close().await;
        }
    }

    async fn publish_batch(&self, state: &mut State, batch: &[Post]) -> Result<Vec<Published>, TransportError> {
        // Taken, so that a caller who gives up throws the connection away with what is under way on it.
        let connection = match state.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => self.connect(state).await?,
        };
        if connection.is_blocked() {
            // lapin sends nothing on it, not even its end; it goes on by itself.
            state.connection = Some(connection);
            return Err(TransportError("the broker takes no messages: it is low on memory or disk".to_owned()));
        }
        let sent = send(&connection.channel, batch).await;
        match &sent {
            Ok(_) => {
                state.link.up();
                (state.connection, state.backoff) = (Some(connection), Backoff::new());
            }
            Err(_) if connection.is_blocked() => state.connection = Some(connection),
            Err(error) => state.fail(error),
        }
        sent
    }

    /// Connects, unless it is too early after the last failure.
    async fn connect(&self, state: &mut State) -> Result<Connection, TransportError> {
        if state.is_closed {
            return Err(TransportError("the transport is closed".to_owned()));
        }
        if let Some((error, until)) = &state.failure
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        self.open().await.inspect_err(|error| state.fail(error))
    }

    async fn open(&self) -> Result<Connection, TransportError> {
        let connection = self.broker.connect().await?;
        declare_exchanges(&connection.channel).await?;
        answer(connection.channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(connection)
    }
}

impl State {
    fn fail(&mut self, error: &TransportError) {
        self.link.down(error);
        self.failure = Some((error.clone(), Instant::now() + self.backoff.next()));
    }
}

/// Sends `batch`, and waits for the confirms of all.
async fn send(channel: &Channel, batch: &[Post]) -> Result<Vec<Published>, TransportError> {
    let confirmations = answer(async {
        let mut confirms = Vec::with_capacity(batch.len());
        for Post { exchange, key, mandatory, properties, envelope } in batch {
            let options = BasicPublishOptions { mandatory: *mandatory, ..Default::default() };
            let sent = channel.basic_publish((*exchange).into(), key.clone(), options, envelope, properties.clone());
            confirms.push(sent.await?);
        }
        futures::future::try_join_all(confirms).await
    });
    // lapin may attach a returned message to the confirm of another one, if the broker confirms several at once.
    let mut returned = HashSet::new();
    for confirmation in confirmations.await? {
        match confirmation {
            Confirmation::Ack(None) => {}
            Confirmation::Ack(Some(message)) => returned.extend(message.delivery.properties.message_id().clone()),
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                return Err(TransportError("the broker has not stored a message".to_owned()));
            }
        }
    }
    let is_returned = |post: &Post| post.event_id().is_some_and(|id| returned.contains(id));
    Ok(batch.iter().map(|post| if is_returned(post) { Published::Unroutable } else { Published::Stored }).collect())
}

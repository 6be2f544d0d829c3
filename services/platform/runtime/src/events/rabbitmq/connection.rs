//! Connections to the broker.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_rs::Tokio;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, ConnectionProperties};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls;
use super::wire::{Cut, Duplex, Runtime, Wire};
use crate::events::message::TransportError;
use crate::events::url::EventsUrl;

/// How long the broker may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After how many silent seconds the broker and this side take each other for dead.
const HEARTBEAT: u16 = 5;
/// The largest part of a message that is sent in one piece, in bytes. lapin keeps two buffers of 32 times this size for
/// each connection.
const FRAME: u32 = 16 * 1024;

/// Where the broker is, and who connects.
#[derive(Clone, Debug)]
pub(super) struct Broker {
    url: Arc<EventsUrl>,
    service: Arc<str>,
}

/// A connection with one channel. Cut when it is dropped; what it had not acknowledged goes back to the queues.
#[derive(Debug)]
pub(super) struct Connection {
    connection: lapin::Connection,
    pub(super) channel: Channel,
    _cut: Cut,
}

impl Broker {
    pub(super) fn new(url: EventsUrl, service: &str) -> Self {
        Self { url: Arc::new(url), service: service.into() }
    }

    /// Its host and port.
    pub(super) fn address(&self) -> String {
        self.url.address()
    }

    pub(super) async fn connect(&self) -> Result<Connection, TransportError> {
        let stream = timeout(TIMEOUT, self.stream()).await.map_err(|_| no_answer())?;
        let (wire, cut) = Wire::new(stream.map_err(|error| TransportError(format!("cannot connect: {error}")))?);
        // lapin would connect again if it were told to.
        let wire = Mutex::new(Some(wire));
        let take = async move |_: AMQPUri, _: async_rs::Runtime<Runtime>| {
            let wire = wire.lock().unwrap_or_else(PoisonError::into_inner).take();
            wire.map(AsyncTcpStream::Plain).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
        };
        let mut uri = self.url.uri().clone();
        uri.query.heartbeat = Some(HEARTBEAT);
        uri.query.frame_max = Some(FRAME);
        let properties = ConnectionProperties::default().with_connection_name((*self.service).into());
        let runtime = async_rs::Runtime::new(Runtime(Tokio::current()));
        let connection = answer(lapin::Connection::connector(uri, runtime, take, properties)).await?;
        let channel = answer(connection.create_channel()).await?;
        Ok(Connection { connection, channel, _cut: cut })
    }

    async fn stream(&self) -> io::Result<Pin<Box<dyn Duplex>>> {
        let authority = &self.url.uri().authority;
        let host = authority.host.as_str();
        let stream = TcpStream::connect((host, authority.port)).await?;
        stream.set_nodelay(true)?;
        if self.url.is_encrypted() {
            return Ok(Box::pin(tls::encrypt(stream, host, self.url.authorities()).await?));
        }
        Ok(Box::pin(stream))
    }
}

impl Connection {
    /// Whether it can be used, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// Whether the broker takes nothing on it, because it is low on memory or disk.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Closes it properly: the broker has then seen everything that was sent.
    pub(super) async fn close(self) {
        // If it fails, the broker notices the end of the stream.
        let _ = answer(self.connection.close(200, "OK".into())).await;
    }
}

/// The broker's answer, if it comes in time.
pub(super) async fn answer<T>(answer: impl Future<Output = lapin::Result<T>>) -> Result<T, TransportError> {
    match timeout(TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(|error| TransportError(error.to_string())),
        Err(_) => Err(no_answer()),
    }
}

fn no_answer() -> TransportError {
    TransportError(format!("no answer within {} ms", TIMEOUT.as_millis()))
}

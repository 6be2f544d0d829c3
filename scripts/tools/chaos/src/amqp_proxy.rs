//! A proxy in front of RabbitMQ that understands AMQP enough to lose acknowledgements, of either side, and to hold
//! deliveries back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The length of what a client begins with: `AMQP` and the version.
const GREETING_BYTES: usize = 8;
/// Type, channel and length of a frame.
const FRAME_HEAD_BYTES: usize = 7;
const METHOD_FRAME: u8 = 1;
/// Class and method.
const PUBLISH: [u8; 4] = [0, 60, 0, 40];
const DELIVER: [u8; 4] = [0, 60, 0, 60];
const ACK: [u8; 4] = [0, 60, 0, 80];

/// What is lost, and what was seen.
#[derive(Debug, Default)]
struct Shared {
    loses_acks: AtomicBool,
    loses_confirms: AtomicBool,
    holds_deliveries: watch::Sender<bool>,
    /// Changes to end all connections.
    reset: watch::Sender<()>,
    delivered: AtomicUsize,
    published: AtomicUsize,
    lost_acks: AtomicUsize,
    lost_confirms: AtomicUsize,
}

/// A running proxy; it and its connections end when it is dropped.
#[derive(Debug)]
pub(crate) struct AmqpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _acceptor: JoinSet<()>,
}

impl AmqpProxy {
    /// Listens on a free port of this machine, for the broker at `target`.
    pub(crate) async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, target, Arc::clone(&shared)));
        Ok(Self { address, shared, _acceptor: acceptor })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins or ends to lose what consumers acknowledge.
    pub(crate) fn lose_acks(&self, loses: bool) {
        self.shared.loses_acks.store(loses, Ordering::Relaxed);
    }

    /// Begins or ends to lose the broker's confirmations of what is published.
    pub(crate) fn lose_confirms(&self, loses: bool) {
        self.shared.loses_confirms.store(loses, Ordering::Relaxed);
    }

    /// Begins or ends to hold deliveries back.
    pub(crate) fn hold_deliveries(&self, holds: bool) {
        self.shared.holds_deliveries.send_replace(holds);
    }

    /// Ends all connections.
    pub(crate) fn reset(&self) {
        self.shared.reset.send_replace(());
    }

    /// How many deliveries went through.
    pub(crate) fn delivered(&self) -> usize {
        self.shared.delivered.load(Ordering::Relaxed)
    }

    /// How many messages clients have published.
    pub(crate) fn published(&self) -> usize {
        self.shared.published.load(Ordering::Relaxed)
    }

    /// How many acknowledgements of consumers were lost; one may be for several deliveries.
    pub(crate) fn lost_acks(&self) -> usize {
        self.shared.lost_acks.load(Ordering::Relaxed)
    }

    /// How many confirmations were lost; one may be for several messages.
    pub(crate) fn lost_confirms(&self) -> usize {
        self.shared.lost_confirms.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Whether a frame of a client goes on to the broker.
    fn passes_up(&self, frame: &[u8]) -> bool {
        match method(frame) {
            Some(PUBLISH) => {
                self.published.fetch_add(1, Ordering::Relaxed);
                true
            }
            Some(ACK) if self.loses_acks.load(Ordering::Relaxed) => {
                self.lost_acks.fetch_add(1, Ordering::Relaxed);
                false
            }
            _ => true,
        }
    }

    /// Whether a frame of the broker goes on to the client, which may take a while.
    async fn passes_down(&self, frame: &[u8]) -> bool {
        match method(frame) {
            Some(DELIVER) => {
                // The other end lives as long as this.
                let _ = self.holds_deliveries.subscribe().wait_for(|holds| !holds).await;
                self.delivered.fetch_add(1, Ordering::Relaxed);
                true
            }
            Some(ACK) if self.loses_confirms.load(Ordering::Relaxed) => {
                self.lost_confirms.fetch_add(1, Ordering::Relaxed);
                false
            }
            _ => true,
        }
    }
}

/// Class and method of a frame, if it has one.
fn method(frame: &[u8]) -> Option<[u8; 4]> {
    let method = frame.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + 4)?;
    if frame[0] == METHOD_FRAME { method.try_into().ok() } else { None }
}

async fn accept(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    // Dropped with this task, which closes every connection.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(serve(client, target, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(client: TcpStream, target: SocketAddr, shared: Arc<Shared>) -> io::Result<()> {
    let mut reset = shared.reset.subscribe();
    let broker = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
    tokio::select! {
        ended = up(from_client, to_broker, &shared) => ended,
        ended = down(from_broker, to_client, &shared) => ended,
        _ = reset.changed() => Ok(()),
    }
}

async fn up(from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut greeting = [0; GREETING_BYTES];
    from.read_exact(&mut greeting).await?;
    to.write_all(&greeting).await?;
    loop {
        let frame = read_frame(&mut from).await?;
        if shared.passes_up(&frame) {
            to.write_all(&frame).await?;
        }
    }
}

async fn down(from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let frame = read_frame(&mut from).await?;
        if shared.passes_down(&frame).await {
            to.write_all(&frame).await?;
        }
    }
}

/// A frame, with its head and the byte at its end.
async fn read_frame(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    from.read_exact(&mut frame).await?;
    let length = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
    frame.resize(FRAME_HEAD_BYTES + length + 1, 0);
    from.read_exact(&mut frame[FRAME_HEAD_BYTES..]).await?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_method_frame_has_a_method() {
        let frame = |kind: u8| [&[kind, 0, 1, 0, 0, 0, 4], ACK.as_slice(), &[0xCE]].concat();
        assert_eq!(method(&frame(METHOD_FRAME)), Some(ACK));
        assert_eq!(method(&frame(3)), None);
        assert_eq!(method(&[8, 0, 0, 0, 0, 0, 0, 0xCE]), None, "a heartbeat");
    }

    #[tokio::test]
    async fn it_loses_what_it_is_told_to() {
        let shared = Shared::default();
        let frame = |method: [u8; 4]| [&[METHOD_FRAME, 0, 1, 0, 0, 0, 4], method.as_slice(), &[0xCE]].concat();
        assert!(shared.passes_up(&frame(ACK)) && shared.passes_down(&frame(ACK)).await);
        shared.loses_acks.store(true, Ordering::Relaxed);
        assert!(!shared.passes_up(&frame(ACK)) && shared.passes_up(&frame(PUBLISH)));
        assert!(shared.passes_down(&frame(ACK)).await && shared.passes_down(&frame(DELIVER)).await);
        assert_eq!((shared.lost_acks.into_inner(), shared.delivered.into_inner()), (1, 1));
    }
}

//! A TCP proxy with fault injection: it can delay, reset, black-hole and half-close its connections while it runs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many bytes of one direction a black hole buffers; beyond that the sender is blocked.
const MAX_BUFFER_BYTES: usize = 256 * 1024;
/// The initial size of a read buffer.
const READ_BYTES: usize = 16 * 1024;

/// What the proxy does with open and with new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward everything.
    Forward,
    /// Forward everything, each read this much later.
    Delay(Duration),
    /// Abort every connection with a RST.
    Reset,
    /// Accept and keep connections, forward nothing. Bytes that arrive are forwarded afterwards, as TCP would.
    BlackHole,
    /// Close the direction to the client, and still read what the client sends.
    HalfClose,
}

/// Where connections are forwarded to.
#[derive(Clone, Debug)]
pub enum Target {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    open: AtomicUsize,
    max_open: AtomicUsize,
}

#[derive(Debug)]
struct Shared {
    mode: watch::Sender<Mode>,
    targets: Mutex<Vec<Target>>,
    counters: Counters,
}

/// A running proxy; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _acceptor: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of this machine. Connections go to the `targets` round-robin; a connection is reset when
    /// no target can be reached.
    pub async fn start(targets: Vec<Target>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Forward),
            targets: Mutex::new(targets),
            counters: Counters::default(),
        });
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _acceptor: acceptor })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens to open and new connections.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Changes where new connections are forwarded to.
    pub fn set_targets(&self, targets: Vec<Target>) {
        *self.shared.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> u64 {
        self.shared.counters.accepted.load(Ordering::Relaxed)
    }

    /// The maximum number of concurrently open connections since [`Self::reset_max_open`].
    pub fn max_open(&self) -> usize {
        self.shared.counters.max_open.load(Ordering::Relaxed)
    }

    /// Resets [`Self::max_open`] to the number of connections that are open.
    pub fn reset_max_open(&self) {
        let open = self.shared.counters.open.load(Ordering::Relaxed);
        self.shared.counters.max_open.store(open, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, which closes every connection.
    let mut connections = JoinSet::new();
    let mut turn = 0;
    loop {
        // Accepting fails when descriptors run out; the listener remains usable.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        turn += 1;
        connections.spawn(serve(client, Arc::clone(&shared), turn));
        while connections.try_join_next().is_some() {}
    }
}

/// Counts a connection as open as long as it lives.
struct Open<'a>(&'a Counters);

impl<'a> Open<'a> {
    fn new(counters: &'a Counters) -> Self {
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        let open = counters.open.fetch_add(1, Ordering::Relaxed) + 1;
        counters.max_open.fetch_max(open, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>, turn: usize) {
    let _open = Open::new(&shared.counters);
    let mut mode = shared.mode.subscribe();
    // Failing only costs latency.
    let _ = client.set_nodelay(true);
    let ended = tokio::select! {
        _ = mode.wait_for(|mode| *mode == Mode::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
        ended = relay(&mut client, &shared, turn) => ended,
    };
    if ended.is_err() {
        // A RST instead of a FIN, so that the client sees a failure. It fails if the socket is closed already.
        let _ = client.set_zero_linger();
    }
}

async fn relay(client: &mut TcpStream, shared: &Shared, turn: usize) -> io::Result<()> {
    let mut mode = shared.mode.subscribe();
    let (mut from_client, to_client) = client.split();
    let mut buffered = Vec::with_capacity(READ_BYTES);
    // A black hole does not even connect to the target.
    while *mode.borrow_and_update() == Mode::BlackHole {
        tokio::select! {
            _ = mode.changed() => {}
            read = from_client.read_buf(&mut buffered), if buffered.len() < MAX_BUFFER_BYTES => {
                if read? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
    let (from_server, to_server) = connect(shared, turn).await?;
    let up = pump(from_client, to_server, buffered, mode.clone(), true);
    let down = pump(from_server, to_client, Vec::with_capacity(READ_BYTES), mode, false);
    tokio::try_join!(up, down).map(|_| ())
}

type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

async fn connect(shared: &Shared, turn: usize) -> io::Result<Halves> {
    let targets = shared.targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for at in 0..targets.len() {
        match &targets[(turn + at) % targets.len()] {
            Target::Tcp(address) => {
                let Ok(stream) = TcpStream::connect(address).await else { continue };
                stream.set_nodelay(true)?;
                let (read, write) = stream.into_split();
                return Ok((Box::new(read), Box::new(write)));
            }
            Target::Unix(path) => {
                let Ok(stream) = UnixStream::connect(path).await else { continue };
                let (read, write) = stream.into_split();
                return Ok((Box::new(read), Box::new(write)));
            }
        }
    }
    Err(io::ErrorKind::ConnectionRefused.into())
}

/// Forwards `from` to `to`, beginning with the bytes in `buffered`, until `from` ends.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut buffered: Vec<u8>,
    mut mode: watch::Receiver<Mode>,
    to_server: bool,
) -> io::Result<()> {
    let mut ended = false;
    let mut half_closed = false;
    loop {
        let current = *mode.borrow_and_update();
        match current {
            Mode::HalfClose if !to_server => {
                if !half_closed {
                    to.shutdown().await?;
                    half_closed = true;
                }
                buffered.clear();
            }
            Mode::BlackHole if ended && to_server => return Err(io::ErrorKind::UnexpectedEof.into()),
            Mode::BlackHole => {}
            _ if buffered.is_empty() => {}
            _ => {
                if let Mode::Delay(delay) = current {
                    tokio::time::sleep(delay).await;
                }
                to.write_all(&buffered).await?;
                buffered.clear();
            }
        }
        // A black hole hides that the other side has ended.
        if ended && buffered.is_empty() && current != Mode::BlackHole {
            return if half_closed { Ok(()) } else { to.shutdown().await };
        }
        tokio::select! {
            _ = mode.changed() => {}
            read = from.read_buf(&mut buffered), if !ended && buffered.len() < MAX_BUFFER_BYTES => ended = read? == 0,
        }
    }
}

#[cfg(test)]
mod tests;

//! A TCP proxy that can be told, while it runs, to delay, to reset, to swallow, or to close half of what goes through it.

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
use tokio::task::{JoinHandle, JoinSet};

/// The most bytes of one direction that a black hole keeps for later; beyond it the sender has to wait.
const HELD_BYTES: usize = 256 * 1024;
/// What is read at a time, about.
const PIECE_BYTES: usize = 16 * 1024;

/// What the proxy does with the connections that are open and with those to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Pass everything on.
    Forward,
    /// Pass everything on, each piece this much later.
    Delay(Duration),
    /// End every connection with a RST.
    Reset,
    /// Accept and keep connections, pass nothing on. What came in the meantime is passed on afterwards, as TCP would.
    BlackHole,
    /// Tell the client that no more will come, and still take what it sends.
    HalfClose,
}

/// Where connections lead to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What went through.
#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    open: AtomicUsize,
    most_open: AtomicUsize,
    requests: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    mode: watch::Sender<Mode>,
    targets: Mutex<Vec<Target>>,
    counters: Counters,
}

/// A running proxy; it and its connections end when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of this machine. Of several `targets` each connection takes the next; without any, or when
    /// none can be reached, it is reset.
    pub(crate) async fn start(targets: Vec<Target>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Forward),
            targets: Mutex::new(targets),
            counters: Counters::default(),
        });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, acceptor })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Behaves like this from now on.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// New connections lead here from now on.
    pub(crate) fn set_targets(&self, targets: Vec<Target>) {
        *self.shared.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// How many connections were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.counters.accepted.load(Ordering::Relaxed)
    }

    /// The most connections that were open at a time since [`Self::forget_most_open`].
    pub(crate) fn most_open(&self) -> usize {
        self.shared.counters.most_open.load(Ordering::Relaxed)
    }

    /// Begins to look for the most open connections anew.
    pub(crate) fn forget_most_open(&self) {
        let open = self.shared.counters.open.load(Ordering::Relaxed);
        self.shared.counters.most_open.store(open, Ordering::Relaxed);
    }

    /// How many HTTP/1.1 requests came in, passed on or not.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.counters.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    let mut turn = 0;
    loop {
        // It fails when descriptors run out; a listener goes on.
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
        counters.most_open.fetch_max(open, Ordering::Relaxed);
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
    // It only saves time.
    let _ = client.set_nodelay(true);
    let ended = tokio::select! {
        _ = mode.wait_for(|mode| *mode == Mode::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
        ended = relay(&mut client, &shared, turn) => ended,
    };
    if ended.is_err() {
        // The client is to see that it went wrong, not that it ended. A socket that is gone cannot be set.
        let _ = client.set_zero_linger();
    }
}

async fn relay(client: &mut TcpStream, shared: &Shared, turn: usize) -> io::Result<()> {
    let mut requests = RequestCounter { counters: &shared.counters, matched: 0 };
    let mut mode = shared.mode.subscribe();
    let (mut from_client, to_client) = client.split();
    let mut held = Vec::with_capacity(PIECE_BYTES);
    // In a black hole not even the connection gets through.
    while *mode.borrow_and_update() == Mode::BlackHole {
        tokio::select! {
            _ = mode.changed() => {}
            read = from_client.read_buf(&mut held), if held.len() < HELD_BYTES => {
                let length = read?;
                if length == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                requests.count(&held[held.len() - length..]);
            }
        }
    }
    let (from_server, to_server) = connect(shared, turn).await?;
    let up = pump(from_client, to_server, held, mode.clone(), Some(requests));
    let down = pump(from_server, to_client, Vec::with_capacity(PIECE_BYTES), mode, None);
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

/// Passes on what comes, beginning with what is `held` already, until `from` ends. Only the direction to the server
/// counts `requests`.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut held: Vec<u8>,
    mut mode: watch::Receiver<Mode>,
    mut requests: Option<RequestCounter<'_>>,
) -> io::Result<()> {
    let mut ended = false;
    let mut told = false;
    loop {
        let present = *mode.borrow_and_update();
        match present {
            Mode::HalfClose if requests.is_none() => {
                if !told {
                    to.shutdown().await?;
                    told = true;
                }
                held.clear();
            }
            Mode::BlackHole if ended && requests.is_some() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Mode::BlackHole => {}
            _ if held.is_empty() => {}
            _ => {
                if let Mode::Delay(delay) = present {
                    tokio::time::sleep(delay).await;
                }
                to.write_all(&held).await?;
                held.clear();
            }
        }
        // What has ended behind a black hole seems to go on.
        if ended && held.is_empty() && present != Mode::BlackHole {
            return if told { Ok(()) } else { to.shutdown().await };
        }
        tokio::select! {
            _ = mode.changed() => {}
            read = from.read_buf(&mut held), if !ended && held.len() < HELD_BYTES => {
                let length = read?;
                ended = length == 0;
                if let Some(requests) = &mut requests {
                    requests.count(&held[held.len() - length..]);
                }
            }
        }
    }
}

/// Recognises requests by the end of their first line.
struct RequestCounter<'a> {
    counters: &'a Counters,
    matched: usize,
}

impl RequestCounter<'_> {
    fn count(&mut self, bytes: &[u8]) {
        const MARK: &[u8] = b" HTTP/1.1\r\n";
        for byte in bytes {
            self.matched = if *byte == MARK[self.matched] { self.matched + 1 } else { usize::from(*byte == MARK[0]) };
            if self.matched == MARK.len() {
                self.matched = 0;
                self.counters.requests.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Clients that take as much as they can and give as little: slow ones, endless ones, idle ones, and those that change their
//! mind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long a dribbling client takes for one byte.
const DRIBBLE: Duration = Duration::from_millis(250);
/// How long any of them waits before it begins again.
const AGAIN: Duration = Duration::from_millis(20);
/// How many connections are made before the next breath: no backlog is to overflow.
const BATCH: usize = 100;

/// A kind of greed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greed {
    DribbledHeaders,
    DribbledBodies,
    EndlessBodies,
    Idle,
    Http2Resets,
}

impl Greed {
    /// How it is named in figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DribbledHeaders => "dribbled headers",
            Self::DribbledBodies => "dribbled bodies",
            Self::EndlessBodies => "endless bodies",
            Self::Idle => "idle connections",
            Self::Http2Resets => "HTTP/2 resets",
        }
    }

    /// How many connections it has at a time.
    pub(crate) fn connections(self) -> usize {
        match self {
            // More than a service takes requests at a time.
            Self::DribbledHeaders | Self::DribbledBodies => 1100,
            Self::EndlessBodies => 16,
            Self::Idle => 10_000,
            Self::Http2Resets => 4,
        }
    }
}

/// What greedy clients have done so far.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Connections that were made.
    pub(crate) connected: AtomicUsize,
    /// Connections that failed to be made.
    pub(crate) refused: AtomicUsize,
    /// Requests that were begun.
    pub(crate) requests: AtomicUsize,
}

/// Is greedy towards the server at `address` for as long as it is let, with `connections`.
pub(crate) async fn be_greedy(greed: Greed, connections: usize, address: SocketAddr, done: Arc<Done>) {
    let mut clients = JoinSet::new();
    for number in 1..=connections {
        clients.spawn(client(greed, address, Arc::clone(&done)));
        if number % BATCH == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    while clients.join_next().await.is_some() {}
}

async fn client(greed: Greed, address: SocketAddr, done: Arc<Done>) {
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                done.connected.fetch_add(1, Ordering::Relaxed);
                // It ends when the server has had enough.
                let _ = match greed {
                    Greed::DribbledHeaders => {
                        dribble(stream, b"GET /api/v1/orders/1 HTTP/1.1\r\nX-Slow: ", &done).await
                    }
                    Greed::DribbledBodies => dribble(stream, &body_head("Content-Length: 10000"), &done).await,
                    Greed::EndlessBodies => pour(stream, &done).await,
                    Greed::Idle => idle(stream).await,
                    Greed::Http2Resets => open_and_reset(stream, &done).await.map_err(std::io::Error::other),
                };
            }
            Err(_) => {
                done.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(AGAIN).await;
    }
}

fn body_head(length: &str) -> Vec<u8> {
    format!("POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n")
        .into_bytes()
}

async fn dribble(mut stream: TcpStream, begin: &[u8], done: &Done) -> std::io::Result<()> {
    done.requests.fetch_add(1, Ordering::Relaxed);
    stream.write_all(begin).await?;
    let mut answer = [0; 1024];
    loop {
        tokio::select! {
            // An answer or the end: it is known now.
            _ = stream.read(&mut answer) => return Ok(()),
            () = sleep(DRIBBLE) => stream.write_all(b" ").await?,
        }
    }
}

async fn pour(mut stream: TcpStream, done: &Done) -> std::io::Result<()> {
    done.requests.fetch_add(1, Ordering::Relaxed);
    stream.write_all(&body_head("Transfer-Encoding: chunked")).await?;
    let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk).await?;
    }
}

async fn idle(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0; 16]).await.map(|_| ())
}

/// Opens streams and takes them back at once, until the server ends the connection.
async fn open_and_reset(stream: TcpStream, done: &Done) -> Result<(), h2::Error> {
    let (mut requests, connection) = h2::client::handshake(stream).await?;
    let opening = async {
        loop {
            for _ in 0..20 {
                requests = requests.ready().await?;
                let request = http::Request::get("http://localhost/api/v1/orders/1");
                let request = request.body(()).map_err(|_| h2::Error::from(h2::Reason::INTERNAL_ERROR))?;
                let (_answer, mut stream) = requests.send_request(request, false)?;
                stream.send_reset(h2::Reason::CANCEL);
                done.requests.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = connection => ended,
        ended = opening => ended,
    }
}

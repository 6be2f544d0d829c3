//! Abusive clients: slow requests, endless bodies, idle connections, HTTP/2 rapid resets and floods of small frames, and
//! pipelining without a pause.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The interval between the bytes of a slow client.
const BYTE_INTERVAL: Duration = Duration::from_millis(250);
/// The pause of a client before it connects again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// How many connections are opened before a pause, so that the accept backlog does not overflow.
const BATCH: usize = 100;

/// How many requests or frames are written at a time by clients that send without a pause.
const PIPELINED: usize = 100;

/// A kind of abuse.
#[derive(Clone, Debug)]
pub(crate) enum Abuse {
    SlowHeaders,
    SlowBodies,
    EndlessBodies,
    Idle,
    Http2Resets,
    /// HTTP/2 frames that need no answer.
    Http2Frames,
    /// The same request, again and again, without waiting for the answers.
    Pipelining(Vec<u8>),
}

/// What the clients have done so far.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Connections that were opened.
    pub(crate) connected: AtomicUsize,
    /// Connections that were refused.
    pub(crate) refused: AtomicUsize,
    /// Requests that were begun, or HTTP/2 streams.
    pub(crate) requests: AtomicUsize,
}

/// The preface of a client's connection, and empty settings.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A PRIORITY frame of stream 1: allowed in any state, and ignored.
const PRIORITY_FRAME: [u8; 14] = [0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 16];

/// Keeps `connections` to the server at `address` open until it is cancelled.
pub(crate) async fn attack(abuse: Abuse, connections: usize, address: SocketAddr, activity: Arc<Activity>) {
    let mut clients = JoinSet::new();
    for number in 1..=connections {
        clients.spawn(client(abuse.clone(), address, Arc::clone(&activity)));
        if number % BATCH == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    while clients.join_next().await.is_some() {}
}

async fn client(abuse: Abuse, address: SocketAddr, activity: Arc<Activity>) {
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                activity.connected.fetch_add(1, Ordering::Relaxed);
                // Ends when the server closes the connection.
                let _ = match &abuse {
                    Abuse::SlowHeaders => {
                        send_slowly(stream, b"GET /api/v1/orders/1 HTTP/1.1\r\nX-Slow: ", &activity).await
                    }
                    Abuse::SlowBodies => send_slowly(stream, &body_head("Content-Length: 10000"), &activity).await,
                    Abuse::EndlessBodies => send_endlessly(stream, &activity).await,
                    Abuse::Idle => idle(stream).await,
                    Abuse::Http2Resets => open_and_reset(stream, &activity).await.map_err(std::io::Error::other),
                    Abuse::Http2Frames => send_without_pause(stream, HTTP2_PREFACE, &PRIORITY_FRAME, &activity).await,
                    Abuse::Pipelining(request) => send_without_pause(stream, b"", request, &activity).await,
                };
            }
            Err(_) => {
                activity.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

fn body_head(length: &str) -> Vec<u8> {
    format!("POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n")
        .into_bytes()
}

async fn send_slowly(mut stream: TcpStream, begin: &[u8], activity: &Activity) -> std::io::Result<()> {
    activity.requests.fetch_add(1, Ordering::Relaxed);
    stream.write_all(begin).await?;
    let mut answer = [0; 1024];
    loop {
        tokio::select! {
            // An answer, or the end of the connection.
            _ = stream.read(&mut answer) => return Ok(()),
            () = sleep(BYTE_INTERVAL) => stream.write_all(b" ").await?,
        }
    }
}

async fn send_endlessly(mut stream: TcpStream, activity: &Activity) -> std::io::Result<()> {
    activity.requests.fetch_add(1, Ordering::Relaxed);
    stream.write_all(&body_head("Transfer-Encoding: chunked")).await?;
    let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk).await?;
    }
}

async fn idle(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0; 16]).await.map(|_| ())
}

/// Opens streams and resets them immediately, until the server closes the connection.
async fn open_and_reset(stream: TcpStream, activity: &Activity) -> Result<(), h2::Error> {
    let (mut requests, connection) = h2::client::handshake(stream).await?;
    let opening = async {
        loop {
            for _ in 0..20 {
                requests = requests.ready().await?;
                let request = http::Request::get("http://localhost/api/v1/orders/1");
                let request = request.body(()).map_err(|_| h2::Error::from(h2::Reason::INTERNAL_ERROR))?;
                let (_answer, mut stream) = requests.send_request(request, false)?;
                stream.send_reset(h2::Reason::CANCEL);
                activity.requests.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        closed = connection => closed,
        closed = opening => closed,
    }
}

/// Sends `begin`, then `repeated` without a pause, and discards what is answered.
async fn send_without_pause(
    mut stream: TcpStream,
    begin: &[u8],
    repeated: &[u8],
    activity: &Activity,
) -> std::io::Result<()> {
    let (mut answers, mut requests) = stream.split();
    let sending = async {
        requests.write_all(begin).await?;
        let repeated = repeated.repeat(PIPELINED);
        loop {
            requests.write_all(&repeated).await?;
            activity.requests.fetch_add(PIPELINED, Ordering::Relaxed);
        }
    };
    let reading = async {
        let mut answer = vec![0; 256 * 1024];
        while answers.read(&mut answer).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        ended = sending => ended,
        ended = reading => ended,
    }
}

//! A stub of user-service that fails on demand and counts its calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[derive(Debug, Default)]
struct Shared {
    failing: AtomicBool,
    calls: AtomicU64,
}

/// A running stub: every user exists; while it fails, it answers 503. It ends when dropped.
#[derive(Debug)]
pub(crate) struct StubUserService {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _acceptor: JoinSet<()>,
}

impl StubUserService {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _acceptor: acceptor })
    }

    /// Begins or ends failing.
    pub(crate) fn set_failing(&self, failing: bool) {
        self.shared.failing.store(failing, Ordering::Relaxed);
    }

    /// How many requests it received.
    pub(crate) fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            // Only GETs arrive, not pipelined: an empty line ends a request.
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        shared.calls.fetch_add(1, Ordering::Relaxed);
        let target = String::from_utf8_lossy(&head);
        let target = target.split(' ').nth(1).unwrap_or_default();
        let user = |id: &str| format!(r#"{{"id":{id},"email":"a@b","name":"A"}}"#);
        let (status, body) = if shared.failing.load(Ordering::Relaxed) {
            let error = r#"{"request_id":"stub","error_code":"database_unavailable","message":"Database unavailable"}"#;
            ("503 Service Unavailable\r\nRetry-After: 1", error.to_owned())
        } else {
            let body = match target.rsplit_once("?ids=") {
                Some((_, ids)) => {
                    format!(r#"{{"items":[{}]}}"#, ids.split(',').map(user).collect::<Vec<_>>().join(","))
                }
                None => user(target.rsplit('/').next().unwrap_or_default()),
            };
            ("200 OK", body)
        };
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await?;
        head.clear();
    }
}

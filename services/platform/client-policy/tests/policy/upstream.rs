//! A service with a scripted reply to each request, over real sockets.
//!
//! It runs on the test's own runtime, so the paused clock advances only when client and service both wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The service's reaction to a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Writes this and keeps the connection open.
    Bytes(String),
    /// Writes this after a delay and keeps the connection open.
    Late(Duration, String),
    /// Closes the connection.
    Close,
    /// Never answers.
    Silence,
    /// Starts an answer that never ends.
    Endless,
}

/// A valid item.
pub(crate) fn item() -> Reply {
    answer(200, "", r#"{"id": 1, "name": "John Doe"}"#)
}

pub(crate) fn status(status: u16) -> Reply {
    answer(status, "", "")
}

pub(crate) fn answer(status: u16, header: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Bytes(format!("HTTP/1.1 {status} Status\r\n{header}content-length: {length}\r\n\r\n{body}"))
}

#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// A service that calls `reply` with the number of each request, from 1.
    pub(crate) async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Self { url, heads: Arc::default(), connections: Arc::default() };
        let (reply, seen) = (Arc::new(reply), upstream.clone());
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                seen.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(seen.clone().serve(connection, reply.clone()));
            }
        });
        upstream
    }

    /// The number of requests received.
    pub(crate) fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    /// The number of connections accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The value of a header in each request, in order of arrival.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let value = |head: &String| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        self.heads.lock().unwrap().iter().map(value).collect()
    }

    async fn serve(self, mut connection: TcpStream, reply: Arc<impl Fn(usize) -> Reply>) {
        while let Some(head) = read_request(&mut connection).await {
            let number = {
                let mut heads = self.heads.lock().unwrap();
                heads.push(head);
                heads.len()
            };
            match reply(number) {
                Reply::Bytes(bytes) => connection.write_all(bytes.as_bytes()).await.unwrap(),
                Reply::Late(time, bytes) => {
                    tokio::time::sleep(time).await;
                    // The client may be gone.
                    let _ = connection.write_all(bytes.as_bytes()).await;
                }
                Reply::Close => return,
                Reply::Silence => std::future::pending().await,
                Reply::Endless => {
                    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"name\": \"").await;
                    // Until the client closes the connection.
                    while connection.write_all(&[b'n'; 16 * 1024]).await.is_ok() {}
                    return;
                }
            }
        }
    }
}

/// The head of the next request, in lower case; its body is read and dropped.
async fn read_request(connection: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(head.to_owned());
            }
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

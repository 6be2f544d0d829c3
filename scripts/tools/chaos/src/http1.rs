//! An HTTP/1.1 client that does nothing by itself: no retries, no pool, one connection. What it did is what was asked of
//! it, and it costs little of the machine that it shares with the services.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// More than any answer of ours has: a page of 1000 orders.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The value of the first header `name`, which is written in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.head.lines().filter_map(|line| line.split_once(':'));
        values.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// `GET path`, as bytes to send.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// `POST path` with JSON, as bytes to send.
pub(crate) fn post(path: &str, key: Option<&str>, body: &str) -> Vec<u8> {
    let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{key}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One connection, made when it is needed and kept as long as it is good.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    /// To `address`; each exchange, connecting included, may take `patience`.
    pub(crate) fn new(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, stream: None, buffer: Vec::new() }
    }

    /// Connects, if it is not connected.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.buffer.clear();
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends `request` as it is and reads the answer. After a failure the next exchange begins with a new connection.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<Reply> {
        let patience = self.patience;
        let reply = timeout(patience, self.exchange(request)).await.unwrap_or_else(|_| Err(late()));
        let closing = match &reply {
            Ok(reply) => reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
            Err(_) => true,
        };
        if closing {
            self.stream = None;
        }
        reply
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.connect().await?;
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(request).await?;
        read_reply(stream, &mut self.buffer, request.starts_with(b"HEAD ")).await
    }
}

/// Reads one answer; what came after it stays in `buffer`.
pub(crate) async fn read_reply(stream: &mut TcpStream, buffer: &mut Vec<u8>, bodiless: bool) -> io::Result<Reply> {
    let (status, head) = loop {
        let (status, head) = read_head(stream, buffer).await?;
        // Before it there can be a "go on".
        if status >= 200 {
            break (status, head);
        }
    };
    let mut reply = Reply { status, head, body: Vec::new() };
    let length = match reply.header("content-length") {
        Some(length) => length.parse::<usize>().map_err(|_| nonsense())?,
        None if reply.header("transfer-encoding").is_some() => return Err(nonsense()),
        None => 0,
    };
    if !bodiless && status != 204 {
        while buffer.len() < length {
            more(stream, buffer).await?;
        }
        reply.body = buffer.drain(..length).collect();
    }
    Ok(reply)
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<(u16, String)> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, buffer).await?;
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let head = String::from_utf8_lossy(&head).into_owned();
    let after_version = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 "));
    let status = after_version.and_then(|rest| rest.get(..3)?.parse().ok()).ok_or_else(nonsense)?;
    Ok((status, head))
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    if buffer.len() > ANSWER_LIMIT {
        return Err(nonsense());
    }
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer that is none of ours")
}

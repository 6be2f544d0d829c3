//! An HTTP/1.1 client that sends exactly the bytes it is given: one connection, no pool, no retries. It uses little of
//! the processors that it shares with the services.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// More than the longest answer of a service, which is a page of 1000 orders.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// An answer, copied out of the connection's buffer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body; empty for `HEAD` and 204.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of the first header `name`, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// `GET path`, as bytes to send.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// `POST path` with JSON, as bytes to send.
pub fn post(path: &str, idempotency_key: Option<&str>, body: &str) -> Vec<u8> {
    let key = idempotency_key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length";
    format!("POST {path} HTTP/1.1\r\n{key}{head}: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// `PUT path` with JSON, as bytes to send.
pub fn put(path: &str, body: &str) -> Vec<u8> {
    let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length";
    format!("PUT {path} HTTP/1.1\r\n{head}: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// One connection, opened when it is needed and kept alive until an exchange fails or the server closes it.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    time_limit: Option<Duration>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    head: Head,
}

impl Client {
    /// A client of `address`. `time_limit` bounds each exchange, connecting included.
    pub fn new(address: SocketAddr, time_limit: impl Into<Option<Duration>>) -> Self {
        let time_limit = time_limit.into();
        Self { address, time_limit, stream: None, buffer: Vec::with_capacity(4096), head: Head::default() }
    }

    /// Connects, if it is not connected.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends `request` as it is, reads the whole answer, and returns its status. After a failure the next exchange
    /// opens a new connection.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        match self.time_limit {
            Some(limit) => timeout(limit, self.unlimited_exchange(request)).await?,
            None => self.unlimited_exchange(request).await,
        }
    }

    async fn unlimited_exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.connect().await?;
        // Taken out, so that a failed or cancelled exchange closes the connection.
        let mut stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(request).await?;
        self.head = read_answer(&mut stream, &mut self.buffer, request.starts_with(b"HEAD ")).await?;
        self.stream = Some(stream).filter(|_| !self.head.closes);
        Ok(self.head.status)
    }

    /// The body of the answer to the last exchange that succeeded.
    pub fn body(&self) -> &[u8] {
        let Head { head_bytes, body_bytes, .. } = self.head;
        self.buffer.get(head_bytes..head_bytes + body_bytes).unwrap_or_default()
    }

    /// [`Self::exchange`], with a copy of the answer.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<Reply> {
        let status = self.exchange(request).await?;
        let head = String::from_utf8_lossy(&self.buffer[..self.head.head_bytes]).into_owned();
        Ok(Reply { status, head, body: self.body().to_vec() })
    }
}

/// The status line and the headers of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The length of the head, the empty line included.
    head_bytes: usize,
    body_bytes: usize,
    /// Whether the server closes the connection after this answer.
    closes: bool,
}

/// Reads one answer into `buffer`. `to_head`: it answers a `HEAD` request, so that no body follows.
pub async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>, to_head: bool) -> io::Result<Head> {
    buffer.clear();
    loop {
        if let Some(mut head) = parse_head(buffer)? {
            // An interim answer, such as 100 Continue, precedes the final one.
            if head.status < 200 {
                buffer.drain(..head.head_bytes);
                continue;
            }
            if to_head || head.status == 204 {
                head.body_bytes = 0;
            }
            if buffer.len() >= head.head_bytes + head.body_bytes {
                return Ok(head);
            }
        }
        if buffer.len() > MAX_ANSWER_BYTES {
            return Err(invalid());
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// `None`: the head is not complete yet.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| {
        let after_version = line.strip_prefix("HTTP/1.1 ").or(line.strip_prefix("HTTP/1.0 "))?;
        after_version.get(..3)?.parse().ok()
    });
    let (mut length, mut encoded, mut closes) = (None, false, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse().map_err(|_| invalid())?);
        }
        encoded |= name.eq_ignore_ascii_case("transfer-encoding");
        closes |= name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close");
    }
    if length.is_none() && encoded {
        return Err(invalid());
    }
    let status = status.ok_or_else(invalid)?;
    Ok(Some(Head { status, head_bytes: end + 4, body_bytes: length.unwrap_or(0), closes }))
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an HTTP/1.1 answer with a Content-Length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_head_names_the_length_of_the_body() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-LENGTH: 5\r\nConnection: Close\r\n\r\nhello";
        let head = Head { status: 201, head_bytes: answer.len() - 5, body_bytes: 5, closes: true };
        assert_eq!(parse_head(answer).unwrap(), Some(head));
        assert_eq!(parse_head(&answer[..30]).unwrap(), None);
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn an_interim_answer_is_skipped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = Client::new(listener.local_addr().unwrap(), Duration::from_secs(5));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-It: yes\r\n\r\n{}";
            stream.write_all(answer).await
        });
        let reply = client.send(&get("/")).await.unwrap();
        assert_eq!((reply.status, reply.header("x-it"), &*reply.body), (200, Some("yes"), &b"{}"[..]));
    }
}

//! As little of an HTTP client as the load needs: it shares the processors with what it measures.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The beginning of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    status: u16,
    /// Of head and body.
    length: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends `request` as it is, reads the answer to its end, and gives its status.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = head(&self.buffer)?.filter(|head| self.buffer.len() >= head.length) {
                return Ok(head.status);
            }
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        let begin = self.buffer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        &self.buffer[begin..]
    }
}

/// `GET path`, as bytes to send.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// `POST path` with JSON, as bytes to send.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length";
    format!("POST {path} HTTP/1.1\r\n{head}: {length}\r\n\r\n{body}").into_bytes()
}

/// `None`: more is to come.
fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong("a head that is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let status = status.ok_or_else(|| wrong("no HTTP/1.1"))?;
    let length = length.ok_or_else(|| wrong("an answer without a Content-Length"))?;
    Ok(Some(Head { status, length: end + 4 + length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-LENGTH: 5\r\nx: y\r\n\r\nhello";
        let whole = Head { status: 201, length: answer.len() };
        assert_eq!(head(answer).unwrap(), Some(whole));
        assert_eq!(head(&answer[..answer.len() - 3]).unwrap(), Some(whole));
        assert_eq!(head(&answer[..30]).unwrap(), None);
    }

    #[test]
    fn an_answer_that_cannot_be_counted_is_a_failure() {
        assert!(head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }
}

//! The client of `--check-ready`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::server::reachable;

/// A process on this machine that has not accepted a connection by then is stuck.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// `/ready` waits less than a second for PostgreSQL; a SQLite file that takes longer than this is not ready.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than any status line.
const STATUS_LINE_LIMIT_BYTES: u64 = 256;

/// Requests `/ready` of the service that listens on `address`. Fails unless the status is 200.
pub(crate) fn check(address: SocketAddr) -> Result<()> {
    let address = reachable(address);
    let status = status(address).with_context(|| format!("no answer from http://{address}/ready"))?;
    ensure!(status == 200, "http://{address}/ready answers {status}");
    Ok(())
}

/// A few lines of HTTP: loading an HTTP client would take most of the program's time.
fn status(address: SocketAddr) -> Result<u16> {
    let mut connection = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(connection, "GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(connection).take(STATUS_LINE_LIMIT_BYTES).read_line(&mut line)?;
    match line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()) {
        Some(status) => Ok(status),
        None => bail!("the server does not speak HTTP"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// The result for a server that responds with `answer` and keeps the connection open.
    fn check_server(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (connection, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            (&connection).write_all(answer.as_bytes()).unwrap();
            (request, connection)
        });
        let result = check(address).map_err(|error| format!("{error:#}").replace(&address.port().to_string(), "PORT"));
        assert_eq!(server.join().unwrap().0, "GET /ready HTTP/1.1");
        result
    }

    #[test]
    fn only_200_is_ready() {
        assert_eq!(check_server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Ok(()));
        for (answer, expected) in [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "http://127.0.0.1:PORT/ready answers 503"),
            ("HTTP/1.1 204 No Content\r\n\r\n", "http://127.0.0.1:PORT/ready answers 204"),
            ("220 mail.example.com\r\n", "no answer from http://127.0.0.1:PORT/ready: the server does not speak HTTP"),
        ] {
            assert_eq!(check_server(answer), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_closed_port_is_not_ready() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = format!("{:#}", check(closed).unwrap_err());
        assert!(error.starts_with(&format!("no answer from http://{closed}/ready: ")), "{error}");
    }

    #[test]
    fn a_silent_server_is_not_ready() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(check(silent.local_addr().unwrap()).is_err());
    }
}

//! A pool of HTTP/1.1 connections to one service, on hyper alone.
//!
//! reqwest's layers around hyper (redirects, proxies, a pool for any number of hosts) are switched off for these calls but
//! cost as much as sending the request. Requests, answers and errors are still reqwest's types.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{future, stream};
use http::header::{HOST, HeaderValue};
use http::uri::Uri;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use reqwest::{Body, Request, Response, ResponseBuilderExt as _, Url};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::Outcome;
use crate::settings::IDLE_CONNECTION;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Connections to one service by plain HTTP/1.1.
pub(crate) struct Transport {
    /// An IPv6 address has brackets.
    host: String,
    port: u16,
    /// The value of `Host`.
    authority: HeaderValue,
    connect_timeout: Duration,
    /// Idle connections with the time of their last use; the most recent is at the back.
    idle: Mutex<VecDeque<(SendRequest<Body>, Instant)>>,
}

impl Transport {
    /// A pool for the service at `base_url`; `None` unless it is plain HTTP without credentials.
    pub(crate) fn new(base_url: &str, connect_timeout: Duration) -> Option<Self> {
        let url = Url::parse(base_url).ok()?;
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let uri: Uri = url.as_str().parse().ok()?;
        Some(Self {
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
            authority: HeaderValue::from_str(uri.authority()?.as_str()).ok()?,
            connect_timeout,
            idle: Mutex::default(),
        })
    }

    /// Whether `url` belongs to this service.
    pub(crate) fn leads_to(&self, url: &Url) -> bool {
        url.scheme() == "http" && url.host_str() == Some(&self.host) && url.port_or_known_default() == Some(self.port)
    }

    /// Sends `request` and reads the answer with `read`, both within the request's timeout.
    pub(crate) async fn attempt<F>(&self, request: Request, read: impl FnOnce(Response) -> F) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        let url = request.url().clone();
        let limit = request.timeout().copied().unwrap_or(Duration::MAX);
        let attempt = async {
            let (sender, answer) = match self.exchange(request).await {
                Ok(exchanged) => exchanged,
                Err(error) => return failed(error).await,
            };
            let (head, body) = answer.into_parts();
            // Without a URL reqwest would parse a placeholder.
            let addressed = http::Response::builder().url(url.clone()).body(()).unwrap_or_default();
            let mut response = addressed.map(|()| Body::wrap(body));
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers;
            let outcome = read(response.into()).await;
            self.release(sender);
            outcome
        };
        let outcome = match timeout(limit, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => failed(timed_out().into()).await,
        };
        outcome.map_err(|error| error.with_url(url))
    }

    async fn exchange(
        &self,
        request: Request,
    ) -> Result<(SendRequest<Body>, http::Response<hyper::body::Incoming>), BoxError> {
        let mut message = http::Request::<Body>::try_from(request)?;
        *message.uri_mut() = message.uri().path_and_query().cloned().map(Uri::from).unwrap_or_default();
        message.headers_mut().insert(HOST, self.authority.clone());
        while let Some(mut sender) = self.take_idle() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(message).await {
                Ok(answer) => return Ok((sender, answer)),
                // The service closed the connection before anything was sent: try another one.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => message = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut sender = self.connect().await?;
        let answer = sender.send_request(message).await?;
        Ok((sender, answer))
    }

    async fn connect(&self) -> Result<SendRequest<Body>, BoxError> {
        let stream = timeout(self.connect_timeout, self.stream()).await.map_err(|_| timed_out())??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The sender receives the connection's errors.
        tokio::spawn(async { connection.await.unwrap_or_default() });
        Ok(sender)
    }

    async fn stream(&self) -> io::Result<TcpStream> {
        let addresses: Vec<_> = lookup_host((self.host.trim_matches(['[', ']']), self.port)).await?.collect();
        // Happy eyeballs, in sequence: an address that drops packets leaves time for the others.
        let share = self.connect_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = io::Error::other("the name has no address");
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(timed_out())) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The most recently used connection, so that surplus ones expire.
    fn take_idle(&self) -> Option<SendRequest<Body>> {
        let (sender, used) = self.idle().pop_back()?;
        (used.elapsed() < IDLE_CONNECTION).then_some(sender)
    }

    /// Returns a connection to the pool; its state is checked on the next use.
    fn release(&self, sender: SendRequest<Body>) {
        let mut idle = self.idle();
        while idle.front().is_some_and(|(_, used)| used.elapsed() >= IDLE_CONNECTION) {
            idle.pop_front();
        }
        idle.push_back((sender, Instant::now()));
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(SendRequest<Body>, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("authority", &self.authority).finish_non_exhaustive()
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Wraps `cause` in a `reqwest::Error`, which has no public constructor, by reading from a failing body.
async fn failed(cause: BoxError) -> Outcome {
    let body = Body::wrap_stream(stream::once(future::ready(Err::<&[u8], _>(cause))));
    let mut failing = Response::from(http::Response::new(body));
    failing.chunk().await.map(|_| failing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_without_credentials_gets_a_pool() {
        for (base_url, expected) in [
            ("http://users", Some(("users", 80, "users"))),
            ("http://users:8001/", Some(("users", 8001, "users:8001"))),
            ("http://127.0.0.1:8001/below", Some(("127.0.0.1", 8001, "127.0.0.1:8001"))),
            ("http://[::1]:8001", Some(("[::1]", 8001, "[::1]:8001"))),
            ("https://users", None),
            ("http://name:secret@users", None),
            ("http://", None),
            ("users:8001", None),
            ("", None),
        ] {
            let transport = Transport::new(base_url, Duration::from_secs(1));
            let found = transport
                .as_ref()
                .map(|found| (found.host.as_str(), found.port, found.authority.to_str().unwrap_or_default()));
            assert_eq!(found, expected, "{base_url}");
        }
    }
}

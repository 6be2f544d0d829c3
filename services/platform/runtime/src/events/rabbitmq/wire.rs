//! The stream under a connection, which can be cut from outside.
//!
//! lapin reads and writes in a thread of its own, which goes on for as long as the broker keeps the stream open, even
//! when nobody uses the connection any more: with a broker that hangs, each new attempt would leave a thread behind.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use futures::io::{AsyncRead, AsyncWrite};
use futures::{FutureExt, Stream};
use tokio::io::ReadBuf;
use tokio::sync::oneshot;

/// Ends its [`Wire`] when it is dropped.
pub(super) type Cut = oneshot::Sender<Infallible>;

/// A stream, encrypted or not, until it is cut.
pub(super) struct Wire {
    stream: Pin<Box<dyn Duplex>>,
    cut: oneshot::Receiver<Infallible>,
}

/// Both directions of a stream.
pub(super) trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send> Duplex for S {}

impl Wire {
    pub(super) fn new(stream: Pin<Box<dyn Duplex>>) -> (Self, Cut) {
        let (cut, cutting) = oneshot::channel();
        (Self { stream, cut: cutting }, cut)
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.poll_unpin(context) {
            Poll::Ready(_) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.stream.as_mut().poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        self.stream.as_mut().poll_shutdown(context)
    }
}

/// tokio's runtime, with [`Wire`] as the stream of connections.
#[derive(Clone, Debug)]
pub(super) struct Runtime(pub(super) Tokio);

impl RuntimeKit for Runtime {}

impl Executor for Runtime {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, work: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Runtime {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    /// Not used: connections are made before lapin gets them.
    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<Wire>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

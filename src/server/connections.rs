//! Connections, and how many of them there may be: the next one waits to be accepted until another one is closed. One that
//! does not say what it speaks is closed, and one whose other end is gone without a word is found out.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_stream::Stream;
use tokio_util::sync::PollSemaphore;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// What a connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long it may take until that much is said, or it is plain that it is HTTP/1: from there hyper counts.
const OPENING: Duration = Duration::from_secs(10);
/// When a quiet connection is asked whether it is still there, how often, and how many times. HTTP/2 has pings; a stream over
/// HTTP/1 that has nothing to say would never notice.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// Accepts connections.
pub struct Incoming {
    listener: TcpListener,
    room: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
}

impl Incoming {
    /// From a listener, so many at a time.
    pub fn new(listener: TcpListener, most: usize) -> Self {
        Self { listener, room: PollSemaphore::new(Arc::new(Semaphore::new(most))), permit: None }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.permit.is_none() {
            match self.room.poll_acquire(context) {
                Poll::Ready(Some(permit)) => self.permit = Some(permit),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        match self.listener.poll_accept(context) {
            Poll::Ready(Ok((stream, _))) => {
                // Off, small answers wait for each other: a sixth to a half of the rate.
                let (idle, interval, probes) = KEEPALIVE;
                let keepalive = TcpKeepalive::new()
                    .with_time(idle)
                    .with_interval(interval)
                    .with_retries(probes);
                let kept = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                if let Err(error) = stream.set_nodelay(true).and(kept) {
                    tracing::debug!(%error, "a connection was gone before it was served");
                }
                let room = self.permit.take();
                let opening = Some(Opening { seen: 0, end: Box::pin(sleep(OPENING)) });
                Poll::Ready(Some(Ok(Connection { stream, opening, _room: room })))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A connection that gives its room back when it is closed.
pub struct Connection {
    stream: TcpStream,
    opening: Option<Opening>,
    _room: Option<OwnedSemaphorePermit>,
}

/// A connection that has not said yet what it speaks.
struct Opening {
    /// Bytes that were those of [`PREFACE`].
    seen: usize,
    end: Pin<Box<Sleep>>,
}

impl Opening {
    /// Whether it has said it with these bytes.
    fn is_over(&mut self, bytes: &[u8]) -> bool {
        let expected = &PREFACE[self.seen..];
        let compared = bytes.len().min(expected.len());
        self.seen += compared;
        bytes[..compared] != expected[..compared] || self.seen == PREFACE.len()
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(opening) = &mut self.opening else {
            return Pin::new(&mut self.stream).poll_read(context, buf);
        };
        if opening.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let read = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
        if self.opening.as_mut().is_some_and(|opening| opening.is_over(&buf.filled()[read..])) {
            self.opening = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_spoken_is_known_by_the_first_bytes() {
        let opening = || Opening { seen: 0, end: Box::pin(sleep(OPENING)) };
        assert!(opening().is_over(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(opening().is_over(b"PO"));
        assert!(opening().is_over(PREFACE));
        let mut slow = opening();
        assert!(PREFACE[..23].iter().all(|byte| !slow.is_over(&[*byte])));
        assert!(slow.is_over(b"\n and more"));
        let mut other = opening();
        assert!(!other.is_over(b"PRI *"));
        assert!(other.is_over(b"!"));
    }
}

//! Accepts connections up to a limit. At the limit, the next one is accepted after another one
//! closes. A connection that does not show its protocol in time is closed, and TCP keepalive
//! detects peers that have disappeared.

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

/// The first bytes of an HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Time limit until a connection has sent the preface, or bytes that differ from it and so are
/// HTTP/1. After that, the timeouts of hyper apply.
const DETECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// TCP keepalive: idle time, interval and number of probes. HTTP/2 has pings, but an idle stream
/// over HTTP/1 would not detect that its peer has disappeared.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// Accepts connections.
pub struct Incoming {
    listener: TcpListener,
    permits: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
}

impl Incoming {
    /// Accepts connections of a listener, at most `limit` at a time.
    pub fn new(listener: TcpListener, limit: usize) -> Self {
        let permits = PollSemaphore::new(Arc::new(Semaphore::new(limit)));
        Self { listener, permits, permit: None }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.permit.is_none() {
            match self.permits.poll_acquire(context) {
                Poll::Ready(Some(permit)) => self.permit = Some(permit),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        match self.listener.poll_accept(context) {
            Poll::Ready(Ok((stream, _))) => {
                let (idle, interval, probes) = KEEPALIVE;
                let keepalive = TcpKeepalive::new()
                    .with_time(idle)
                    .with_interval(interval)
                    .with_retries(probes);
                let keepalive_set = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                // Without nodelay, small responses wait for each other: the rate drops to a sixth
                // to a half.
                if let Err(error) = stream.set_nodelay(true).and(keepalive_set) {
                    tracing::debug!(%error, "connection closed before it was served");
                }
                let permit = self.permit.take();
                let detection = Some(ProtocolDetection {
                    matched: 0,
                    deadline: Box::pin(sleep(DETECTION_TIMEOUT)),
                });
                Poll::Ready(Some(Ok(Connection { stream, detection, _permit: permit })))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A connection, which holds its permit until it is dropped.
pub struct Connection {
    stream: TcpStream,
    detection: Option<ProtocolDetection>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// The state of a connection whose protocol is not known yet.
struct ProtocolDetection {
    /// Bytes compared with [`PREFACE`] so far.
    matched: usize,
    deadline: Pin<Box<Sleep>>,
}

impl ProtocolDetection {
    /// Whether the protocol is known after these bytes.
    fn advance(&mut self, bytes: &[u8]) -> bool {
        let expected = &PREFACE[self.matched..];
        let compared = bytes.len().min(expected.len());
        self.matched += compared;
        bytes[..compared] != expected[..compared] || self.matched == PREFACE.len()
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
        let Some(detection) = &mut self.detection else {
            return Pin::new(&mut self.stream).poll_read(context, buf);
        };
        if detection.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let read = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
        let bytes = &buf.filled()[read..];
        if self.detection.as_mut().is_some_and(|detection| detection.advance(bytes)) {
            self.detection = None;
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
    async fn the_first_bytes_show_the_protocol() {
        let detection =
            || ProtocolDetection { matched: 0, deadline: Box::pin(sleep(DETECTION_TIMEOUT)) };
        assert!(detection().advance(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(detection().advance(b"PO"));
        assert!(detection().advance(PREFACE));
        let mut slow = detection();
        assert!(PREFACE[..23].iter().all(|byte| !slow.advance(&[*byte])));
        assert!(slow.advance(b"\n and more"));
        let mut other = detection();
        assert!(!other.advance(b"PRI *"));
        assert!(other.advance(b"!"));
    }
}

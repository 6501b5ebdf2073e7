//! HTTP/1.1 over a socket, without a client library: the test decides each byte on the wire.

use std::{fmt::Write as _, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::harness::{PATIENCE, within};

/// An HTTP/1.1 connection.
pub struct Wire {
    stream: TcpStream,
    /// Bytes that were read from the socket and not consumed.
    buffer: Vec<u8>,
}

/// The status line and headers of a response.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.head.status, 200, "{}", self.text());
        self
    }
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within(PATIENCE, "a connection", TcpStream::connect(address)).await.unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a request with a body of known length.
    pub async fn ask(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{line} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str("host: localhost\r\n");
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !body.is_empty() {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        head.push_str("\r\n");
        self.send(&[head.as_bytes(), body].concat()).await;
    }

    /// Sends a request and reads the complete response.
    pub async fn call(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.ask(line, headers, body).await;
        self.answer().await
    }

    /// Reads the next complete response.
    pub async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let body = if head.header("transfer-encoding") == "chunked" {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
            body
        } else {
            let length = head.header("content-length").parse().unwrap_or(0);
            self.take(length).await.expect("the complete body")
        };
        Answer { head, body }
    }

    /// Reads the head of the next response.
    pub async fn head(&mut self) -> Head {
        let line = self.line().await.expect("a response");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line().await.expect("a header");
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Head { status, headers }
    }

    /// The next chunk of a body; `None` after the last one.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line().await.expect("a chunk, or the last one");
        let length = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("{line:?}"));
        let chunk = self.take(length).await.expect("a complete chunk");
        assert_eq!(self.line().await.as_deref(), Some(""), "the end of a chunk");
        (length > 0).then_some(chunk)
    }

    /// Waits until the server closes the connection. Panics after the deadline.
    pub async fn closes_within(&mut self, deadline: std::time::Duration) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        // A reset also closes the connection.
        within(deadline, "the connection is closed", read).await.ok();
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.drain(..end + 2).collect::<Vec<_>>();
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer);
        let read = within(PATIENCE, "something to read", read).await.unwrap();
        (read > 0).then_some(())
    }
}

/// A block of server-sent events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    pub event: String,
    pub id: String,
    pub data: String,
    pub retry: String,
    pub comment: String,
}

/// Reads blocks from a chunked body, as a browser does.
pub struct Blocks {
    pub wire: Wire,
    text: String,
    /// The Last-Event-ID header of a reconnecting browser.
    pub last_id: String,
}

impl Blocks {
    /// Opens a stream. Panics if it is refused.
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut wire = Wire::connect(address).await;
        wire.ask(&format!("GET {path}"), headers, b"").await;
        let head = wire.head().await;
        if head.status != 200 {
            let length = head.header("content-length").parse().unwrap();
            let body = wire.take(length).await.unwrap();
            panic!("{head:?}\n{}", String::from_utf8_lossy(&body));
        }
        assert_eq!(head.header("content-type"), "text/event-stream");
        Self { wire, text: String::new(), last_id: String::new() }
    }

    /// The next block; `None` after a regular end of the stream.
    pub async fn next(&mut self) -> Option<Block> {
        while !self.text.contains("\n\n") {
            let chunk = self.wire.chunk().await?;
            self.text.push_str(str::from_utf8(&chunk).unwrap());
        }
        let (block, rest) = self.text.split_once("\n\n").unwrap();
        let mut read = Block::default();
        for line in block.lines() {
            let (name, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match name {
                "event" => read.event = value,
                "id" => read.id = value,
                "data" => read.data = value,
                "retry" => read.retry = value,
                "" => read.comment = value,
                other => panic!("an unknown field {other:?}"),
            }
        }
        self.text = rest.to_owned();
        if !read.id.is_empty() {
            self.last_id.clone_from(&read.id);
        }
        Some(read)
    }

    /// The next `count` events. Skips other blocks.
    pub async fn take(&mut self, count: usize) -> Vec<serde_json::Value> {
        let mut events = Vec::new();
        while events.len() < count {
            let block = self.next().await.expect("the stream ended");
            if block.event.is_empty() && !block.data.is_empty() {
                events.push(serde_json::from_str(&block.data).unwrap());
            }
        }
        events
    }

    /// Reads up to the block with this event name.
    pub async fn until(&mut self, event: &str) -> Block {
        loop {
            let block = self.next().await.expect("the stream ended");
            if block.event == event {
                return block;
            }
        }
    }
}

/// The ids of CloudEvents documents.
pub fn ids(events: &[serde_json::Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

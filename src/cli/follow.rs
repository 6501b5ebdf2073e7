//! Follows an event stream: prints events, reports notices, and reconnects after the last cursor if
//! the connection breaks.

use std::time::Duration;

use tidings::{
    model::timestamp::Timestamp,
    proto::events::v1::{
        Gap, GapReason, RecordedEvent, SubscribeRequest, SubscribeResponse,
        subscribe_response::Message,
    },
};
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::{
    client::{ServerArgs, is_retryable},
    failure::Failure,
    interrupt::Interrupt,
    positions::StartArgs,
    printer::Printer,
};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Missed heartbeats after which the connection counts as lost.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// Used if the server does not report its heartbeat interval.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);

/// Longest delay that a draining server may request.
const DRAIN_DELAY_MAX: Duration = Duration::from_secs(10);

/// An event stream to follow, and when to stop.
pub struct Follower {
    /// The server.
    pub server: ServerArgs,
    /// The request; its start is replaced when the stream is opened again.
    pub request: SubscribeRequest,
    /// The start flags, with the policy for a lost position.
    pub start: StartArgs,
    /// Stop after this many events.
    pub limit: Option<u64>,
    /// Stop before the first event recorded at or after this time.
    pub until: Option<Timestamp>,
    /// Stop after the existing events.
    pub exit_at_end: bool,
    /// Open the stream again if the connection breaks.
    pub reconnect: bool,
}

/// Progress of a stream.
#[derive(Debug, Default)]
pub struct Progress {
    /// Number of printed events.
    pub events: u64,
    /// Cursor after the last printed event.
    pub cursor: Option<String>,
}

/// Why a stream ended.
enum StreamEnd {
    Done,
    Interrupted,
    Lost(Status),
}

impl Follower {
    /// Follows the stream until it is done or interrupted; `true` if it was interrupted.
    pub async fn run(
        mut self,
        printer: &mut Printer,
        progress: &mut Progress,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<bool> {
        if self.limit.is_some_and(|limit| progress.events >= limit) {
            return Ok(false);
        }
        let mut backoff = BACKOFF_MIN;
        let mut has_started = false;
        loop {
            let previous_cursor = progress.cursor.clone();
            let end = tokio::select! {
                end = self.stream(printer, progress, &mut has_started) => end?,
                () = interrupt.wait() => StreamEnd::Interrupted,
            };
            let status = match end {
                StreamEnd::Done => {
                    printer.flush()?;
                    return Ok(false);
                }
                StreamEnd::Interrupted => {
                    printer.flush()?;
                    return Ok(true);
                }
                StreamEnd::Lost(status) => status,
            };
            // The first attempt is not repeated: a retry does not fix a wrong address.
            if !(self.reconnect && has_started && is_retryable(&status)) {
                return Err(Failure::from_status("subscribe", &status).into());
            }
            if progress.cursor != previous_cursor {
                backoff = BACKOFF_MIN;
            }
            eprintln!("note: {}; reconnecting", status.message());
            tokio::select! {
                () = sleep(backoff) => {}
                () = interrupt.wait() => return Ok(true),
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
            if let Some(cursor) = &progress.cursor {
                self.request.start = Some(self.start.after(cursor));
            }
        }
    }

    /// Opens the stream and reads it until it ends.
    async fn stream(
        &self,
        printer: &mut Printer,
        progress: &mut Progress,
        has_started: &mut bool,
    ) -> anyhow::Result<StreamEnd> {
        let mut client = match self.server.events().await {
            Ok(client) => client,
            Err(error) if *has_started => {
                return Ok(StreamEnd::Lost(Status::unavailable(error_line(&error))));
            }
            Err(error) => return Err(error),
        };
        let mut stream = match client.subscribe(self.request.clone()).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(StreamEnd::Lost(status)),
        };
        let mut silence_max = HEARTBEAT_INTERVAL * HEARTBEATS_MISSED_MAX;
        loop {
            let message = match timeout(silence_max, stream.message()).await {
                Ok(Ok(Some(SubscribeResponse { message: Some(message) }))) => message,
                // A kind of message that only newer servers send.
                Ok(Ok(Some(SubscribeResponse { message: None }))) => continue,
                Ok(Ok(None)) => {
                    return Ok(StreamEnd::Lost(Status::unavailable(
                        "the server closed the stream",
                    )));
                }
                Ok(Err(status)) => return Ok(StreamEnd::Lost(status)),
                Err(_) => {
                    let text =
                        format!("no heartbeat for {}", humantime::format_duration(silence_max));
                    return Ok(StreamEnd::Lost(Status::unavailable(text)));
                }
            };
            if let Message::Started(started) = &message {
                *has_started = true;
                let interval = started
                    .heartbeat_interval
                    .and_then(|duration| Duration::try_from(duration).ok());
                silence_max = interval.unwrap_or(HEARTBEAT_INTERVAL).max(Duration::from_secs(1))
                    * HEARTBEATS_MISSED_MAX;
            }
            let done = self.handle(message, printer, progress).await?;
            printer.flush()?;
            if done {
                return Ok(StreamEnd::Done);
            }
        }
    }

    /// Prints the events or the notice of a message; `true` if no further message is needed.
    async fn handle(
        &self,
        message: Message,
        printer: &mut Printer,
        progress: &mut Progress,
    ) -> anyhow::Result<bool> {
        let cursor = match message {
            Message::Started(started) => started.cursor,
            Message::Batch(batch) => {
                for event in &batch.events {
                    if self.is_event_past_until(event) {
                        return Ok(true);
                    }
                    printer.event(event)?;
                    progress.events += 1;
                    progress.cursor = Some(event.cursor.clone());
                    if self.limit.is_some_and(|limit| progress.events >= limit) {
                        return Ok(true);
                    }
                }
                batch.cursor
            }
            Message::CaughtUp(caught_up) => {
                update_cursor(progress, caught_up.cursor);
                return Ok(self.exit_at_end || self.is_past_until(caught_up.time.as_ref()));
            }
            Message::FellBehind(fell_behind) => {
                eprintln!(
                    "note: fell behind by {} events; reading from disk",
                    fell_behind.behind_events
                );
                fell_behind.cursor
            }
            Message::Heartbeat(heartbeat) => {
                update_cursor(progress, heartbeat.cursor);
                return Ok(
                    heartbeat.behind_events == 0 && self.is_past_until(heartbeat.time.as_ref())
                );
            }
            Message::Gap(gap) => {
                eprintln!("note: {}", describe_gap(&gap));
                gap.cursor
            }
            Message::Draining(draining) => {
                eprintln!("note: the server is stopping");
                update_cursor(progress, draining.cursor);
                printer.flush()?;
                let delay =
                    draining.reconnect_delay.and_then(|duration| Duration::try_from(duration).ok());
                sleep(delay.unwrap_or_default().min(DRAIN_DELAY_MAX)).await;
                return Ok(false);
            }
            Message::SchemaChanged(changed) => {
                if let Some(schema) = &changed.schema {
                    eprintln!(
                        "note: {} is now delivered in version {}",
                        schema.r#type, schema.version
                    );
                }
                changed.cursor
            }
        };
        update_cursor(progress, cursor);
        Ok(false)
    }

    fn is_event_past_until(&self, event: &RecordedEvent) -> bool {
        self.is_past_until(event.append_time.as_ref())
    }

    fn is_past_until(&self, time: Option<&prost_types::Timestamp>) -> bool {
        let time = time.and_then(|time| Timestamp::try_from(*time).ok());
        self.until.zip(time).is_some_and(|(until, time)| time >= until)
    }
}

fn update_cursor(progress: &mut Progress, cursor: String) {
    if !cursor.is_empty() {
        progress.cursor = Some(cursor);
    }
}

fn error_line(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Failure>() {
        Some(failure) => failure.message().to_owned(),
        None => error.to_string(),
    }
}

/// Describes a gap.
pub fn describe_gap(gap: &Gap) -> String {
    let reason = match gap.reason() {
        GapReason::Retention => "removed by retention",
        GapReason::SchemaMismatch => "not available in an accepted version",
        GapReason::UnsyncedLoss => "published as buffered and lost in a crash",
        GapReason::TopicDeleted => "deleted with their topic, which was created again",
        GapReason::Unspecified => "missing",
    };
    let range = if gap.topic.is_empty() {
        "events".to_owned()
    } else {
        format!("events {} to {} of {}", gap.first_offset, gap.next_offset, gap.topic)
    };
    let detail = if gap.detail.is_empty() { String::new() } else { format!(": {}", gap.detail) };
    format!("gap, {range} {reason}{detail}")
}

//! A subscription as a person follows it: what comes is printed, what happens to the stream is told, and where the
//! connection breaks it goes on behind the last cursor.

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
    client::{ServerArgs, may_pass},
    failure::Failure,
    interrupt::Interrupt,
    positions::StartArgs,
    printer::Printer,
};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Heartbeats missed before the server is taken for gone.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// When the server does not say how often it sends heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);

/// How long a server may keep its last words.
const DRAIN_DELAY_MAX: Duration = Duration::from_secs(10);

/// What is followed, and until when.
pub struct Follow {
    /// Where.
    pub server: ServerArgs,
    /// What; its start is replaced when the stream is opened again.
    pub request: SubscribeRequest,
    /// The policy for starting again.
    pub start: StartArgs,
    /// Stop after so many events.
    pub limit: Option<u64>,
    /// Stop before the first event recorded at or after.
    pub until: Option<Timestamp>,
    /// Stop when everything that is there was printed.
    pub exit_at_end: bool,
    /// Open the stream again when it breaks.
    pub reconnect: bool,
}

/// How far a stream came.
#[derive(Debug, Default)]
pub struct Progress {
    /// Events printed.
    pub events: u64,
    /// Goes on behind what was printed.
    pub cursor: Option<String>,
}

/// Why a stream is not read on.
enum End {
    Done,
    Interrupted,
    Lost(Status),
}

impl Follow {
    /// Follows until it is done, or until somebody has enough, which is what `true` says.
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
        let mut begun = false;
        loop {
            let before = progress.cursor.clone();
            let end = tokio::select! {
                end = self.stream(printer, progress, &mut begun) => end?,
                () = interrupt.wait() => End::Interrupted,
            };
            let status = match end {
                End::Done => {
                    printer.flush()?;
                    return Ok(false);
                }
                End::Interrupted => {
                    printer.flush()?;
                    return Ok(true);
                }
                End::Lost(status) => status,
            };
            // The first attempt fails loudly: a wrong address does not mend itself.
            if !(self.reconnect && begun && may_pass(&status)) {
                return Err(Failure::from_status("subscribe", &status).into());
            }
            if progress.cursor != before {
                backoff = BACKOFF_MIN;
            }
            eprintln!("note: {}; reconnecting", status.message());
            tokio::select! {
                () = sleep(backoff) => {}
                () = interrupt.wait() => return Ok(true),
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
            if let Some(cursor) = &progress.cursor {
                self.request.start = Some(self.start.behind(cursor));
            }
        }
    }

    /// Opens the stream and reads it until it ends.
    async fn stream(
        &self,
        printer: &mut Printer,
        progress: &mut Progress,
        begun: &mut bool,
    ) -> anyhow::Result<End> {
        let mut client = match self.server.events().await {
            Ok(client) => client,
            Err(error) if *begun => return Ok(End::Lost(Status::unavailable(error_line(&error)))),
            Err(error) => return Err(error),
        };
        let mut stream = match client.subscribe(self.request.clone()).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(End::Lost(status)),
        };
        let mut silence = HEARTBEAT_INTERVAL * HEARTBEATS_MISSED_MAX;
        loop {
            let message = match timeout(silence, stream.message()).await {
                Ok(Ok(Some(SubscribeResponse { message: Some(message) }))) => message,
                // A message of a newer server.
                Ok(Ok(Some(SubscribeResponse { message: None }))) => continue,
                Ok(Ok(None)) => {
                    return Ok(End::Lost(Status::unavailable("the server closed the stream")));
                }
                Ok(Err(status)) => return Ok(End::Lost(status)),
                Err(_) => {
                    let text = format!("no heartbeat for {}", humantime::format_duration(silence));
                    return Ok(End::Lost(Status::unavailable(text)));
                }
            };
            if let Message::Started(started) = &message {
                *begun = true;
                let interval =
                    started.heartbeat_interval.and_then(|it| Duration::try_from(it).ok());
                silence = interval.unwrap_or(HEARTBEAT_INTERVAL).max(Duration::from_secs(1))
                    * HEARTBEATS_MISSED_MAX;
            }
            let done = self.take(message, printer, progress).await?;
            printer.flush()?;
            if done {
                return Ok(End::Done);
            }
        }
    }

    /// Prints or tells one message; true where it was the last that is wanted.
    async fn take(
        &self,
        message: Message,
        printer: &mut Printer,
        progress: &mut Progress,
    ) -> anyhow::Result<bool> {
        let cursor = match message {
            Message::Started(started) => started.cursor,
            Message::Batch(batch) => {
                for event in &batch.events {
                    if self.is_too_late(event) {
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
                keep(progress, caught_up.cursor);
                return Ok(self.exit_at_end || self.is_past(caught_up.time.as_ref()));
            }
            Message::FellBehind(behind) => {
                eprintln!("note: {} events behind; reading from disk", behind.behind_events);
                behind.cursor
            }
            Message::Heartbeat(heartbeat) => {
                keep(progress, heartbeat.cursor);
                return Ok(heartbeat.behind_events == 0 && self.is_past(heartbeat.time.as_ref()));
            }
            Message::Gap(gap) => {
                eprintln!("note: {}", describe(&gap));
                gap.cursor
            }
            Message::Draining(draining) => {
                eprintln!("note: the server is stopping");
                keep(progress, draining.cursor);
                printer.flush()?;
                let delay = draining.reconnect_delay.and_then(|it| Duration::try_from(it).ok());
                sleep(delay.unwrap_or_default().min(DRAIN_DELAY_MAX)).await;
                return Ok(false);
            }
            Message::SchemaChanged(changed) => {
                if let Some(schema) = &changed.schema {
                    eprintln!("note: {} comes in version {} now", schema.r#type, schema.version);
                }
                changed.cursor
            }
        };
        keep(progress, cursor);
        Ok(false)
    }

    fn is_too_late(&self, event: &RecordedEvent) -> bool {
        self.is_past(event.append_time.as_ref())
    }

    fn is_past(&self, time: Option<&prost_types::Timestamp>) -> bool {
        let time = time.and_then(|time| Timestamp::try_from(*time).ok());
        self.until.zip(time).is_some_and(|(until, time)| time >= until)
    }
}

fn keep(progress: &mut Progress, cursor: String) {
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

/// A gap in words.
pub fn describe(gap: &Gap) -> String {
    let reason = match gap.reason() {
        GapReason::Retention => "removed by retention",
        GapReason::SchemaMismatch => "not in a version asked for",
        GapReason::UnsyncedLoss => "published as buffered and lost by a crash",
        GapReason::TopicDeleted => "deleted with their topic, which was created again",
        GapReason::Unspecified => "missing",
    };
    let place = if gap.topic.is_empty() {
        "events".to_owned()
    } else {
        format!("events {} to {} of {}", gap.first_offset, gap.next_offset, gap.topic)
    };
    let detail = if gap.detail.is_empty() { String::new() } else { format!(": {}", gap.detail) };
    format!("gap, {place} {reason}{detail}")
}

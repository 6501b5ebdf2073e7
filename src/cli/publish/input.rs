//! Reads events to publish from lines, and groups them into batches.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal},
};

use prost::Message as _;
use tidings::proto::events::v1::Event;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Stdin};

use super::PublishArgs;
use crate::cli::failure::Failure;

/// Encoded bytes of a batch. The server's default limit is 4 MiB, with the envelope of the request.
const BATCH_BYTES_MAX: usize = 3 << 20;

/// Bytes of a line. The server accepts at most 3 MiB per event, and base64 adds a third.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// Lines, from arguments or from standard input.
///
/// The future of [`Self::batch`] may be dropped at any time, when a response arrives first: lines
/// that are already read stay here.
pub struct Input<'a> {
    args: &'a PublishArgs,
    lines: Lines,
    number: u64,
    /// The beginning of the next line.
    line: Vec<u8>,
    /// The beginning of the next batch.
    batch: Batch,
    /// An event that did not fit the previous batch.
    carried: Option<(u64, Event)>,
    /// Faults so far.
    pub faults: Faults,
}

enum Lines {
    Arguments(VecDeque<String>),
    Standard(BufReader<Stdin>),
    Ended,
}

/// Faults of the input.
#[derive(Debug, Default)]
pub struct Faults {
    /// The first faults, each with its line or argument.
    pub messages: Vec<String>,
    /// Number of lines with faults.
    pub lines: u64,
}

impl Faults {
    fn add(&mut self, label: &str, faults: impl IntoIterator<Item = String>) {
        self.lines += 1;
        for fault in faults {
            if self.messages.len() < super::FAILURES_SHOWN_MAX {
                self.messages.push(format!("{label}: {fault}"));
            }
        }
    }
}

/// Events that are published together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Line or argument number of each event.
    pub line_numbers: Vec<u64>,
    /// The events, in order.
    pub events: Vec<Event>,
    bytes: usize,
}

impl Batch {
    /// Adds an event.
    pub fn push(&mut self, line_number: u64, event: Event) {
        self.bytes += event.encoded_len();
        self.line_numbers.push(line_number);
        self.events.push(event);
    }
}

impl<'a> Input<'a> {
    /// Reads the arguments, or standard input if there are none.
    pub fn new(args: &'a PublishArgs) -> anyhow::Result<Self> {
        if args.attributes.id.is_some() && args.data.len() != 1 {
            return Err(Failure::usage("--id applies to a single event")
                .with_remedy("one argument of data, or CloudEvents documents with their own ids")
                .into());
        }
        let lines = if args.data.is_empty() {
            if io::stdin().is_terminal() {
                eprintln!("note: reading events from the terminal, one per line; Ctrl-D ends");
            }
            Lines::Standard(BufReader::with_capacity(64 * 1024, tokio::io::stdin()))
        } else {
            Lines::Arguments(args.data.clone().into())
        };
        Ok(Self {
            args,
            lines,
            number: 0,
            line: Vec::new(),
            batch: Batch::default(),
            carried: None,
            faults: Faults::default(),
        })
    }

    /// The next batch: the events that are available, up to the limits. `None` at the end of the
    /// input.
    pub async fn batch(&mut self) -> anyhow::Result<Option<Batch>> {
        let conditional = self.args.is_conditional();
        let events_max = if conditional { usize::MAX } else { usize::from(self.args.batch) };
        while self.batch.events.len() < events_max {
            let can_split = !self.batch.events.is_empty() && !conditional;
            // An interactive user or a slow pipe does not wait for a full batch.
            if can_split && !self.has_buffered_input() {
                break;
            }
            let Some((line_number, event)) = self.event().await? else { break };
            if can_split && self.batch.bytes + event.encoded_len() > BATCH_BYTES_MAX {
                self.carried = Some((line_number, event));
                break;
            }
            self.batch.push(line_number, event);
        }
        let batch = std::mem::take(&mut self.batch);
        // After an invalid line nothing is published unless --keep-going is given; a conditional
        // publish is all or nothing anyway.
        let is_faulty = self.faults.lines > 0 && (conditional || !self.args.keep_going);
        Ok((!is_faulty && !batch.events.is_empty()).then_some(batch))
    }

    fn has_buffered_input(&self) -> bool {
        self.carried.is_some()
            || match &self.lines {
                Lines::Arguments(rest) => !rest.is_empty(),
                Lines::Standard(reader) => reader.buffer().contains(&b'\n'),
                Lines::Ended => true,
            }
    }

    /// The event of the next valid line.
    async fn event(&mut self) -> anyhow::Result<Option<(u64, Event)>> {
        if let Some(carried) = self.carried.take() {
            return Ok(Some(carried));
        }
        loop {
            let line = match self.line().await? {
                Some(Ok(line)) => line,
                Some(Err(fault)) => {
                    self.fault([fault]);
                    continue;
                }
                None => return Ok(None),
            };
            if line.trim().is_empty() {
                continue;
            }
            match self.args.attributes.event(&line, self.args.format) {
                Ok(event) => return Ok(Some((self.number, event))),
                Err(faults) => self.fault(faults),
            }
        }
    }

    fn fault(&mut self, faults: impl IntoIterator<Item = String>) {
        self.faults.add(&self.args.input_label(self.number), faults);
        // Without --keep-going the remaining lines are only checked if they are already buffered: a
        // slow input may never end.
        if !self.args.keep_going
            && matches!(self.lines, Lines::Standard(_))
            && !self.has_buffered_input()
        {
            self.lines = Lines::Ended;
        }
    }

    /// The next line, or its fault.
    async fn line(&mut self) -> anyhow::Result<Option<Result<String, String>>> {
        let reader = match &mut self.lines {
            Lines::Arguments(rest) => {
                self.number += 1;
                return Ok(rest.pop_front().map(Ok));
            }
            Lines::Standard(reader) => reader,
            Lines::Ended => return Ok(None),
        };
        let remaining = LINE_BYTES_MAX.saturating_sub(self.line.len() as u64);
        reader.take(remaining).read_until(b'\n', &mut self.line).await?;
        let mut line = std::mem::take(&mut self.line);
        if line.is_empty() {
            self.lines = Lines::Ended;
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        } else if line.len() as u64 >= LINE_BYTES_MAX {
            self.lines = Lines::Ended;
            return Ok(Some(Err(
                "longer than the limit of 8 MiB; nothing after it was read".to_owned()
            )));
        }
        Ok(Some(String::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        publish: PublishArgs,
    }

    fn args(arguments: &[&str]) -> PublishArgs {
        Flags::parse_from([&["test", "orders"], arguments].concat()).publish
    }

    #[tokio::test]
    async fn arguments_go_in_batches() {
        let args = args(&["--batch", "2", "1", "2", "3"]);
        let mut input = Input::new(&args).unwrap();
        let mut line_numbers = Vec::new();
        while let Some(batch) = input.batch().await.unwrap() {
            line_numbers.push(batch.line_numbers);
        }
        assert_eq!(line_numbers, [vec![1, 2], vec![3]]);
    }

    #[tokio::test]
    async fn large_events_do_not_overfill_a_batch() {
        let large = format!("\"{}\"", "x".repeat(2 << 20));
        let args = args(&[&large, &large, "3"]);
        let mut input = Input::new(&args).unwrap();
        let mut line_numbers = Vec::new();
        while let Some(batch) = input.batch().await.unwrap() {
            line_numbers.push(batch.line_numbers);
        }
        assert_eq!(line_numbers, [vec![1], vec![2, 3]]);
    }

    #[tokio::test]
    async fn all_faulty_lines_are_reported() {
        let args = args(&["1", "{", "3", "hello"]);
        let mut input = Input::new(&args).unwrap();
        assert!(input.batch().await.unwrap().is_none());
        assert_eq!(input.faults.lines, 2);
        assert!(input.faults.messages[0].starts_with("argument 2: "), "{:?}", input.faults);
        assert!(input.faults.messages[1].starts_with("argument 4: "), "{:?}", input.faults);
    }
}

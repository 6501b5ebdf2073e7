//! Where events to publish come from: lines, put together into batches.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal},
};

use prost::Message as _;
use tidings::proto::events::v1::Event;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Stdin};

use super::PublishArgs;
use crate::cli::failure::Failure;

/// Encoded events of one batch. The server's default limit is 4 MiB with everything around them.
const BATCH_BYTES_MAX: usize = 3 << 20;

/// Longer lines are no events: the server takes 3 MiB at the very most, and base64 adds a third.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// Lines, from arguments or from standard input.
///
/// Waiting for the next batch may be called off at any time, when an answer comes first: what was read so far stays here.
pub struct Input<'a> {
    args: &'a PublishArgs,
    lines: Lines,
    number: u64,
    /// The beginning of the next line.
    line: Vec<u8>,
    /// The beginning of the next batch.
    batch: Batch,
    /// An event that did not fit the batch before it.
    carried: Option<(u64, Event)>,
    /// What was wrong so far.
    pub faults: Faults,
}

enum Lines {
    Arguments(VecDeque<String>),
    Standard(BufReader<Stdin>),
    Ended,
}

/// What is wrong with the input.
#[derive(Debug, Default)]
pub struct Faults {
    /// The first of them, with their places.
    pub told: Vec<String>,
    /// Lines at fault.
    pub lines: u64,
}

impl Faults {
    fn add(&mut self, place: &str, faults: impl IntoIterator<Item = String>) {
        self.lines += 1;
        for fault in faults {
            if self.told.len() < super::FAULTS_TOLD_MAX {
                self.told.push(format!("{place}: {fault}"));
            }
        }
    }
}

/// Events published together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Where each event stands in the input.
    pub places: Vec<u64>,
    /// The events, in order.
    pub events: Vec<Event>,
    bytes: usize,
}

impl Batch {
    /// Adds an event.
    pub fn push(&mut self, place: u64, event: Event) {
        self.bytes += event.encoded_len();
        self.places.push(place);
        self.events.push(event);
    }
}

impl<'a> Input<'a> {
    /// From the arguments, or from standard input where there are none.
    pub fn new(args: &'a PublishArgs) -> anyhow::Result<Self> {
        if args.attributes.id.is_some() && args.data.len() != 1 {
            return Err(Failure::usage("--id is for one event")
                .try_this("one argument of data, or CloudEvents documents with their own ids")
                .into());
        }
        let lines = if args.data.is_empty() {
            if io::stdin().is_terminal() {
                eprintln!("note: reading events from the terminal, one a line; Ctrl-D ends");
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

    /// The next events to go together: what is there already, up to the bounds. `None` where the input has ended.
    pub async fn batch(&mut self) -> anyhow::Result<Option<Batch>> {
        let conditional = self.args.is_conditional();
        let events_max = if conditional { usize::MAX } else { usize::from(self.args.batch) };
        while self.batch.events.len() < events_max {
            let begun = !self.batch.events.is_empty() && !conditional;
            // Somebody who types, or a slow pipe, does not wait for a batch to fill up.
            if begun && !self.has_more_at_hand() {
                break;
            }
            let Some((place, event)) = self.event().await? else { break };
            if begun && self.batch.bytes + event.encoded_len() > BATCH_BYTES_MAX {
                self.carried = Some((place, event));
                break;
            }
            self.batch.push(place, event);
        }
        let batch = std::mem::take(&mut self.batch);
        // Where a line is no event, nothing behind it is published unless that was asked for; what conditions hold for is
        // all or nothing anyway.
        let faulty = self.faults.lines > 0 && (conditional || !self.args.keep_going);
        Ok((!faulty && !batch.events.is_empty()).then_some(batch))
    }

    fn has_more_at_hand(&self) -> bool {
        self.carried.is_some()
            || match &self.lines {
                Lines::Arguments(rest) => !rest.is_empty(),
                Lines::Standard(reader) => reader.buffer().contains(&b'\n'),
                Lines::Ended => true,
            }
    }

    /// The next line that is an event.
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
        self.faults.add(&self.args.place(self.number), faults);
        // Without --keep-going the rest is only looked through where that costs nothing: what comes slowly may never end.
        if !self.args.keep_going
            && matches!(self.lines, Lines::Standard(_))
            && !self.has_more_at_hand()
        {
            self.lines = Lines::Ended;
        }
    }

    /// The next line, or what is wrong with it.
    async fn line(&mut self) -> anyhow::Result<Option<Result<String, String>>> {
        let reader = match &mut self.lines {
            Lines::Arguments(rest) => {
                self.number += 1;
                return Ok(rest.pop_front().map(Ok));
            }
            Lines::Standard(reader) => reader,
            Lines::Ended => return Ok(None),
        };
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len() as u64);
        reader.take(room).read_until(b'\n', &mut self.line).await?;
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
            return Ok(Some(Err("is longer than 8 MiB; nothing behind it was read".to_owned())));
        }
        Ok(Some(String::from_utf8(line).map_err(|error| format!("is no UTF-8: {error}"))))
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
        let mut places = Vec::new();
        while let Some(batch) = input.batch().await.unwrap() {
            places.push(batch.places);
        }
        assert_eq!(places, [vec![1, 2], vec![3]]);
    }

    #[tokio::test]
    async fn large_events_do_not_overfill_a_batch() {
        let large = format!("\"{}\"", "x".repeat(2 << 20));
        let args = args(&[&large, &large, "3"]);
        let mut input = Input::new(&args).unwrap();
        let mut places = Vec::new();
        while let Some(batch) = input.batch().await.unwrap() {
            places.push(batch.places);
        }
        assert_eq!(places, [vec![1], vec![2, 3]]);
    }

    #[tokio::test]
    async fn all_lines_at_fault_are_told() {
        let args = args(&["1", "{", "3", "hello"]);
        let mut input = Input::new(&args).unwrap();
        assert!(input.batch().await.unwrap().is_none());
        assert_eq!(input.faults.lines, 2);
        assert!(input.faults.told[0].starts_with("argument 2: "), "{:?}", input.faults);
        assert!(input.faults.told[1].starts_with("argument 4: "), "{:?}", input.faults);
    }
}

//! Reads as much of a `SubscribeResponse` as counting its events and checking their order needs.
//!
//! A client that decoded everything would be what is measured; both sides of a pair are read by this one.

use anyhow::{Context as _, Result, bail, ensure};

/// Counts, and checks that positions increase; offsets too, where there is one topic. Cheap.
#[derive(Debug, Default)]
pub struct Count {
    /// Events seen.
    pub events: u64,
    /// The offset that must come next, where offsets are to be dense.
    next_offset: Option<u64>,
    /// Events from memory go round: their places say nothing.
    unordered: bool,
    position: u64,
}

impl Count {
    /// Over any topics.
    pub fn new(unordered: bool) -> Self {
        Self { unordered, ..Self::default() }
    }

    /// Over one topic: offsets are dense from this one on.
    pub fn dense_from(offset: u64) -> Self {
        Self { next_offset: Some(offset), ..Self::default() }
    }

    /// Takes a message in.
    pub fn note(&mut self, message: &[u8]) -> Result<()> {
        match skim(message)? {
            Skimmed::Batch(batch) => events(batch, |offset, position| {
                ensure!(
                    self.unordered || self.events == 0 || position > self.position,
                    "position {position} came after {}",
                    self.position
                );
                if let Some(next) = &mut self.next_offset {
                    ensure!(offset == *next, "offset {offset} came where {next} was due");
                    *next += 1;
                }
                self.position = position;
                self.events += 1;
                Ok(())
            }),
            Skimmed::Broken(what) => bail!("{what} came, where every event was expected"),
            Skimmed::Started | Skimmed::CaughtUp | Skimmed::Other => Ok(()),
        }
    }
}

/// What a `SubscribeResponse` holds, read no further than needed to count it.
enum Skimmed<'a> {
    /// `SubscribeStarted`.
    Started,
    /// `EventBatch`: its bytes, for [`events`].
    Batch(&'a [u8]),
    /// `CaughtUp`.
    CaughtUp,
    /// `Gap`, `Draining`: the reader does not get everything.
    Broken(&'static str),
    /// Heartbeats and the like.
    Other,
}

/// Reads the kind of a `SubscribeResponse`.
fn skim(message: &[u8]) -> Result<Skimmed<'_>> {
    let Some((tag, body, rest)) = field(message)? else { return Ok(Skimmed::Other) };
    ensure!(rest.is_empty(), "a SubscribeResponse with more than one message");
    Ok(match (tag, body) {
        (1, _) => Skimmed::Started,
        (2, Field::Bytes(batch)) => Skimmed::Batch(batch),
        (3, _) => Skimmed::CaughtUp,
        (6, _) => Skimmed::Broken("a Gap"),
        (7, _) => Skimmed::Broken("Draining"),
        _ => Skimmed::Other,
    })
}

/// Calls with offset and position of every event of a batch.
fn events(mut batch: &[u8], mut each: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    while let Some((tag, body, rest)) = field(batch)? {
        batch = rest;
        if let (1, Field::Bytes(mut recorded)) = (tag, body) {
            let (mut offset, mut position) = (0, 0);
            while let Some((tag, body, rest)) = field(recorded)? {
                recorded = rest;
                match (tag, body) {
                    (3, Field::Number(value)) => offset = value,
                    (10, Field::Number(value)) => position = value,
                    _ => {}
                }
            }
            each(offset, position)?;
        }
    }
    Ok(())
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The first field and what follows it.
fn field(mut bytes: &[u8]) -> Result<Option<(u64, Field<'_>, &[u8])>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = varint(&mut bytes)?;
    let take = |bytes: &mut &'_ [u8], len: usize| -> Result<()> {
        *bytes = bytes.get(len..).context("a field beyond its message's end")?;
        Ok(())
    };
    let body = match key & 7 {
        0 => Field::Number(varint(&mut bytes)?),
        1 => {
            take(&mut bytes, 8)?;
            Field::Fixed
        }
        2 => {
            let len = usize::try_from(varint(&mut bytes)?)?;
            let (body, rest) =
                bytes.split_at_checked(len).context("a field beyond its message's end")?;
            bytes = rest;
            Field::Bytes(body)
        }
        5 => {
            take(&mut bytes, 4)?;
            Field::Fixed
        }
        other => anyhow::bail!("wire type {other}"),
    };
    Ok(Some((key >> 3, body, bytes)))
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
    }
    anyhow::bail!("a varint without an end")
}

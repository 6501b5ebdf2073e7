//! Resolves the start of a read (a cursor, a time, an edge, a number of events before the end, or
//! an offset) to an offset in each topic, and one position for all of them.

use std::sync::Arc;

use super::{
    Broker,
    error::{LossCause, StartError},
};
use crate::{
    model::{
        cursor::Cursor,
        fault::{FaultKind, Faults},
        numbers::{AppendTime, Offset, Position},
    },
    store::{
        ReadError, Store,
        topics::{LostRange, Topic},
    },
};

/// A position at which a read starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPosition {
    /// After a cursor.
    Cursor(Cursor),
    /// At the first event appended at or after a time.
    Time(AppendTime),
    /// At the first retained event.
    Earliest,
    /// At the end of the log.
    Latest,
    /// A number of events before the end.
    Last(u64),
    /// At an offset. The read must have exactly one topic.
    Offset(Offset),
}

/// The start of a read, and what to do if its position is no longer retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The position.
    pub position: StartPosition,
    /// Whether to start at the earliest retained event instead, and report the missing events.
    pub or_earliest: bool,
}

impl Start {
    /// A start without that fallback.
    pub fn at(position: StartPosition) -> Self {
        Self { position, or_earliest: false }
    }
}

/// Requested events that are no longer retained.
#[derive(Debug, Clone)]
pub struct MissingRange {
    /// The topic. None: it is unknown.
    pub topic: Option<Arc<Topic>>,
    /// The first offset.
    pub from: Offset,
    /// The offset after the last one.
    pub until: Offset,
    /// The cause of the loss.
    pub cause: LossCause,
}

/// A start, resolved for each topic.
#[derive(Debug)]
pub struct ResolvedStart {
    /// The topics.
    pub topics: Vec<Arc<Topic>>,
    /// Forwards the first offset to read of each topic, backwards the offset after the first one to
    /// read.
    pub offsets: Vec<Offset>,
    /// Forwards everything at or before it counts as delivered, backwards everything at or after
    /// it.
    pub position: Position,
    /// Trims up to this position are known.
    pub horizon: Position,
    /// Requested events that are no longer retained.
    pub missing: Vec<MissingRange>,
    /// Selects the events appended at or after this time.
    pub not_before: Option<AppendTime>,
}

impl Broker {
    pub(super) async fn start_forward(
        &self,
        topics: Vec<Arc<Topic>>,
        start: &Start,
    ) -> Result<ResolvedStart, StartError> {
        let (store, start) = (Arc::clone(self.store()), *start);
        blocking(move || StartResolver { store: &store }.forward(topics, &start)).await
    }

    pub(super) async fn start_backward(
        &self,
        topics: Vec<Arc<Topic>>,
        start: &Start,
    ) -> Result<ResolvedStart, StartError> {
        let (store, start) = (Arc::clone(self.store()), *start);
        blocking(move || StartResolver { store: &store }.backward(topics, &start)).await
    }
}

async fn blocking<T: Send + 'static>(
    resolve: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    match tokio::task::spawn_blocking(resolve).await {
        Ok(resolved) => resolved,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

struct StartResolver<'a> {
    store: &'a Store,
}

impl StartResolver<'_> {
    fn forward(&self, topics: Vec<Arc<Topic>>, start: &Start) -> Result<ResolvedStart, StartError> {
        let horizon = self.store.watermark();
        let mut resolved = ResolvedStart {
            topics,
            offsets: Vec::new(),
            position: horizon,
            horizon,
            missing: Vec::new(),
            not_before: None,
        };
        match start.position {
            StartPosition::Earliest => {
                resolved.position = Position(0);
                resolved.offsets =
                    resolved.topics.iter().map(|topic| topic.range().first).collect();
            }
            StartPosition::Latest => self.start_after(&mut resolved, horizon)?,
            StartPosition::Cursor(cursor) => {
                self.cursor(&mut resolved, cursor, start.or_earliest)?
            }
            StartPosition::Time(time) => {
                self.add_lost_ranges(&mut resolved, start.or_earliest, |topic| {
                    topic.lost_range_since(time)
                })?;
                resolved.not_before = Some(time);
                self.at_time(&mut resolved, time)?;
            }
            StartPosition::Last(count) => {
                let position = self.before_last(&resolved.topics, count, horizon)?;
                self.start_after(&mut resolved, position)?;
            }
            StartPosition::Offset(offset) => {
                self.offset(&mut resolved, offset, start.or_earliest)?
            }
        }
        Ok(resolved)
    }

    /// Backwards, `position` is the first one that is excluded.
    fn backward(
        &self,
        topics: Vec<Arc<Topic>>,
        start: &Start,
    ) -> Result<ResolvedStart, StartError> {
        let watermark = self.store.watermark();
        let position = match start.position {
            // The event at the offset is included, so the read starts before the following event.
            StartPosition::Offset(offset) => {
                let mut resolved = ResolvedStart {
                    topics,
                    offsets: Vec::new(),
                    position: watermark.next(),
                    horizon: watermark,
                    missing: Vec::new(),
                    not_before: None,
                };
                let topic = self.only_topic(&resolved)?;
                let range = topic.range();
                if offset > range.next {
                    return Err(self.position_in_future(&topic, offset));
                }
                if offset < range.first && !start.or_earliest {
                    return Err(self.position_lost(&topic, range.first, LossCause::Trim));
                }
                let end = offset.next().min(range.next);
                resolved.offsets = vec![end];
                if end < range.next {
                    resolved.position = self.store.position_of(&topic, end)?;
                }
                return Ok(resolved);
            }
            // A cursor is after its event. Backwards, that event is excluded too.
            StartPosition::Cursor(cursor) => {
                self.check_cursor(cursor)?;
                let mut resolved = self.forward(topics, &Start::at(StartPosition::Earliest))?;
                let before = Position(cursor.position.0.saturating_sub(1));
                self.start_after(&mut resolved, before)?;
                resolved.position = cursor.position;
                return Ok(resolved);
            }
            // Includes events appended at or before the time.
            StartPosition::Time(time) => StartPosition::Time(AppendTime(time.0.saturating_add(1))),
            position => position,
        };
        let mut resolved = self.forward(topics, &Start { position, or_earliest: true })?;
        resolved.position = resolved.position.next();
        resolved.not_before = None;
        resolved.missing.clear();
        Ok(resolved)
    }

    /// Starts after a position in each topic.
    fn start_after(
        &self,
        resolved: &mut ResolvedStart,
        position: Position,
    ) -> Result<(), ReadError> {
        resolved.position = position;
        resolved.offsets = resolved
            .topics
            .iter()
            .map(|topic| {
                let range = topic.range();
                // Usually the position is at the end, which needs no search.
                if range.first == range.next || range.last_position <= position {
                    return Ok(range.next);
                }
                self.store.offset_after(topic, position)
            })
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    fn at_time(&self, resolved: &mut ResolvedStart, time: AppendTime) -> Result<(), ReadError> {
        let mut first = None;
        let mut offsets = Vec::with_capacity(resolved.topics.len());
        for topic in &resolved.topics {
            let offset = self.store.offset_at(topic, time)?;
            if offset < topic.range().next {
                let position = self.store.position_of(topic, offset)?;
                first = Some(first.map_or(position, |first: Position| first.min(position)));
            }
            offsets.push(offset);
        }
        // Append time never decreases over positions, so in every topic the events before the first
        // one are older.
        resolved.position = first.map_or(resolved.position, |first| Position(first.0 - 1));
        resolved.offsets = offsets;
        Ok(())
    }

    fn cursor(
        &self,
        resolved: &mut ResolvedStart,
        cursor: Cursor,
        or_earliest: bool,
    ) -> Result<(), StartError> {
        self.check_cursor(cursor)?;
        let mut position = cursor.position;
        if let Some(hole) = self.store.hole_at(position) {
            resolved.missing.push(MissingRange {
                topic: None,
                from: Offset(0),
                until: Offset(0),
                cause: LossCause::Hole(hole),
            });
            position = Position(hole.until);
        }
        for topic in &resolved.topics {
            let Some(predecessor) = topic.lost_predecessor(position, cursor.horizon) else {
                continue;
            };
            if !or_earliest {
                return Err(self.position_lost(topic, topic.range().first, LossCause::Deletion));
            }
            resolved.missing.push(MissingRange {
                topic: Some(Arc::clone(topic)),
                // The rows of a deleted topic are not readable, so the first lost offset is
                // unknown.
                from: Offset(0),
                until: predecessor.next,
                cause: LossCause::Deletion,
            });
        }
        self.add_lost_ranges(resolved, or_earliest, |topic| {
            let lost = topic.lost_range(position, cursor.horizon)?;
            Some(LostRange { from: self.store.trimmed_offset_after(topic, lost, position), ..lost })
        })?;
        self.start_after(resolved, position)?;
        Ok(())
    }

    fn check_cursor(&self, cursor: Cursor) -> Result<(), StartError> {
        let watermark = self.store.watermark();
        if cursor.position > watermark {
            let (earliest, latest) = self.edges();
            return Err(StartError::PositionInFuture {
                detail: format!(
                    "the cursor is at position {}; the log ends at {watermark}",
                    cursor.position
                ),
                earliest,
                latest,
            });
        }
        Ok(())
    }

    fn add_lost_ranges(
        &self,
        resolved: &mut ResolvedStart,
        or_earliest: bool,
        lost_range: impl Fn(&Topic) -> Option<LostRange>,
    ) -> Result<(), StartError> {
        for topic in &resolved.topics {
            let Some(lost) = lost_range(topic) else { continue };
            if !or_earliest {
                return Err(self.position_lost(topic, lost.first, LossCause::Trim));
            }
            resolved.missing.push(MissingRange {
                topic: Some(Arc::clone(topic)),
                from: lost.from,
                until: lost.first,
                cause: LossCause::Trim,
            });
        }
        Ok(())
    }

    fn offset(
        &self,
        resolved: &mut ResolvedStart,
        offset: Offset,
        or_earliest: bool,
    ) -> Result<(), StartError> {
        let topic = self.only_topic(resolved)?;
        let range = topic.range();
        if offset > range.next {
            return Err(self.position_in_future(&topic, offset));
        }
        let mut offset = offset;
        if offset < range.first {
            if !or_earliest {
                return Err(self.position_lost(&topic, range.first, LossCause::Trim));
            }
            resolved.missing.push(MissingRange {
                topic: Some(Arc::clone(&topic)),
                from: offset,
                until: range.first,
                cause: LossCause::Trim,
            });
            offset = range.first;
        }
        if offset < range.next {
            resolved.position = Position(self.store.position_of(&topic, offset)?.0 - 1);
        }
        resolved.offsets = vec![offset];
        Ok(())
    }

    fn only_topic(&self, resolved: &ResolvedStart) -> Result<Arc<Topic>, Faults> {
        match resolved.topics.as_slice() {
            [topic] => Ok(Arc::clone(topic)),
            topics => Err(Faults::single(
                FaultKind::Request,
                "start.offset",
                format!(
                    "an offset belongs to one topic, and {} are read: use a cursor or a time",
                    topics.len()
                ),
            )),
        }
    }

    fn edges(&self) -> (Cursor, Cursor) {
        let horizon = self.store.watermark();
        (Cursor { position: Position(0), horizon }, Cursor { position: horizon, horizon })
    }

    fn position_lost(&self, topic: &Topic, first: Offset, cause: LossCause) -> StartError {
        let (earliest, latest) = self.edges();
        StartError::PositionLost { topic: topic.name.to_string(), first, cause, earliest, latest }
    }

    fn position_in_future(&self, topic: &Topic, offset: Offset) -> StartError {
        let (earliest, latest) = self.edges();
        StartError::PositionInFuture {
            detail: format!(
                "offset {offset} of topic {:?}, whose next offset is {}",
                topic.name.as_str(),
                topic.range().next
            ),
            earliest,
            latest,
        }
    }

    /// The highest position after which the topics have at least `count` events, or 0 if they have
    /// fewer.
    fn before_last(
        &self,
        topics: &[Arc<Topic>],
        count: u64,
        watermark: Position,
    ) -> Result<Position, ReadError> {
        let retained: u64 = topics.iter().map(|topic| topic.range().events()).sum();
        if count == 0 {
            return Ok(watermark);
        }
        if count >= retained {
            return Ok(Position(0));
        }
        let next_offsets: Vec<Offset> = topics.iter().map(|topic| topic.range().next).collect();
        let events_after = |position| -> Result<u64, ReadError> {
            let mut events = 0;
            for (topic, end) in topics.iter().zip(&next_offsets) {
                let first = if topic.range().last_position <= position {
                    *end
                } else {
                    self.store.offset_after(topic, position)?
                };
                events += end.0.saturating_sub(first.0);
            }
            Ok(events)
        };
        let (mut low, mut high) = (0, watermark.0);
        // A binary search over positions, each of which has at most one event.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if events_after(Position(middle))? >= count { low = middle } else { high = middle - 1 }
        }
        Ok(Position(low))
    }
}

//! Where a read begins: a cursor, a time, an edge, so many events before the end, or an offset, made into a place in
//! each topic and one position that stands for all of them.

use std::sync::Arc;

use super::{Broker, error::StartError};
use crate::{
    model::{
        cursor::Cursor,
        fault::{FaultKind, Faults},
        numbers::{AppendTime, Offset, Position},
    },
    store::{
        ReadError, Store,
        meta::Hole,
        topics::{Lost, Topic},
    },
};

/// A place to begin at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind a cursor.
    Cursor(Cursor),
    /// At the first event recorded at or after.
    Time(AppendTime),
    /// At the first retained event.
    Earliest,
    /// At the end.
    Latest,
    /// So many events before the end.
    Last(u64),
    /// At an offset of the one topic that is read.
    Offset(Offset),
}

/// A place, and what to do where retention has removed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Where.
    pub place: Place,
    /// Begin at the earliest retained event instead, and say what is missing.
    pub or_earliest: bool,
}

impl Start {
    /// At a place that cannot be lost.
    pub fn at(place: Place) -> Self {
        Self { place, or_earliest: false }
    }
}

/// What a reader asked for and does not get.
#[derive(Debug, Clone)]
pub struct Missing {
    /// In this topic; None: it cannot be said in which.
    pub topic: Option<Arc<Topic>>,
    /// From here.
    pub from: Offset,
    /// Up to, not including.
    pub until: Offset,
    /// Why.
    pub cause: Cause,
}

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// They were trimmed.
    Trim,
    /// Their topic was deleted and created again. The offsets are those of the deleted topic.
    Deletion,
    /// The positions are in a hole that an unclean stop left.
    Hole(Hole),
}

/// A place in each topic.
#[derive(Debug)]
pub struct Begin {
    /// The topics.
    pub topics: Vec<Arc<Topic>>,
    /// The first offset to read of each; backwards: the first one not to read.
    pub offsets: Vec<Offset>,
    /// Everything at or before it counts as seen; backwards: everything at or behind it.
    pub position: Position,
    /// Trims up to here are known.
    pub horizon: Position,
    /// What cannot be had.
    pub missing: Vec<Missing>,
    /// What was recorded before this is not wanted.
    pub not_before: Option<AppendTime>,
}

impl Broker {
    pub(super) async fn start_forward(
        &self,
        topics: Vec<Arc<Topic>>,
        start: &Start,
    ) -> Result<Begin, StartError> {
        let (store, start) = (Arc::clone(self.store()), *start);
        blocking(move || Finder { store: &store }.forward(topics, &start)).await
    }

    pub(super) async fn start_backward(
        &self,
        topics: Vec<Arc<Topic>>,
        start: &Start,
    ) -> Result<Begin, StartError> {
        let (store, start) = (Arc::clone(self.store()), *start);
        blocking(move || Finder { store: &store }.backward(topics, &start)).await
    }
}

async fn blocking<T: Send + 'static>(
    find: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    match tokio::task::spawn_blocking(find).await {
        Ok(found) => found,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

struct Finder<'a> {
    store: &'a Store,
}

impl Finder<'_> {
    fn forward(&self, topics: Vec<Arc<Topic>>, start: &Start) -> Result<Begin, StartError> {
        let horizon = self.store.watermark();
        let mut begin = Begin {
            topics,
            offsets: Vec::new(),
            position: horizon,
            horizon,
            missing: Vec::new(),
            not_before: None,
        };
        match start.place {
            Place::Earliest => {
                begin.position = Position(0);
                begin.offsets = begin.topics.iter().map(|topic| topic.extent().first).collect();
            }
            Place::Latest => self.behind(&mut begin, horizon)?,
            Place::Cursor(cursor) => self.cursor(&mut begin, cursor, start.or_earliest)?,
            Place::Time(time) => {
                self.lost(&mut begin, start.or_earliest, |topic| topic.lost_since(time))?;
                begin.not_before = Some(time);
                self.at_time(&mut begin, time)?;
            }
            Place::Last(count) => {
                let position = self.before_last(&begin.topics, count, horizon)?;
                self.behind(&mut begin, position)?;
            }
            Place::Offset(offset) => self.offset(&mut begin, offset, start.or_earliest)?,
        }
        Ok(begin)
    }

    /// Backwards, `position` is the first one that is not wanted.
    fn backward(&self, topics: Vec<Arc<Topic>>, start: &Start) -> Result<Begin, StartError> {
        let watermark = self.store.watermark();
        let place = match start.place {
            // The offset itself is wanted, so what begins behind it is the bound.
            Place::Offset(offset) => {
                let mut begin = Begin {
                    topics,
                    offsets: Vec::new(),
                    position: watermark.next(),
                    horizon: watermark,
                    missing: Vec::new(),
                    not_before: None,
                };
                let topic = self.single(&begin)?;
                let extent = topic.extent();
                if offset > extent.next {
                    return Err(self.in_future(&topic, offset));
                }
                if offset < extent.first && !start.or_earliest {
                    return Err(self.position_lost(&topic, extent.first, Cause::Trim));
                }
                let end = offset.next().min(extent.next);
                begin.offsets = vec![end];
                if end < extent.next {
                    begin.position = self.store.position_of(&topic, end)?;
                }
                return Ok(begin);
            }
            // A cursor stands behind its event; backwards the event itself is not wanted either.
            Place::Cursor(cursor) => {
                self.check_cursor(cursor)?;
                let mut begin = self.forward(topics, &Start::at(Place::Earliest))?;
                let before = Position(cursor.position.0.saturating_sub(1));
                self.behind(&mut begin, before)?;
                begin.position = cursor.position;
                return Ok(begin);
            }
            // Whatever was recorded at or before the time.
            Place::Time(time) => Place::Time(AppendTime(time.0.saturating_add(1))),
            place => place,
        };
        let mut begin = self.forward(topics, &Start { place, or_earliest: true })?;
        begin.position = begin.position.next();
        begin.not_before = None;
        begin.missing.clear();
        Ok(begin)
    }

    /// Everything behind a position.
    fn behind(&self, begin: &mut Begin, position: Position) -> Result<(), ReadError> {
        begin.position = position;
        begin.offsets = begin
            .topics
            .iter()
            .map(|topic| {
                let extent = topic.extent();
                // Most often it is the end, which needs no search.
                if extent.first == extent.next || extent.last_position <= position {
                    return Ok(extent.next);
                }
                self.store.offset_behind(topic, position)
            })
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    fn at_time(&self, begin: &mut Begin, time: AppendTime) -> Result<(), ReadError> {
        let mut first = None;
        let mut offsets = Vec::with_capacity(begin.topics.len());
        for topic in &begin.topics {
            let offset = self.store.offset_at(topic, time)?;
            if offset < topic.extent().next {
                let position = self.store.position_of(topic, offset)?;
                first = Some(first.map_or(position, |first: Position| first.min(position)));
            }
            offsets.push(offset);
        }
        // Time never goes back over positions: everything before the first event is older than it in every topic.
        begin.position = first.map_or(begin.position, |first| Position(first.0 - 1));
        begin.offsets = offsets;
        Ok(())
    }

    fn cursor(
        &self,
        begin: &mut Begin,
        cursor: Cursor,
        or_earliest: bool,
    ) -> Result<(), StartError> {
        self.check_cursor(cursor)?;
        let mut position = cursor.position;
        if let Some(hole) = self.store.hole_at(position) {
            begin.missing.push(Missing {
                topic: None,
                from: Offset(0),
                until: Offset(0),
                cause: Cause::Hole(hole),
            });
            position = Position(hole.until);
        }
        for topic in &begin.topics {
            let Some(before) = topic.lost_before(position, cursor.horizon) else { continue };
            if !or_earliest {
                return Err(self.position_lost(topic, topic.extent().first, Cause::Deletion));
            }
            begin.missing.push(Missing {
                topic: Some(Arc::clone(topic)),
                // The rows of a deleted topic are not readable, so the first lost offset is not known.
                from: Offset(0),
                until: before.next,
                cause: Cause::Deletion,
            });
        }
        self.lost(begin, or_earliest, |topic| {
            let lost = topic.lost(position, cursor.horizon)?;
            Some(Lost { from: self.store.trimmed_behind(topic, lost, position), ..lost })
        })?;
        self.behind(begin, position)?;
        Ok(())
    }

    fn check_cursor(&self, cursor: Cursor) -> Result<(), StartError> {
        let watermark = self.store.watermark();
        if cursor.position > watermark {
            let (earliest, latest) = self.edges();
            return Err(StartError::PositionInFuture {
                detail: format!(
                    "the cursor stands at position {}, the log ends at {watermark}",
                    cursor.position
                ),
                earliest,
                latest,
            });
        }
        Ok(())
    }

    fn lost(
        &self,
        begin: &mut Begin,
        or_earliest: bool,
        lost: impl Fn(&Topic) -> Option<Lost>,
    ) -> Result<(), StartError> {
        for topic in &begin.topics {
            let Some(lost) = lost(topic) else { continue };
            if !or_earliest {
                return Err(self.position_lost(topic, lost.first, Cause::Trim));
            }
            begin.missing.push(Missing {
                topic: Some(Arc::clone(topic)),
                from: lost.from,
                until: lost.first,
                cause: Cause::Trim,
            });
        }
        Ok(())
    }

    fn offset(
        &self,
        begin: &mut Begin,
        offset: Offset,
        or_earliest: bool,
    ) -> Result<(), StartError> {
        let topic = self.single(begin)?;
        let extent = topic.extent();
        if offset > extent.next {
            return Err(self.in_future(&topic, offset));
        }
        let mut offset = offset;
        if offset < extent.first {
            if !or_earliest {
                return Err(self.position_lost(&topic, extent.first, Cause::Trim));
            }
            begin.missing.push(Missing {
                topic: Some(Arc::clone(&topic)),
                from: offset,
                until: extent.first,
                cause: Cause::Trim,
            });
            offset = extent.first;
        }
        if offset < extent.next {
            begin.position = Position(self.store.position_of(&topic, offset)?.0 - 1);
        }
        begin.offsets = vec![offset];
        Ok(())
    }

    fn single(&self, begin: &Begin) -> Result<Arc<Topic>, Faults> {
        match begin.topics.as_slice() {
            [topic] => Ok(Arc::clone(topic)),
            topics => Err(Faults::one(
                FaultKind::Request,
                "start.offset",
                format!(
                    "an offset is a place in one topic, and {} are read: use a cursor or a time",
                    topics.len()
                ),
            )),
        }
    }

    fn edges(&self) -> (Cursor, Cursor) {
        let horizon = self.store.watermark();
        (Cursor { position: Position(0), horizon }, Cursor { position: horizon, horizon })
    }

    fn position_lost(&self, topic: &Topic, first: Offset, cause: Cause) -> StartError {
        let (earliest, latest) = self.edges();
        StartError::PositionLost { topic: topic.name.to_string(), first, cause, earliest, latest }
    }

    fn in_future(&self, topic: &Topic, offset: Offset) -> StartError {
        let (earliest, latest) = self.edges();
        StartError::PositionInFuture {
            detail: format!(
                "offset {offset} of topic {:?}, whose next offset is {}",
                topic.name.as_str(),
                topic.extent().next
            ),
            earliest,
            latest,
        }
    }

    /// The position behind which the topics have so many events, or all of them.
    fn before_last(
        &self,
        topics: &[Arc<Topic>],
        count: u64,
        watermark: Position,
    ) -> Result<Position, ReadError> {
        let retained: u64 = topics.iter().map(|topic| topic.extent().events()).sum();
        if count == 0 {
            return Ok(watermark);
        }
        if count >= retained {
            return Ok(Position(0));
        }
        let ends: Vec<Offset> = topics.iter().map(|topic| topic.extent().next).collect();
        let behind = |position| -> Result<u64, ReadError> {
            let mut events = 0;
            for (topic, end) in topics.iter().zip(&ends) {
                let first = if topic.extent().last_position <= position {
                    *end
                } else {
                    self.store.offset_behind(topic, position)?
                };
                events += end.0.saturating_sub(first.0);
            }
            Ok(events)
        };
        let (mut low, mut high) = (0, watermark.0);
        // The highest position with at least so many events behind it. Positions grow by one event at a time.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if behind(Position(middle))? >= count { low = middle } else { high = middle - 1 }
        }
        Ok(Position(low))
    }
}

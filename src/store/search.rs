//! Finding an offset in a topic by position, time or size. Offsets are dense and all three grow with them, so a binary
//! search over rows finds each: about 20 reads in a million events. No index has to be written for it.

use super::{
    ReadError, Store,
    row::Header,
    topics::{Lost, Topic},
};
use crate::model::numbers::{AppendTime, Offset, Position};

/// How many damaged events in a row are tried before a reader is told that it cannot go on.
const DAMAGED_EVENTS_MAX: u64 = 100_000;

impl Store {
    /// The first retained offset behind a position.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn offset_behind(&self, topic: &Topic, position: Position) -> Result<Offset, ReadError> {
        if position.0 == 0 {
            return Ok(topic.extent().first);
        }
        let found = self.first_where(topic, |header| header.position > position)?;
        // A cursor behind damage has the position just before the next readable event. Any other one that ends up on
        // damage has to meet it: what is damaged comes behind it, and is not passed over in silence.
        if found < topic.extent().next && self.header(topic.id, found).is_err() {
            let behind = self.readable_behind(topic, found, topic.extent().next);
            if let Some((offset, header)) = behind
                && header.position == position.next()
            {
                return Ok(offset);
            }
        }
        Ok(found)
    }

    /// Where among trimmed offsets a position lies: exactly where their rows are still there, else at or before it.
    pub fn trimmed_behind(&self, topic: &Topic, lost: Lost, position: Position) -> Offset {
        let (mut low, mut high) = (lost.from.0, lost.first.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.header(topic.id, Offset(middle)) {
                Ok(header) if header.position > position => high = middle,
                Ok(_) => low = middle + 1,
                Err(_) => break,
            }
        }
        Offset(low)
    }

    /// The first retained offset recorded at or after a time.
    ///
    /// # Errors
    /// Where a row is damaged.
    pub fn offset_at(&self, topic: &Topic, time: AppendTime) -> Result<Offset, ReadError> {
        let extent = topic.extent();
        if extent.first == extent.next || extent.last_time < time {
            return Ok(extent.next);
        }
        self.first_where(topic, |header| header.append_time >= time)
    }

    /// The first retained offset whose event, with all behind it, has at most so many bytes.
    ///
    /// # Errors
    /// Where a row is damaged.
    pub fn offset_within(&self, topic: &Topic, bytes_max: u64) -> Result<Offset, ReadError> {
        let (ever, _) = topic.bytes_ever();
        // What stands before the last bytes_max: an event goes where everything up to it does.
        let behind = ever.saturating_sub(bytes_max);
        let found = self.first_where(topic, |header| header.topic_bytes >= behind)?;
        let extent = topic.extent();
        if found >= extent.next || behind == 0 {
            return Ok(if behind == 0 { extent.first } else { extent.next });
        }
        Ok(found.next())
    }

    /// The position of a retained event.
    ///
    /// # Errors
    /// Where its row is damaged.
    pub fn position_of(&self, topic: &Topic, offset: Offset) -> Result<Position, ReadError> {
        Ok(self.header(topic.id, offset)?.position)
    }

    fn first_where(
        &self,
        topic: &Topic,
        holds: impl Fn(&Header) -> bool,
    ) -> Result<Offset, ReadError> {
        let extent = topic.extent();
        let (mut low, mut high) = (extent.first.0, extent.next.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.header(topic.id, Offset(middle)) {
                Ok(header) if holds(&header) => high = middle,
                Ok(_) => low = middle + 1,
                // Trimmed while we looked: what is gone is before everything that is wanted.
                Err(_) if topic.extent().first.0 > middle => low = topic.extent().first.0,
                // Damaged: the next readable event decides for it, and a reader meets the damage if it begins there.
                Err(ReadError::Corrupt { .. }) => {
                    match self.readable_behind(topic, Offset(middle), Offset(high)) {
                        Some((offset, header)) if !holds(&header) => low = offset.0 + 1,
                        Some(_) | None => high = middle,
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Offset(low))
    }

    /// The first event behind a damaged one, and before an end, that can be read.
    pub(super) fn readable_behind(
        &self,
        topic: &Topic,
        damaged: Offset,
        end: Offset,
    ) -> Option<(Offset, Header)> {
        let end = end.0.min(damaged.0.saturating_add(DAMAGED_EVENTS_MAX));
        (damaged.0 + 1..end).find_map(|offset| {
            let offset = Offset(offset);
            self.header(topic.id, offset).ok().map(|header| (offset, header))
        })
    }
}

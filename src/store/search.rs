//! Binary search for an offset of a topic by position, time or size. Offsets are dense, and all
//! three increase with them. A search takes about 20 reads in a million events, and needs no index.

use super::{
    ReadError, Store,
    rows::log::Header,
    topics::{LostRange, Topic},
};
use crate::model::numbers::{AppendTime, Offset, Position};

/// Most consecutive damaged events that are skipped. After that, a reader cannot resume.
const DAMAGED_EVENTS_MAX: u64 = 100_000;

impl Store {
    /// The first retained offset after a position.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub fn offset_after(&self, topic: &Topic, position: Position) -> Result<Offset, ReadError> {
        if position.0 == 0 {
            return Ok(topic.range().first);
        }
        let offset = self.first_where(topic, |header| header.position > position)?;
        // A cursor after damage has the position just before the next readable event. Any other
        // cursor must return the damaged offset, so that the reader reports the damage instead of
        // skipping it silently.
        if offset < topic.range().next && self.header(topic.id, offset).is_err() {
            let readable = self.next_readable(topic, offset, topic.range().next);
            if let Some((offset, header)) = readable
                && header.position == position.next()
            {
                return Ok(offset);
            }
        }
        Ok(offset)
    }

    /// The first trimmed offset after a position: exact if the rows still exist, or else an earlier
    /// offset.
    pub fn trimmed_offset_after(
        &self,
        topic: &Topic,
        lost_range: LostRange,
        position: Position,
    ) -> Offset {
        let (mut low, mut high) = (lost_range.from.0, lost_range.first.0);
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

    /// The first retained offset appended at or after a time.
    ///
    /// # Errors
    /// Returns an error if a row is damaged.
    pub fn offset_at(&self, topic: &Topic, time: AppendTime) -> Result<Offset, ReadError> {
        let range = topic.range();
        if range.first == range.next || range.last_time < time {
            return Ok(range.next);
        }
        self.first_where(topic, |header| header.append_time >= time)
    }

    /// The first retained offset from which all events together have at most `bytes_max` bytes.
    ///
    /// # Errors
    /// Returns an error if a row is damaged.
    pub fn offset_within(&self, topic: &Topic, bytes_max: u64) -> Result<Offset, ReadError> {
        let (bytes_total, _) = topic.total_and_trimmed_bytes();
        // Bytes before the last `bytes_max`. The event with the last of these bytes is excluded
        // too.
        let removed_bytes = bytes_total.saturating_sub(bytes_max);
        let offset = self.first_where(topic, |header| header.topic_bytes >= removed_bytes)?;
        let range = topic.range();
        if offset >= range.next || removed_bytes == 0 {
            return Ok(if removed_bytes == 0 { range.first } else { range.next });
        }
        Ok(offset.next())
    }

    /// The position of a retained event.
    ///
    /// # Errors
    /// Returns an error if its row is damaged.
    pub fn position_of(&self, topic: &Topic, offset: Offset) -> Result<Position, ReadError> {
        Ok(self.header(topic.id, offset)?.position)
    }

    fn first_where(
        &self,
        topic: &Topic,
        predicate: impl Fn(&Header) -> bool,
    ) -> Result<Offset, ReadError> {
        let range = topic.range();
        let (mut low, mut high) = (range.first.0, range.next.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.header(topic.id, Offset(middle)) {
                Ok(header) if predicate(&header) => high = middle,
                Ok(_) => low = middle + 1,
                // Trimmed during the search: the trimmed events are before every offset that can be
                // the result.
                Err(_) if topic.range().first.0 > middle => low = topic.range().first.0,
                // The next readable event decides for a damaged one. A reader that starts at the
                // damage reports it.
                Err(ReadError::Corrupt { .. }) => {
                    match self.next_readable(topic, Offset(middle), Offset(high)) {
                        Some((offset, header)) if !predicate(&header) => low = offset.0 + 1,
                        Some(_) | None => high = middle,
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Offset(low))
    }

    /// The first readable event after a damaged one and before `end`.
    pub(super) fn next_readable(
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

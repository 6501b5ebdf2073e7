//! Finding an offset in a topic by position, time or size. Offsets are dense and all three grow with them, so a binary
//! search over rows finds each: about 20 reads in a million events. No index has to be written for it.

use super::{
    ReadError, Store,
    row::Header,
    topics::{Lost, Topic},
};
use crate::model::numbers::{AppendTime, Offset, Position};

impl Store {
    /// The first retained offset behind a position.
    ///
    /// # Errors
    /// Where a row is damaged.
    pub fn offset_behind(&self, topic: &Topic, position: Position) -> Result<Offset, ReadError> {
        if position.0 == 0 {
            return Ok(topic.extent().first);
        }
        self.first_where(topic, |header| header.position > position)
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
                Err(error) => return Err(error),
            }
        }
        Ok(Offset(low))
    }
}

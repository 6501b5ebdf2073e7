//! The events that a stream selects.

use std::{cell::OnceCell, sync::Arc};

use super::{
    cel::{Budget, Expression},
    payloads::Payloads,
};
use crate::model::{
    event::Recorded,
    filter::Filter,
    numbers::{AppendTime, Offset, Position},
};

/// Most steps of a chunk: 100 ms with the most expensive payloads.
const CHUNK_STEPS_MAX: u64 = 2_000_000;
/// Payload bytes whose decoding counts as one step.
const BYTES_PER_STEP: u64 = 4;

/// The selection of events of a stream.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Selects the events with this key.
    pub key: Option<String>,
    /// Selects the events that match all filters.
    pub filters: Vec<Filter>,
    /// The expressions that filters refer to by index.
    pub expressions: Vec<Arc<Expression>>,
    /// Selects the events appended at or after this time.
    pub not_before: Option<AppendTime>,
    /// Forwards: stops before an event appended at or after this time. Backwards: stops before an
    /// event appended before it.
    pub until: Option<AppendTime>,
    /// Decodes payloads for expressions. Set by the broker.
    pub payloads: Payloads,
}

/// The result of filtering a chunk.
pub(super) struct Filtered {
    /// The events that match.
    pub events: Vec<Recorded>,
    /// How many events were evaluated.
    pub read: usize,
    /// The last event that was evaluated.
    pub last: Option<(Offset, Position)>,
}

impl EventFilter {
    /// Whether evaluation is so expensive that it must not run on a thread that serves others.
    pub(super) fn is_expensive(&self) -> bool {
        !self.expressions.is_empty()
    }

    /// Whether an event matches, and the steps of the evaluation.
    pub(super) fn evaluate(&self, event: &Recorded) -> (bool, u64) {
        let is_candidate = self.key.as_ref().is_none_or(|key| event.key() == key.as_bytes())
            && self.not_before.is_none_or(|time| event.append_time >= time);
        if !is_candidate {
            return (false, 1);
        }
        // The payload is decoded at most once.
        let data = OnceCell::new();
        let mut budget = Budget::new();
        let mut holds = |number: usize| {
            let Some(expression) = self.expressions.get(number) else { return false };
            let data = match expression.uses_data() {
                true => data.get_or_init(|| self.payloads.read(event)).as_ref(),
                false => None,
            };
            match expression.holds(event.encoded(), data, &mut budget) {
                Ok(flag) => flag,
                Err(_) => {
                    self.payloads.count_failure();
                    false
                }
            }
        };
        let is_match =
            self.filters.iter().all(|filter| filter.matches(event.encoded(), &mut holds));
        let decoded = data.get().map_or(0, |_| event.event.len() as u64 / BYTES_PER_STEP);
        (is_match, budget.spent() + decoded + 1)
    }

    /// Filters a chunk, or as much of it as the limit of steps allows: at least one event.
    pub(super) fn filter(&self, events: Vec<Recorded>) -> Filtered {
        let mut filtered = Filtered { events: Vec::new(), read: 0, last: None };
        let mut steps_left = CHUNK_STEPS_MAX;
        for event in events {
            let (is_match, steps) = self.evaluate(&event);
            filtered.read += 1;
            filtered.last = Some((event.offset, event.position));
            if is_match {
                filtered.events.push(event);
            }
            steps_left = steps_left.saturating_sub(steps);
            if steps_left == 0 {
                break;
            }
        }
        filtered
    }
}

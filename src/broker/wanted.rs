//! Which events a stream wants.

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

/// Steps after which a stream goes on with what it has looked at: 100 ms of the most that payloads can make of it.
const CHUNK_STEPS_MAX: u64 = 2_000_000;
/// Steps that a byte of a payload counts for that is decoded, as a fraction.
const BYTES_OF_A_STEP: u64 = 4;

/// Which events of its topics a stream wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those with this key.
    pub key: Option<String>,
    /// Only those that all of these match.
    pub filters: Vec<Filter>,
    /// What filters name by number.
    pub expressions: Vec<Arc<Expression>>,
    /// Only those recorded at or after.
    pub not_before: Option<AppendTime>,
    /// Forwards: none recorded at or after. Backwards: none recorded before.
    pub until: Option<AppendTime>,
    /// How expressions see payloads. The broker sets it.
    pub payloads: Payloads,
}

/// What a stream wants of a chunk.
pub(super) struct Sieved {
    /// Events that are wanted.
    pub events: Vec<Recorded>,
    /// How many were looked at.
    pub read: usize,
    /// The last that was.
    pub last: Option<(Offset, Position)>,
}

impl Wanted {
    /// Whether looking at an event takes so much work that others should not wait for it.
    pub(super) fn takes_work(&self) -> bool {
        !self.expressions.is_empty()
    }

    /// Whether an event is wanted, and the steps that it took to tell.
    pub(super) fn takes(&self, event: &Recorded) -> (bool, u64) {
        let is_in = self.key.as_ref().is_none_or(|key| event.key() == key.as_bytes())
            && self.not_before.is_none_or(|time| event.append_time >= time);
        if !is_in {
            return (false, 1);
        }
        // One decoding, whatever asks for it.
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
                    self.payloads.failed();
                    false
                }
            }
        };
        let is_wanted =
            self.filters.iter().all(|filter| filter.matches(event.encoded(), &mut holds));
        let decoded = data.get().map_or(0, |_| event.event.len() as u64 / BYTES_OF_A_STEP);
        (is_wanted, budget.spent() + decoded + 1)
    }

    /// Looks at a chunk, or at as much of it as may be done at once. Of an event at least.
    pub(super) fn sieve(&self, events: Vec<Recorded>) -> Sieved {
        let mut sieved = Sieved { events: Vec::new(), read: 0, last: None };
        let mut left = CHUNK_STEPS_MAX;
        for event in events {
            let (is_wanted, steps) = self.takes(&event);
            sieved.read += 1;
            sieved.last = Some((event.offset, event.position));
            if is_wanted {
                sieved.events.push(event);
            }
            left = left.saturating_sub(steps);
            if left == 0 {
                break;
            }
        }
        sieved
    }
}

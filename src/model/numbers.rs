//! Numbers with a meaning of their own.

use std::{fmt, time::Duration};

use jiff::Timestamp;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($of:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $of);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Identifies a topic in the store. Never reused, even if the name of the topic is.
    TopicId(u32)
);
number!(
    /// Index of an event in its topic: dense, from 0.
    Offset(u64)
);
number!(
    /// Index in the single order of everything that the server appended, from 1. Increasing, but
    /// not dense in a topic.
    Position(u64)
);
number!(
    /// Number of events of a key, up to and including this event. 0: none.
    KeyVersion(u64)
);
number!(
    /// When the server recorded an event: microseconds since 1970, UTC. Never decreases over
    /// positions.
    AppendTime(u64)
);

impl Offset {
    /// The following offset.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Position {
    /// The following position.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl AppendTime {
    /// The current time of the system clock.
    pub fn now() -> Self {
        Self::from(Timestamp::now())
    }

    /// The time earlier by `age`, but not before 1970.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// Whole seconds since 1970, and the nanoseconds after them.
    pub fn seconds_and_nanos(self) -> (i64, i32) {
        let seconds = i64::try_from(self.0 / 1_000_000).unwrap_or(i64::MAX);
        let nanos = i32::try_from(self.0 % 1_000_000 * 1_000).unwrap_or(0);
        (seconds, nanos)
    }

    /// The first microsecond at or after an instant. Instants before 1970 give 0.
    pub fn at_or_after(seconds: i64, nanos: i32) -> Self {
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let micros = nanos.max(0).div_ceil_compat(1_000);
        Self(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for AppendTime {
    fn from(time: Timestamp) -> Self {
        Self(u64::try_from(time.as_microsecond()).unwrap_or(0))
    }
}

/// Division that rounds up: `div_ceil` is not stable for signed integers.
trait DivCeil {
    fn div_ceil_compat(self, divisor: Self) -> Self;
}

impl DivCeil for i128 {
    fn div_ceil_compat(self, divisor: Self) -> Self {
        (self + divisor - 1).div_euclid(divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_between_two_microseconds_is_the_later_one() {
        assert_eq!(AppendTime::at_or_after(1, 1), AppendTime(1_000_001));
        assert_eq!(AppendTime::at_or_after(1, 1_000), AppendTime(1_000_001));
        assert_eq!(AppendTime::at_or_after(-5, 0), AppendTime(0));
    }
}

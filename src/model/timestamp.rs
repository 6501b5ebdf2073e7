//! A point in time, in the range of `google.protobuf.Timestamp`.

use std::{fmt, time::SystemTime};

use jiff::{SignedDuration, civil::DateTime, fmt::temporal::Pieces};

/// 0001-01-01T00:00:00Z.
const SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const SECONDS_MAX: i64 = 253_402_300_799;
const NANOS_MAX: i32 = 999_999_999;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A point in time of the years 1 to 9999 in UTC, to the nanosecond: exactly the values of
/// `google.protobuf.Timestamp`. `jiff::Timestamp` has another range: it begins before year 1 and
/// ends at 9999-12-30T22:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    /// Nanoseconds after the second, before 1970 too.
    nanos: i32,
}

/// Why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text does not have the form of a time.
    #[error("is not a time of RFC 3339, such as 2026-01-31T12:00:00Z")]
    Form,
    /// The time is before the year 1, or after the year 9999.
    #[error("is not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z")]
    Range,
}

impl Timestamp {
    /// A time from seconds since 1970 and the nanoseconds after them.
    ///
    /// # Errors
    /// Returns the values and their bounds if one is out of range.
    pub fn new(seconds: i64, nanos: i32) -> Result<Self, String> {
        if (SECONDS_MIN..=SECONDS_MAX).contains(&seconds) && (0..=NANOS_MAX).contains(&nanos) {
            return Ok(Self { seconds, nanos });
        }
        Err(format!(
            "has {seconds} seconds and {nanos} nanos: a google.protobuf.Timestamp has from {SECONDS_MIN} to \
             {SECONDS_MAX} seconds (years 1 to 9999) and from 0 to {NANOS_MAX} nanos"
        ))
    }

    /// A whole second since 1970. None: it is out of range.
    pub fn from_second(seconds: i64) -> Option<Self> {
        Self::new(seconds, 0).ok()
    }

    /// Parses a time in the form of RFC 3339. A leap second is read as the second before it.
    ///
    /// # Errors
    /// Returns an error if the text has another form, or if the time is out of range.
    pub fn rfc3339(text: &str) -> Result<Self, TimeError> {
        if is_rfc3339(text) { Self::iso8601(text) } else { Err(TimeError::Form) }
    }

    /// Parses a time of ISO 8601 with an offset from UTC. Seconds, `-`, `:` and the minutes of the
    /// offset are optional.
    ///
    /// # Errors
    /// Returns an error if the text has another form, or if the time is out of range.
    pub fn iso8601(text: &str) -> Result<Self, TimeError> {
        let pieces = Pieces::parse(text).map_err(|_| TimeError::Form)?;
        let (Some(time), Some(offset)) = (pieces.time(), pieces.to_numeric_offset()) else {
            return Err(TimeError::Form);
        };
        let local = pieces.date().to_datetime(time).duration_since(EPOCH);
        let offset = SignedDuration::from_secs(offset.seconds().into());
        Self::after_epoch(local.saturating_sub(offset)).ok_or(TimeError::Range)
    }

    /// Seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// The time later by `span`. None: it is out of range.
    pub fn checked_add(self, span: SignedDuration) -> Option<Self> {
        Self::after_epoch(self.since_epoch().checked_add(span)?)
    }

    /// The time earlier by `span`. None: it is out of range.
    pub fn checked_sub(self, span: SignedDuration) -> Option<Self> {
        Self::after_epoch(self.since_epoch().checked_sub(span)?)
    }

    /// The time elapsed since `other`.
    pub fn duration_since(self, other: Self) -> SignedDuration {
        // Two times are less than 10,000 years apart, so this does not saturate.
        self.since_epoch().saturating_sub(other.since_epoch())
    }

    /// Date and time of day in UTC.
    pub fn civil(self) -> DateTime {
        // Civil dates cover the years -9999 to 9999, so this does not fail.
        EPOCH.checked_add(self.since_epoch()).unwrap_or(EPOCH)
    }

    fn since_epoch(self) -> SignedDuration {
        SignedDuration::new(self.seconds, self.nanos)
    }

    fn after_epoch(since: SignedDuration) -> Option<Self> {
        // The nanoseconds of a duration have the sign of its seconds.
        let (seconds, nanos) = match (since.as_secs(), since.subsec_nanos()) {
            (seconds, nanos) if nanos < 0 => (seconds.checked_sub(1)?, nanos + NANOS_MAX + 1),
            positive => positive,
        };
        Self::new(seconds, nanos).ok()
    }
}

/// Whether a text has the form `2026-01-31T12:00:00.5Z`: with seconds, with an offset, and with at
/// most nine digits of a fraction.
fn is_rfc3339(text: &str) -> bool {
    let has_shape = |shape: &[u8], part: &[u8]| {
        shape.len() == part.len()
            && shape.iter().zip(part).all(|(expected, byte)| match expected {
                b'0' => byte.is_ascii_digit(),
                _ => byte.eq_ignore_ascii_case(expected),
            })
    };
    let Some((date_and_time, mut zone)) = text.as_bytes().split_at_checked(19) else {
        return false;
    };
    if let Some(fraction) = zone.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        zone = &fraction[digits..];
    }
    let is_offset = || {
        let has_form = has_shape(b"+00:00", zone) || has_shape(b"-00:00", zone);
        has_form && &zone[1..3] < b"24".as_slice() && &zone[4..] < b"60".as_slice()
    };
    has_shape(b"0000-00-00T00:00:00", date_and_time) && (has_shape(b"Z", zone) || is_offset())
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.civil())
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = TimeError;

    fn try_from(time: SystemTime) -> Result<Self, TimeError> {
        let since = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => SignedDuration::try_from(since),
            Err(before) => SignedDuration::try_from(before.duration()).map(|duration| -duration),
        };
        since.ok().and_then(Self::after_epoch).ok_or(TimeError::Range)
    }
}

impl TryFrom<prost_types::Timestamp> for Timestamp {
    type Error = String;

    fn try_from(time: prost_types::Timestamp) -> Result<Self, String> {
        Self::new(time.seconds, time.nanos)
    }
}

impl From<Timestamp> for prost_types::Timestamp {
    fn from(time: Timestamp) -> Self {
        Self { seconds: time.seconds, nanos: time.nanos }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_bounds_are_times() {
        for (text, seconds, nanos) in [
            ("0001-01-01T00:00:00Z", SECONDS_MIN, 0),
            ("9999-12-31T23:59:59.999999999Z", SECONDS_MAX, NANOS_MAX),
            ("9999-12-30T22:00:01Z", 253_402_207_201, 0),
            ("1969-12-31T23:59:59.25Z", -1, 250_000_000),
            ("1970-01-01T00:00:00Z", 0, 0),
        ] {
            let time = Timestamp::new(seconds, nanos).unwrap();
            assert_eq!(Timestamp::rfc3339(text), Ok(time), "{text}");
            assert_eq!(Timestamp::iso8601(text), Ok(time), "{text}");
            assert_eq!(time.to_string(), text);
        }
        for (seconds, nanos) in
            [(SECONDS_MIN - 1, 0), (SECONDS_MAX + 1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, 0)]
        {
            let error = Timestamp::new(seconds, nanos).unwrap_err();
            assert!(error.contains(&format!("{seconds} seconds and {nanos} nanos")), "{error}");
        }
        for text in [
            "0000-12-31T23:59:59.999999999Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::rfc3339(text), Err(TimeError::Range), "{text}");
        }
        let nano = SignedDuration::from_nanos(1);
        assert_eq!(Timestamp::rfc3339("0001-01-01T00:00:00Z").unwrap().checked_sub(nano), None);
        let last = Timestamp::rfc3339("9999-12-31T23:59:59.999999999Z").unwrap();
        assert_eq!(last.checked_add(nano), None);
        assert_eq!(last.checked_add(SignedDuration::MAX), None);
        assert_eq!(last.checked_sub(SignedDuration::MIN), None);
    }

    #[test]
    fn iso_8601_has_more_forms_than_rfc_3339() {
        let noon = Timestamp::new(1_769_860_800, 0).unwrap();
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31t12:00:00z",
            "2026-01-31T12:00:00.000000000Z",
            "2026-01-31T13:30:00+01:30",
            "2026-01-31T12:00:00-00:00",
        ] {
            assert_eq!(Timestamp::rfc3339(text), Ok(noon), "{text}");
        }
        for text in [
            "2026-01-31T12:00Z",
            "20260131T120000Z",
            "2026-01-31T14:00:00+02",
            "2026-01-31 12:00:00Z",
        ] {
            assert_eq!(Timestamp::rfc3339(text), Err(TimeError::Form), "{text}");
            assert_eq!(Timestamp::iso8601(text), Ok(noon), "{text}");
        }
        for text in [
            "",
            "noon",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-02-30T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00.0000000001Z",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00Z[UTC]",
            "ééééééééééééé",
        ] {
            assert_eq!(Timestamp::rfc3339(text), Err(TimeError::Form), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_reads_back(seconds in SECONDS_MIN..=SECONDS_MAX, nanos in 0..=NANOS_MAX) {
            let time = Timestamp::new(seconds, nanos).unwrap();
            prop_assert_eq!(Timestamp::rfc3339(&time.to_string()), Ok(time));
            prop_assert_eq!(Timestamp::try_from(prost_types::Timestamp::from(time)), Ok(time));
            let span = time.duration_since(Timestamp::new(0, 0).unwrap());
            prop_assert_eq!(Timestamp::new(0, 0).unwrap().checked_add(span), Some(time));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,40}") {
            let _ = Timestamp::rfc3339(&text);
            let _ = Timestamp::iso8601(&text);
        }
    }
}

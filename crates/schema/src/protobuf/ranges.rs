//! Sets of numbers as ranges.

use std::fmt;

/// A set of numbers: disjoint, non-adjacent half-open ranges in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// Creates a set from half-open ranges in any order.
    pub(super) fn new(ranges: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|(start, end)| start < end).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        Self(merged)
    }

    pub(super) fn contains(&self, number: impl Into<i64>) -> bool {
        let number = number.into();
        let after = self.0.partition_point(|(start, _)| *start <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, end)| number < *end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers that are in this set and not in the other.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut remaining = Vec::new();
        let mut removed = other.0.iter().copied().peekable();
        for (mut start, end) in self.0.iter().copied() {
            while let Some((from, to)) = removed.peek().copied() {
                if to <= start {
                    removed.next();
                    continue;
                }
                if from >= end {
                    break;
                }
                if from > start {
                    remaining.push((start, from));
                }
                start = start.max(to);
                if to >= end {
                    break;
                }
                removed.next();
            }
            if start < end {
                remaining.push((start, end));
            }
        }
        Self(remaining)
    }

    /// Creates a set from single numbers.
    pub(super) fn of(numbers: impl IntoIterator<Item = i64>) -> Self {
        Self::new(numbers.into_iter().map(|number| (number, number + 1)))
    }
}

/// Formats the ranges in `.proto` syntax, with both ends included.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (start, end)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match end - start {
                1 => write!(f, "{start}")?,
                _ => write!(f, "{start} to {}", end - 1)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_sets() {
        let ranges = Ranges::new([(5, 10), (1, 5), (20, 21)]);
        assert_eq!(ranges, Ranges::new([(1, 10), (20, 21)]));
        assert_eq!(ranges.to_string(), "1 to 9, 20");
        assert!(
            ranges.contains(9)
                && ranges.contains(20)
                && !ranges.contains(10)
                && !ranges.contains(0)
        );
        assert_eq!(ranges.without(&Ranges::new([(2, 10), (15, 30)])), Ranges::of([1]));
        assert_eq!(ranges.without(&Ranges::of([3, 5])).to_string(), "1 to 2, 4, 6 to 9, 20");
        assert_eq!(
            Ranges::new([(1, 3), (5, 8)]).without(&Ranges::new([(0, 6)])).to_string(),
            "6 to 7"
        );
        assert!(Ranges::new([(3, 3), (5, 4)]).is_empty());
    }
}

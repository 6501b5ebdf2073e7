//! Sets of numbers, as ranges write them.

use std::fmt;

/// A set of numbers: half open ranges in ascending order that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// Of half open ranges in any order.
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

    pub(super) fn has(&self, number: impl Into<i64>) -> bool {
        let number = number.into();
        let after = self.0.partition_point(|(start, _)| *start <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, end)| number < *end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in this set and not in the other.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut cuts = other.0.iter().copied().peekable();
        for (mut start, end) in self.0.iter().copied() {
            while let Some((from, to)) = cuts.peek().copied() {
                if to <= start {
                    cuts.next();
                    continue;
                }
                if from >= end {
                    break;
                }
                if from > start {
                    left.push((start, from));
                }
                start = start.max(to);
                if to >= end {
                    break;
                }
                cuts.next();
            }
            if start < end {
                left.push((start, end));
            }
        }
        Self(left)
    }

    /// The numbers of a list.
    pub(super) fn of(numbers: impl IntoIterator<Item = i64>) -> Self {
        Self::new(numbers.into_iter().map(|number| (number, number + 1)))
    }
}

/// As an author writes them, both ends included.
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
        let one = Ranges::new([(5, 10), (1, 5), (20, 21)]);
        assert_eq!(one, Ranges::new([(1, 10), (20, 21)]));
        assert_eq!(one.to_string(), "1 to 9, 20");
        assert!(one.has(9) && one.has(20) && !one.has(10) && !one.has(0));
        assert_eq!(one.without(&Ranges::new([(2, 10), (15, 30)])), Ranges::of([1]));
        assert_eq!(one.without(&Ranges::of([3, 5])).to_string(), "1 to 2, 4, 6 to 9, 20");
        assert_eq!(
            Ranges::new([(1, 3), (5, 8)]).without(&Ranges::new([(0, 6)])).to_string(),
            "6 to 7"
        );
        assert!(Ranges::new([(3, 3), (5, 4)]).is_empty());
    }
}

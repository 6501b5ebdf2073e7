//! The compatibility that a version must keep within its line, and the bumps that follow from it.

use crate::{
    finding::{Comparison, Direction, Verdict},
    version::Bump,
};

/// The compatibility that a new version must keep within its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Level {
    /// No compatibility.
    None,
    /// New readers can read data of the previous version.
    Backward,
    /// New readers can read data of every version of the line.
    BackwardTransitive,
    /// Readers of the previous version can read data of the new version.
    Forward,
    /// Readers of every version of the line can read data of the new version.
    ForwardTransitive,
    /// Both directions, with the previous version.
    Full,
    /// Both directions, with every version of the line: the promise of "^1".
    #[default]
    FullTransitive,
}

impl Level {
    /// The direction whose break violates the level.
    pub fn direction(self) -> Option<Direction> {
        match self {
            Self::None => None,
            Self::Backward | Self::BackwardTransitive => Some(Direction::Backward),
            Self::Forward | Self::ForwardTransitive => Some(Direction::Forward),
            Self::Full | Self::FullTransitive => Some(Direction::Both),
        }
    }

    /// Whether every version of the line counts.
    pub fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    /// The smallest bump that the findings require.
    pub fn bump(self, comparison: &Comparison) -> Bump {
        let breaks = |direction| comparison.verdict(direction) > Verdict::Compatible;
        match self.direction() {
            Some(direction) if breaks(direction) => Bump::Major,
            Some(_) | None => comparison.change.into(),
        }
    }
}

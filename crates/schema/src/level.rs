//! What a new version must keep within its line, and the bump that findings ask for at that level.

use crate::{
    finding::{Comparison, Direction, Verdict},
    version::Bump,
};

/// What a new version is held to within its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Level {
    /// Nothing.
    None,
    /// New readers read what the version before wrote.
    Backward,
    /// New readers read what every version of the line wrote.
    BackwardTransitive,
    /// Readers of the version before read what the new one writes.
    Forward,
    /// Readers of every version of the line read what the new one writes.
    ForwardTransitive,
    /// Both, with the version before.
    Full,
    /// Both, with every version of the line: what "^1" promises.
    #[default]
    FullTransitive,
}

impl Level {
    /// The direction that breaks it.
    pub fn direction(self) -> Option<Direction> {
        match self {
            Self::None => None,
            Self::Backward | Self::BackwardTransitive => Some(Direction::Backward),
            Self::Forward | Self::ForwardTransitive => Some(Direction::Forward),
            Self::Full | Self::FullTransitive => Some(Direction::Both),
        }
    }

    /// Whether it is every version of the line that counts.
    pub fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    /// The least bump that what was found asks for.
    pub fn bump(self, comparison: &Comparison) -> Bump {
        let breaks = |direction| comparison.verdict(direction) > Verdict::Compatible;
        match self.direction() {
            Some(direction) if breaks(direction) => Bump::Major,
            Some(_) | None => comparison.change.into(),
        }
    }
}

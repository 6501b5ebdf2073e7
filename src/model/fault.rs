//! What is wrong with a request: every fault at once, each with its field.

use std::fmt;

/// What kind of value is at fault; becomes the reason of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A field of the request.
    Request,
    /// A topic's name or pattern.
    Name,
    /// An event.
    Event,
    /// A filter.
    Filter,
    /// A cursor.
    Cursor,
    /// A batch that is larger than the server takes.
    BatchTooLarge {
        /// What was sent.
        size: u64,
        /// What is taken.
        limit: u64,
    },
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of value.
    pub kind: FaultKind,
    /// Where it is: the path of a field, such as `events[2].source`.
    pub field: String,
    /// What is wrong and what to do.
    pub description: String,
}

/// All that is wrong; empty while nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exactly one.
    pub fn one(kind: FaultKind, field: impl Into<String>, description: impl Into<String>) -> Self {
        let mut faults = Self::new();
        faults.add(kind, field, description);
        faults
    }

    /// Notes one more.
    pub fn add(
        &mut self,
        kind: FaultKind,
        field: impl Into<String>,
        description: impl Into<String>,
    ) {
        self.0.push(Fault { kind, field: field.into(), description: description.into() });
    }

    /// The value, or a note of why there is none.
    pub fn take<T>(
        &mut self,
        kind: FaultKind,
        field: &str,
        result: Result<T, String>,
    ) -> Option<T> {
        result.map_err(|description| self.add(kind, field, description)).ok()
    }

    /// The value, or the notes that another parser made.
    pub fn merge<T>(&mut self, result: Result<T, Faults>) -> Option<T> {
        result.map_err(|faults| self.0.extend(faults.0)).ok()
    }

    /// The value where nothing is wrong.
    ///
    /// # Errors
    /// Everything that was noted.
    pub fn finish<T>(self, value: impl FnOnce() -> Option<T>) -> Result<T, Self> {
        if !self.0.is_empty() {
            return Err(self);
        }
        value().ok_or(self)
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("nothing is wrong"),
            [fault] => write!(f, "{}: {}", fault.field, fault.description),
            [fault, rest @ ..] => {
                write!(f, "{}: {} (and {} more)", fault.field, fault.description, rest.len())
            }
        }
    }
}

impl std::error::Error for Faults {}

//! Faults of a request. All faults are reported together, each with its field.

use std::fmt;

/// The kind of the faulty value. It determines the reason of the error.
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
    /// A batch that exceeds a limit of the server.
    BatchTooLarge {
        /// The size of the batch.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

/// A fault of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of the value.
    pub kind: FaultKind,
    /// The path of the field, such as `events[2].source`.
    pub field: String,
    /// The problem and its remedy.
    pub description: String,
}

/// The faults of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// No faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A single fault.
    pub fn single(
        kind: FaultKind,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        let mut faults = Self::new();
        faults.add(kind, field, description);
        faults
    }

    /// Adds a fault.
    pub fn add(
        &mut self,
        kind: FaultKind,
        field: impl Into<String>,
        description: impl Into<String>,
    ) {
        self.0.push(Fault { kind, field: field.into(), description: description.into() });
    }

    /// The value of a result. Adds a fault if it is an error.
    pub fn take<T>(
        &mut self,
        kind: FaultKind,
        field: &str,
        result: Result<T, String>,
    ) -> Option<T> {
        result.map_err(|description| self.add(kind, field, description)).ok()
    }

    /// The value of a result. Adds the faults of another parser if it is an error.
    pub fn merge<T>(&mut self, result: Result<T, Faults>) -> Option<T> {
        result.map_err(|faults| self.0.extend(faults.0)).ok()
    }

    /// The value, if there are no faults.
    ///
    /// # Errors
    /// Returns all faults that were added.
    pub fn finish<T>(self, value: impl FnOnce() -> Option<T>) -> Result<T, Self> {
        if !self.0.is_empty() {
            return Err(self);
        }
        value().ok_or(self)
    }

    /// Whether there are no faults.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("no faults"),
            [fault] => write!(f, "{}: {}", fault.field, fault.description),
            [fault, rest @ ..] => {
                write!(f, "{}: {} (and {} more)", fault.field, fault.description, rest.len())
            }
        }
    }
}

impl std::error::Error for Faults {}

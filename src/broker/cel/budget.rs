//! The bound on the work of evaluating expressions.

/// Most steps of all expressions of a request per event: some milliseconds. A step is one
/// evaluation of a node of an expression, or 16 bytes that are read or written.
pub const STEPS_MAX: u64 = 50_000;

/// Why an expression has no value for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// An attribute, a field or the payload is absent.
    Absent,
    /// The operation is not defined for the type of a value.
    Type,
    /// A number overflows, a text is not a time, or an index is out of range.
    Value,
    /// The steps exceed [`STEPS_MAX`].
    Work,
}

/// Steps left for an event.
#[derive(Debug)]
pub struct Budget(u64);

impl Budget {
    /// The budget of one event.
    pub fn new() -> Self {
        Self(STEPS_MAX)
    }

    /// Steps spent.
    pub fn spent(&self) -> u64 {
        STEPS_MAX - self.0
    }

    pub fn take(&mut self, steps: u64) -> Result<(), Failure> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Failure::Work)
            }
        }
    }

    pub fn take_bytes(&mut self, bytes: usize) -> Result<(), Failure> {
        self.take(bytes as u64 / 16)
    }
}

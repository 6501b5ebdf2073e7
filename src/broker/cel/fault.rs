//! Errors in the text of an expression.

use std::fmt;

/// An error in an expression, with its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line of the first wrong character, from 1.
    pub line: usize,
    /// Column of the first wrong character, from 1, in characters.
    pub column: usize,
    /// Whether the expression has more than one line.
    is_multiline: bool,
    /// The problem and its remedy.
    pub message: String,
}

impl Fault {
    /// A fault at a character, counted from 0.
    pub fn at(text: &str, at: usize, message: String) -> Self {
        let (mut line, mut column) = (1, 1);
        for c in text.chars().take(at) {
            match c {
                '\n' => (line, column) = (line + 1, 1),
                _ => column += 1,
            }
        }
        Self { line, column, is_multiline: text.trim_end().contains('\n'), message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_multiline {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}: {}", self.column, self.message)
    }
}

//! Checks of payloads.

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use super::{
    Schema, build, cost, deep,
    limits::{DEPTH_ON_STACK_MAX, VIOLATIONS_MAX},
    text,
    wide::WideNumbers,
};
use crate::definition::Violation;

impl Schema {
    /// Checks a payload. `format` and content keywords are annotations and reject nothing.
    ///
    /// # Errors
    /// Returns all violations, by JSON pointer.
    pub fn validate_json(&self, json: &str) -> Result<(), Vec<Violation>> {
        let (value, wide) = read(json)?;
        match self.run_validator(&value, || self.violations(json, &value, wide)) {
            Some(None) => Ok(()),
            Some(Some(violations)) => Err(violations),
            None => Err(vec![no_thread()]),
        }
    }

    /// Runs a validator, which recurses into the schema and the payload: on the stack of the caller
    /// if that suffices. Returns `None` if no thread could be started.
    pub(super) fn run_validator<T: Send>(
        &self,
        value: &Value,
        check: impl FnOnce() -> T + Send,
    ) -> Option<T> {
        if cost::depth(value) * (self.model.longest_chain + 1) <= DEPTH_ON_STACK_MAX {
            return Some(check());
        }
        deep(check)
    }

    /// Checks a payload in its stored encoding, which is JSON text.
    ///
    /// # Errors
    /// Returns all violations, by JSON pointer.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        self.validate_json(utf8(bytes)?)
    }

    /// The violations of a payload. Returns `None` if there are none.
    fn violations(&self, json: &str, value: &Value, wide: bool) -> Option<Vec<Violation>> {
        self.with_validator(json, value, wide, |validator| self.violations_by(validator, value))
    }

    /// Calls a function with the validator for a value that was parsed from a text.
    pub(super) fn with_validator<T>(
        &self,
        json: &str,
        value: &Value,
        wide: bool,
        check: impl FnOnce(&Validator) -> T,
    ) -> T {
        if !wide {
            return check(&self.validator);
        }
        WideNumbers::of(json, value, &mut Vec::new()).scope(|| check(self.exact_validator()))
    }

    /// The validator that compares all digits of wide numbers.
    fn exact_validator(&self) -> &Validator {
        if self.source.is_wide() {
            return &self.validator;
        }
        let build_exact = || {
            deep(|| build(&self.source, true)).and_then(Result::ok).map(|(_, validator)| validator)
        };
        self.exact.get_or_init(build_exact).as_ref().unwrap_or(&self.validator)
    }

    fn violations_by(&self, validator: &Validator, value: &Value) -> Option<Vec<Violation>> {
        let violation = |path: &str, message: String| Violation { path: path.to_owned(), message };
        if validator.is_valid(value) {
            return None;
        }
        if !cost::is_affordable(&self.model, value) {
            let message =
                "not valid; listing the violations would exceed the work limit".to_owned();
            return Some(vec![violation("", message)]);
        }
        let errors = validator.iter_errors(value).take(VIOLATIONS_MAX);
        let violations = errors.map(|error| {
            let message: String = self.message(&error).chars().take(500).collect();
            violation(error.instance_path().as_str(), message)
        });
        Some(violations.collect())
    }

    /// The message of the library, with patterns as written in the schema.
    fn message(&self, error: &ValidationError<'_>) -> String {
        let message = error.to_string();
        let ValidationErrorKind::Pattern { pattern } = error.kind() else { return message };
        let mut patterns =
            self.model.nodes.iter().filter_map(|node| node.strings.as_ref()?.pattern.as_ref());
        match patterns.find(|written| written.engine == *pattern && written.text != *pattern) {
            Some(written) => message.replace(pattern.as_str(), &written.text),
            None => message,
        }
    }
}

pub(super) fn no_thread() -> Violation {
    let message =
        "the payload was not checked because no thread could be started; try again".to_owned();
    Violation { path: String::new(), message }
}

pub(super) fn read(json: &str) -> Result<(Value, bool), Vec<Violation>> {
    text::read_wide("", json)
        .map_err(|fault| vec![Violation { path: String::new(), message: fault.to_string() }])
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Vec<Violation>> {
    str::from_utf8(bytes).map_err(|error| {
        let message = format!("not UTF-8 after byte {}", error.valid_up_to());
        vec![Violation { path: String::new(), message }]
    })
}

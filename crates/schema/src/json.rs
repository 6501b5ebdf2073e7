//! Schemas in JSON Schema, drafts 4 to 2020-12.
//!
//! A [`Schema`] is compared by meaning: is every payload that is valid for the writer valid for the
//! reader? The result is a proof, a counterexample that the validators have confirmed, or neither.
//!
//! ```text
//! text -> source -> parse -> model              documents, their names, and nodes
//!                     └─> lower                 rewrites for the validator library
//!         compare -> subsumption -> solve       assertions and searches
//!            │           └─> constraints        facts and open choices of one instance
//!            └─> findings -> rules              messages and rule ids
//!
//! validate                                      payloads of this version
//! text -> tree -> convert                       payloads of other versions
//! members -> projection                         versions that differ by properties alone
//! ```
//!
//! Regular expressions may contain look-around, because real schemas do. They run on an engine with
//! a limit on backtracking ([`pattern`]). Automata decide whether one expression includes another;
//! without an automaton the verdict is UNPROVEN.

use std::{sync::OnceLock, thread};

use jsonschema::Validator;
use serde::de::IgnoredAny;
use serde_json::Value;

pub(crate) use self::projection::Projection;

use self::{
    limits::{FAULTS_MAX, STACK_BYTES},
    model::Model,
    resource::Resources,
    source::Source,
    validate::utf8,
};
use crate::{
    definition::{Definition, Fault, Import, InvalidSchema, Violation},
    finding::{Change, Comparison, Options},
};

mod canonical;
mod compare;
mod compatible_changes;
mod conjunct;
mod constraints;
mod convert;
mod cost;
mod ecma;
mod equivalence;
mod evaluate;
mod exact;
mod findings;
mod limits;
mod literal;
mod locate;
mod lower;
mod members;
mod model;
mod negation;
mod number;
mod numeric_assertions;
mod parse;
mod pattern;
mod projection;
mod resource;
mod rules;
mod shrink;
mod solve;
mod source;
mod subsumption;
pub(crate) mod text;
mod tree;
mod validate;
mod wide;

/// A schema with everything that it refers to.
#[derive(Debug)]
pub struct Schema {
    source: Source,
    model: Model,
    validator: Validator,
    /// The validator for payloads with wide numbers; built for the first such payload.
    exact: OnceLock<Option<Validator>>,
}

impl Schema {
    /// Parses a JSON Schema document. A `$ref` without its fragment is the name of an import or the
    /// path of a file; nothing is fetched.
    ///
    /// # Errors
    /// Returns all faults if the document is not a schema of its dialect, if a reference has no
    /// target, or if the schema exceeds a limit.
    pub fn parse(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        deep(|| {
            let source = Source::read(definition, imports)?;
            // A schema that violates its dialect fails in the build as well, but the faults of the
            // dialect are more precise.
            let precise_faults = |error: InvalidSchema| {
                let checks: [fn(&Source) -> Vec<Fault>; 2] =
                    [Source::check_dialects, Source::check_references];
                let faults =
                    checks.iter().map(|check| check(&source)).find(|faults| !faults.is_empty());
                faults.map_or(error, |faults| InvalidSchema { faults })
            };
            let (model, validator) = build(&source, source.is_wide()).map_err(precise_faults)?;
            // With wide numbers the validator was built from rewritten keywords, so the document
            // itself is checked as well.
            let faults =
                if source.is_wide() { source.check_dialects() } else { source.check_files() };
            if !faults.is_empty() {
                return Err(InvalidSchema { faults });
            }
            Ok(Self { source, model, validator, exact: OnceLock::new() })
        })
        .unwrap_or_else(|| {
            Err(InvalidSchema::new(
                "the schema was not parsed because no thread could be started; try again",
            ))
        })
    }

    /// Checks the rules for new registrations. Registered schemas may be older than these rules.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = self.source.check_references();
        faults.extend(self.source.check_enums());
        faults.extend(self.source.check_steps());
        for node in &self.model.nodes {
            let pattern = node.strings.as_ref().and_then(|strings| strings.pattern.as_deref());
            let pattern = pattern.map(|pattern| (pattern, "pattern".to_owned()));
            let patterns = node.objects.iter().flat_map(|objects| &objects.patterns);
            let names = patterns.map(|(pattern, _)| {
                let token = pattern.text.replace('~', "~0").replace('/', "~1");
                (&**pattern, format!("patternProperties/{token}"))
            });
            for (pattern, below) in pattern.into_iter().chain(names) {
                let Some(reason) = &pattern.fault else { continue };
                let (document, pointer) = self.model.location_pointer(node.location);
                let short: String = pattern.text.chars().take(100).collect();
                let message =
                    format!("{short:?} is not a regular expression of ECMA-262: {reason}");
                faults.push(self.source.fault(document, &format!("{pointer}/{below}"), message));
            }
        }
        faults.retain(|fault| self.source.is_own(&fault.location.file));
        faults.sort_by(|left, right| left.location.cmp(&right.location));
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// Compares this schema with a newer one.
    pub fn compare(&self, new: &Self, options: Options) -> Comparison {
        deep(|| compare::compare(self, new, options)).unwrap_or_else(|| Comparison {
            change: Change::Noticeable,
            findings: vec![findings::not_compared()],
        })
    }

    /// Checks a payload and writes it without white space. Names, strings and numbers stay as
    /// written, in their order.
    ///
    /// # Errors
    /// Returns all violations, by JSON pointer.
    pub fn encode(&self, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
        self.validate_json(json)?;
        Ok(text::compact(json).into_bytes())
    }

    /// Returns the stored text, which is JSON already.
    ///
    /// # Errors
    /// Returns a violation if the bytes are not JSON.
    pub fn to_json(&self, bytes: &[u8]) -> Result<String, Vec<Violation>> {
        let json = utf8(bytes)?;
        match serde_json::from_str::<IgnoredAny>(json) {
            Ok(_) => Ok(json.to_owned()),
            Err(error) => {
                let message = format!("not a JSON document: {error}");
                Err(vec![Violation { path: String::new(), message }])
            }
        }
    }

    /// The projection to a version that differs by properties alone. Returns `None` if the versions
    /// differ otherwise.
    pub(crate) fn projection(&self, reader: &Self) -> Option<Projection> {
        Projection::between(&self.source, &reader.source)
    }
}

/// Builds the model and the validator. `exact`: the validator compares all digits of wide numbers.
fn build(source: &Source, exact: bool) -> Result<(Model, Validator), InvalidSchema> {
    let resources = Resources::of(source).map_err(InvalidSchema::new)?;
    let (model, edits) = parse::build(source, &resources, exact)?;
    let mut documents = resources.documents;
    edits.apply(&model, &mut documents);
    let validator = source.validator(&documents).map_err(InvalidSchema::new)?;
    Ok((model, validator))
}

/// Parses a JSON text with numbers of any size. Numbers beyond a double become ±1e308.
pub fn rounded(text: &str) -> Option<Value> {
    serde_json::from_str(&wide::rounded(text).text).ok()
}

/// Runs a function in a thread with a large stack, since schemas nest. Returns `None` if no thread
/// could be started, or if the function panicked.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        thread.ok()?.join().ok()
    })
}

//! Schemas in JSON Schema, drafts 4 to 2020-12.
//!
//! A [`Schema`] is compared by meaning: is every payload that is valid for the one valid for the other? The answer is a
//! proof, a payload that shows the contrary and that the validators have confirmed, or that neither was found.
//!
//! ```text
//! text -> source -> graph -> model        reading: JSON, documents and their names, nodes
//!                     └> lower │          what the validator library has to be given in another way
//!          goal -> solve -> branch        comparing: questions, searches, facts
//!            └──> report                  telling
//!
//!     text -> tree -> adopt               payloads of other versions
//! ```
//!
//! Regular expressions may look around: real schemas do. They run on an engine whose steps back are counted
//! ([`pattern`]); automata decide whether one includes another, and where there is no automaton the answer is UNPROVEN.

use std::{sync::OnceLock, thread};

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde::de::IgnoredAny;
use serde_json::Value;

pub(crate) use self::short_way::ShortWay;

use self::{
    branch::Sides,
    drift::Drift,
    exact::Wide,
    goal::{Failure, Finder},
    model::Model,
    resource::Resources,
    shrink::Shrinker,
    source::Source,
    tree::Tree,
};
use crate::{
    counterexample::{PAYLOADS_BYTES_MAX, PayloadRoom},
    definition::{Definition, Fault, Import, InvalidSchema, Violation},
    finding::{Change, Comparison, ContentModel, Finding, Options, Severity},
};

mod adopt;
mod array;
mod branch;
mod chain;
mod counterpart;
mod drift;
mod ecma;
mod effort;
mod evaluate;
mod exact;
mod goal;
mod goal_object;
mod graph;
mod lower;
mod members;
mod model;
mod number;
mod object;
mod pattern;
mod report;
mod resource;
mod same;
mod scalar;
mod short_way;
mod shrink;
mod solve;
mod source;
pub(crate) mod text;
mod tree;

/// Steps that one direction of a comparison may take: about a quarter of a second.
const WORK_MAX: u64 = 150_000;
/// Room for recursion, which all is bounded, but not by what is left of a caller's stack.
const STACK_BYTES: usize = 64 << 20;
/// Steps into a payload times steps through the schema at each that the stack of a caller has room for.
const DEPTH_ON_STACK_MAX: usize = 500;
/// Faults that one answer lists.
const FAULTS_MAX: usize = 50;
/// Violations that one answer lists.
const VIOLATIONS_MAX: usize = 100;

/// A schema with everything it refers to.
#[derive(Debug)]
pub struct Schema {
    source: Source,
    model: Model,
    validator: Validator,
    /// For payloads with numbers that values do not hold as they are written; made for the first one.
    exact: OnceLock<Option<Validator>>,
}

impl Schema {
    /// Parses a JSON Schema document. A `$ref` without its fragment is the name of an import or the path of a file;
    /// nothing is fetched.
    ///
    /// # Errors
    /// Where it is not a schema of its dialect, refers to what is not supplied, or would take more work than is
    /// bounded.
    pub fn parse(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        deep(|| {
            let source = Source::read(definition, imports)?;
            // What is no schema of its dialect fails below as well; the dialect's rules say it better.
            let better = |error: InvalidSchema| {
                let checks: [fn(&Source) -> Vec<Fault>; 2] =
                    [Source::check_dialects, Source::check_references];
                let found = checks.iter().map(|it| it(&source)).find(|faults| !faults.is_empty());
                found.map_or(error, |faults| InvalidSchema { faults })
            };
            let (model, validator) = build(&source, source.is_wide()).map_err(better)?;
            // With all digits in it, the validator was given other keywords than the author wrote.
            let faults =
                if source.is_wide() { source.check_dialects() } else { source.check_files() };
            if !faults.is_empty() {
                return Err(InvalidSchema { faults });
            }
            Ok(Self { source, model, validator, exact: OnceLock::new() })
        })
        .unwrap_or_else(|| {
            Err(InvalidSchema::new("the schema could not be read for lack of threads"))
        })
    }

    /// What only a new registration has to meet: rules that are younger than schemas that were registered.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = self.source.check_references();
        faults.extend(self.source.check_enums());
        faults.extend(self.source.check_steps());
        for node in &self.model.nodes {
            let pattern = node.strings.as_ref().and_then(|it| it.pattern.as_deref());
            let pattern = pattern.map(|it| (it, "pattern".to_owned()));
            let names = node.objects.iter().flat_map(|it| &it.patterns).map(|(it, _)| {
                let token = it.text.replace('~', "~0").replace('/', "~1");
                (&**it, format!("patternProperties/{token}"))
            });
            for (pattern, below) in pattern.into_iter().chain(names) {
                let Some(why) = &pattern.fault else { continue };
                let (document, pointer) = self.model.spot_pointer(node.spot);
                let short: String = pattern.text.chars().take(100).collect();
                let message = format!("{short:?} is not a regular expression of ECMA-262: {why}");
                faults.push(self.source.fault(document, &format!("{pointer}/{below}"), message));
            }
        }
        faults.retain(|fault| self.source.is_own(&fault.place.file));
        faults.sort_by(|left, right| left.place.cmp(&right.place));
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// The document with its files in one spelling: no spaces, keys in order, equal numbers alike. Annotations are part
    /// of it, and so is the order of arrays.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for document in self.source.documents.iter().filter(|document| document.own) {
            if !document.name.is_empty() {
                out.push(b'\n');
                text::write_canonical(&Value::from(document.name.as_str()), &mut out);
                out.push(b':');
            }
            document.write_canonical(&mut out);
        }
        out
    }

    /// What changed from this schema to a newer one.
    pub fn compare(&self, new: &Self, options: Options) -> Comparison {
        deep(|| compare(self, new, options)).unwrap_or_else(|| Comparison {
            change: Change::Noticeable,
            findings: vec![report::not_compared()],
        })
    }

    /// Checks a payload. `format` and content keywords describe and do not refuse.
    ///
    /// # Errors
    /// Everything that is wrong with it, by JSON pointer.
    pub fn validate_json(&self, json: &str) -> Result<(), Vec<Violation>> {
        let (value, wide) = read(json)?;
        match self.checked(&value, || self.violations(json, &value, wide)) {
            Some(None) => Ok(()),
            Some(Some(violations)) => Err(violations),
            None => Err(vec![no_thread()]),
        }
    }

    /// Validators recurse with the schema and with the payload: on the stack of the caller where it has room.
    /// None: there was no other thread.
    fn checked<T: Send>(&self, value: &Value, check: impl FnOnce() -> T + Send) -> Option<T> {
        if effort::depth(value) * (self.model.chain + 1) <= DEPTH_ON_STACK_MAX {
            return Some(check());
        }
        deep(check)
    }

    /// Checks a payload and writes it without spaces. Names, strings and numbers stay as they were written, in their
    /// order.
    ///
    /// # Errors
    /// Everything that is wrong with it, by JSON pointer.
    pub fn encode(&self, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
        self.validate_json(json)?;
        Ok(text::compact(json).into_bytes())
    }

    /// The text itself.
    ///
    /// # Errors
    /// Where it is not JSON.
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

    /// A payload of another version, as one of this. None: it is one. What objects do not declare is taken out of them
    /// where they are closed, and declared defaults are filled in where a property is required.
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub fn adopt(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Vec<Violation>> {
        let json = utf8(bytes)?;
        let (value, wide) = read(json)?;
        let valid = || self.with_validator(json, &value, wide, |it| it.is_valid(&value));
        if self.checked(&value, valid) == Some(true) {
            return Ok(None);
        }
        let work = |depth_max: usize| {
            let refused = |message: String| Violation { path: String::new(), message };
            let tree = Tree::read(json).ok_or_else(|| refused("not a JSON document".to_owned()));
            let mut tree = tree?;
            adopt::adopt(&self.model, &self.source, &mut tree, depth_max).map_err(refused)?;
            let mut out = String::with_capacity(json.len());
            tree.write(&mut out);
            Ok(out)
        };
        // Defaults may nest deeper than the payload does; that is found out on the way.
        let depth = effort::depth(&value) + 2;
        let shallow = depth * (self.model.chain + 1) <= DEPTH_ON_STACK_MAX;
        let adopted = match shallow.then(|| work(depth)) {
            Some(Ok(adopted)) => Ok(adopted),
            _ => deep(|| work(text::DEPTH_MAX)).unwrap_or_else(|| Err(no_thread())),
        };
        let adopted = adopted.map_err(|violation| vec![violation])?;
        self.validate_json(&adopted)?;
        Ok(Some(adopted.into_bytes()))
    }

    /// The short way to a version that differs by properties alone. None: the two differ by more.
    pub(crate) fn short_way(&self, reader: &Self) -> Option<ShortWay> {
        ShortWay::between(&self.source, &reader.source)
    }

    /// Checks a payload as it is stored.
    ///
    /// # Errors
    /// Everything that is wrong with it, by JSON pointer.
    pub fn validate_binary(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        self.validate_json(utf8(bytes)?)
    }

    /// What is wrong with a payload. None: nothing.
    fn violations(&self, json: &str, value: &Value, wide: bool) -> Option<Vec<Violation>> {
        self.with_validator(json, value, wide, |validator| self.violations_by(validator, value))
    }

    /// Asks the validator of a value that was read from a text.
    fn with_validator<T>(
        &self,
        json: &str,
        value: &Value,
        wide: bool,
        ask: impl FnOnce(&Validator) -> T,
    ) -> T {
        if !wide {
            return ask(&self.validator);
        }
        Wide::of(json, value, &mut Vec::new()).during(|| ask(self.exact()))
    }

    /// The validator that knows all digits.
    fn exact(&self) -> &Validator {
        if self.source.is_wide() {
            return &self.validator;
        }
        let made = || deep(|| build(&self.source, true)).and_then(Result::ok).map(|(_, it)| it);
        self.exact.get_or_init(made).as_ref().unwrap_or(&self.validator)
    }

    fn violations_by(&self, validator: &Validator, value: &Value) -> Option<Vec<Violation>> {
        let violation = |path: &str, message: String| Violation { path: path.to_owned(), message };
        if validator.is_valid(value) {
            return None;
        }
        if !effort::is_small(&self.model, value) {
            let message = "not valid; to say where would take more work than is bounded".to_owned();
            return Some(vec![violation("", message)]);
        }
        let errors = validator.iter_errors(value).take(VIOLATIONS_MAX);
        let violations = errors.map(|error| {
            let message: String = self.message(&error).chars().take(500).collect();
            violation(error.instance_path().as_str(), message)
        });
        Some(violations.collect())
    }

    /// What the library says, of expressions as they were written.
    fn message(&self, error: &ValidationError<'_>) -> String {
        let said = error.to_string();
        let ValidationErrorKind::Pattern { pattern } = error.kind() else { return said };
        let mut patterns =
            self.model.nodes.iter().filter_map(|it| it.strings.as_ref()?.pattern.as_ref());
        match patterns.find(|it| it.engine == *pattern && it.text != *pattern) {
            Some(it) => said.replace(pattern.as_str(), &it.text),
            None => said,
        }
    }

    /// That everything is the same, referenced documents included.
    fn same_text(&self, other: &Self) -> bool {
        let documents = |schema: &Self| {
            let mut all = Vec::new();
            for document in &schema.source.documents {
                let mut text = Vec::new();
                document.write_canonical(&mut text);
                all.push((document.name.clone(), text));
            }
            all.sort();
            all
        };
        self.canonical() == other.canonical() && documents(self) == documents(other)
    }
}

/// The model, and the validator of the library; `exact`, with the checks of numbers that values do not hold.
fn build(source: &Source, exact: bool) -> Result<(Model, Validator), InvalidSchema> {
    let resources = Resources::of(source).map_err(InvalidSchema::new)?;
    let (model, edits) = graph::build(source, &resources, exact)?;
    let mut documents = resources.documents;
    edits.apply(&model, &mut documents);
    let validator = source.validator(&documents).map_err(InvalidSchema::new)?;
    Ok((model, validator))
}

/// A JSON text as a value, whatever numbers are in it: what a double has no room for is as large as it can be.
pub fn rounded(text: &str) -> Option<Value> {
    serde_json::from_str(&exact::rounded(text).text).ok()
}

/// Said where the machine has no room for another stack.
fn no_thread() -> Violation {
    let message = "the payload could not be looked at for lack of threads; try again".to_owned();
    Violation { path: String::new(), message }
}

fn read(json: &str) -> Result<(Value, bool), Vec<Violation>> {
    text::read_wide("", json)
        .map_err(|fault| vec![Violation { path: String::new(), message: fault.to_string() }])
}

fn utf8(bytes: &[u8]) -> Result<&str, Vec<Violation>> {
    str::from_utf8(bytes).map_err(|error| {
        let message = format!("not UTF-8 behind byte {}", error.valid_up_to());
        vec![Violation { path: String::new(), message }]
    })
}

/// Runs on a stack of its own, since schemas nest.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        thread.ok()?.join().ok()
    })
}

/// One direction: what of the reader's schema fails.
fn failures(writer: &Schema, reader: &Schema, strict: bool) -> Vec<Failure> {
    let validators = (&writer.validator, &reader.validator);
    let sides = Sides { writer: &writer.model, reader: &reader.model };
    Finder::new(sides, validators, strict, WORK_MAX).run()
}

/// The same, each with the smallest payload that is found.
fn shown_failures(writer: &Schema, reader: &Schema, strict: bool) -> Vec<Failure> {
    let mut failures = failures(writer, reader, strict);
    let validators = (&writer.validator, &reader.validator);
    let sides = Sides { writer: &writer.model, reader: &reader.model };
    let mut shrinker = Shrinker::new(sides, validators);
    failures.iter_mut().for_each(|failure| shrinker.shrink(failure));
    failures
}

fn compare(old: &Schema, new: &Schema, options: Options) -> Comparison {
    if old.same_text(new) {
        return Comparison { change: Change::None, findings: Vec::new() };
    }
    let strict = options.content_model == ContentModel::Strict;
    let mut findings: Vec<Finding> = Vec::new();
    for backward in [true, false] {
        let (writer, reader) = if backward { (old, new) } else { (new, old) };
        let failures = shown_failures(writer, reader, strict);
        let models = (&writer.model, &reader.model);
        let mut room = PayloadRoom(PAYLOADS_BYTES_MAX / 2);
        findings.extend(failures.iter().map(|failure| {
            let place = |path: &str| new.source.place_of(path);
            let mut finding = report::finding(failure, models, backward, place);
            room.take(&mut finding.counterexample);
            finding
        }));
    }
    let drift = Drift::between(old, new);
    let same = findings.is_empty()
        && (strict || !drift.declares)
        && [(old, new), (new, old)].iter().all(|(writer, reader)| {
            // Under LENIENT nothing was found; whether nothing at all changed is the stricter question.
            strict || failures(writer, reader, true).is_empty()
        });
    findings.extend(drift.findings);
    findings.sort_by_key(|finding| match finding.severity {
        Severity::Error if finding.proven => 0,
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Info => 3,
    });
    Comparison { change: if same { Change::Unnoticeable } else { Change::Noticeable }, findings }
}

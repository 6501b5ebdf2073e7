//! Regular expressions: matched as the validator does, and searched for strings that some match and others do not.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::OnceLock,
};

use jsonschema::{PatternOptions, Validator};
use regex_automata::{
    Input,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    util::syntax,
};
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Value, json};

use super::ecma::{self, Translated};

/// Steps back that one match may take. Only look-around and back-references take any.
const BACKTRACK_MAX: usize = 10_000;
/// Bytes of one compiled expression.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// What all expressions of a schema may weigh together: about as many states of an automaton.
pub(crate) const WEIGHT_MAX: usize = 200_000;
/// Bytes of transitions that a search for a string may make.
const SEARCH_BYTES_MAX: usize = 4 << 20;
/// States of all automata together that a search may see.
const SEARCH_STATES_MAX: usize = 4_000;
/// Longest bound on a length that a search keeps count of, in characters.
const SEARCH_LENGTH_MAX: u64 = 300;

/// One expression.
pub(crate) struct Pattern {
    pub text: String,
    /// The same for the engine.
    pub engine: String,
    /// The same for automata.
    regular: String,
    /// Why it is not one of ECMA-262. The engine reads it all the same: schemas that were registered stay readable.
    pub fault: Option<String>,
    matcher: Option<Validator>,
    automaton: OnceLock<Option<DFA>>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// How validators run expressions: linear time, and for the few that need to look around, a bounded number of steps.
pub(crate) fn options() -> PatternOptions<jsonschema::FancyRegex> {
    PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX).size_limit(COMPILED_BYTES_MAX)
}

/// About how many states an automaton for an expression has. None: not an expression without look-around.
pub(crate) fn weight(text: &str) -> Option<usize> {
    let text = ecma::translate(text).unwrap_or_else(|_| Translated::same(text)).automaton;
    let translated = jsonschema_regex::to_rust_regex(&text).ok()?;
    let hir = regex_syntax::ParserBuilder::new().nest_limit(100).build().parse(&translated).ok()?;
    Some(weight_of(&hir))
}

fn weight_of(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => class.ranges().len().saturating_mul(2),
        HirKind::Class(Class::Bytes(_)) => 2,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            weight_of(&repetition.sub).saturating_add(1).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => weight_of(&capture.sub).saturating_add(1),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(1_usize, |sum, part| sum.saturating_add(weight_of(part)))
        }
    }
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        let (Translated { engine, automaton }, fault) = match ecma::translate(text) {
            Ok(translated) => (translated, None),
            Err(fault) => (Translated::same(text), Some(fault)),
        };
        let matcher = jsonschema::options()
            .offline()
            .with_pattern_options(options())
            .build(&json!({ "pattern": engine }))
            .ok();
        let text = text.to_owned();
        Self { text, engine, regular: automaton, fault, matcher, automaton: OnceLock::new() }
    }

    /// One that matches exactly the texts given.
    pub(crate) fn literals<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<_> = texts.into_iter().map(regex_syntax::escape).collect();
        Self::raw(format!("^(?:{})$", texts.join("|")))
    }

    /// One in the syntax of the automata.
    fn raw(text: String) -> Self {
        let automaton = OnceLock::from(build(&text));
        let (engine, regular) = (text.clone(), text.clone());
        Self { text, engine, regular, fault: None, matcher: None, automaton }
    }

    /// Whether it is an expression that the validator can run at all.
    pub(crate) fn is_valid(&self) -> bool {
        self.matcher.is_some()
    }

    /// Whether it matches anywhere in a text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.matcher.as_ref().is_some_and(|matcher| matcher.is_valid(&Value::from(text)))
    }

    fn automaton(&self) -> Option<&DFA> {
        let build = || build(&jsonschema_regex::to_rust_regex(&self.regular).ok()?);
        self.automaton.get_or_init(build).as_ref()
    }
}

fn build(text: &str) -> Option<DFA> {
    let config = DFA::config()
        .cache_capacity(SEARCH_BYTES_MAX)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(0))
        .match_kind(regex_automata::MatchKind::All);
    let nfa = regex_automata::nfa::thompson::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX));
    DFA::builder()
        .configure(config)
        .syntax(syntax::Config::new().nest_limit(100))
        .thompson(nfa)
        .build(text)
        .ok()
}

/// What a search for a string finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This one.
    Text(String),
    /// There is none.
    None,
    /// It gave up.
    Unknown,
}

/// One automaton on its way through a text.
struct Runner<'a> {
    dfa: &'a DFA,
    cache: Cache,
    wanted: bool,
}

/// Where a runner is. Matched, it stays so: a match anywhere is a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Matched,
    State(LazyStateID),
}

impl Runner<'_> {
    fn step(&mut self, at: At, byte: u8) -> Option<At> {
        let At::State(state) = at else { return Some(at) };
        let next = self.dfa.next_state(&mut self.cache, state, byte).ok()?;
        if next.is_quit() || self.cache.clear_count() > 0 {
            return None;
        }
        Some(if next.is_match() { At::Matched } else { At::State(next) })
    }

    fn ends_matched(&mut self, at: At) -> Option<bool> {
        let At::State(state) = at else { return Some(true) };
        let next = self.dfa.next_eoi_state(&mut self.cache, state).ok()?;
        if next.is_quit() || self.cache.clear_count() > 0 {
            return None;
        }
        Some(next.is_match())
    }

    /// That it can no longer match.
    fn is_lost(&self, at: At) -> bool {
        matches!(at, At::State(state) if state.is_dead())
    }
}

/// Searches for a short string of `min` to `max` characters that all `wanted` expressions match and none of the
/// `unwanted`. Breadth first, so what it finds is short; complete, so that finding nothing is a proof.
pub(crate) fn search(
    wanted: &[&Pattern],
    unwanted: &[&Pattern],
    min: u64,
    max: Option<u64>,
    work: &mut u64,
) -> Found {
    if max.is_some_and(|max| max < min) {
        return Found::None;
    }
    static ANY: OnceLock<Pattern> = OnceLock::new();
    // JSON strings are Unicode; this keeps the bytes of the other automata to it.
    let any = ANY.get_or_init(|| Pattern::raw("(?s)^.*$".to_owned()));
    let mut runners = Vec::new();
    let all = wanted.iter().map(|it| (*it, true)).chain(unwanted.iter().map(|it| (*it, false)));
    for (pattern, wanted) in all.chain([(any, true)]) {
        let Some(dfa) = pattern.automaton() else { return Found::Unknown };
        runners.push(Runner { dfa, cache: dfa.create_cache(), wanted });
    }
    // Beyond these bounds lengths are not counted: what is found without them may still fit.
    let cap = max.map_or(min, |max| max.saturating_add(1));
    let counted = cap <= SEARCH_LENGTH_MAX;
    let cap = if counted { cap } else { 0 };
    let found = explore(&mut runners, min, max, cap, counted, work);
    match found {
        Found::Text(text) if !counted => {
            let length = text.chars().count() as u64;
            let fits = length >= min && max.is_none_or(|max| length <= max);
            if fits { Found::Text(text) } else { Found::Unknown }
        }
        found => found,
    }
}

fn explore(
    runners: &mut [Runner<'_>],
    min: u64,
    max: Option<u64>,
    cap: u64,
    counted: bool,
    work: &mut u64,
) -> Found {
    let mut start = Vec::new();
    for runner in runners.iter_mut() {
        match runner.dfa.start_state_forward(&mut runner.cache, &Input::new("")) {
            Ok(state) if state.is_match() => start.push(At::Matched),
            Ok(state) => start.push(At::State(state)),
            Err(_) => return Found::Unknown,
        }
    }
    let bytes = representatives(runners);
    let mut seen: HashMap<(Vec<At>, u64), usize> = HashMap::new();
    let mut path: Vec<(usize, u8)> = vec![(usize::MAX, 0)];
    let mut queue = VecDeque::from([(start.clone(), 0_u64, 0_usize)]);
    seen.insert((start, 0), 0);
    while let Some((state, length, index)) = queue.pop_front() {
        let fits = !counted || (length >= min && max.is_none_or(|max| length <= max));
        let mut accepted = fits;
        for (runner, at) in runners.iter_mut().zip(&state) {
            match runner.ends_matched(*at) {
                None => return Found::Unknown,
                Some(matched) => accepted &= matched == runner.wanted,
            }
        }
        if accepted {
            return text_of(&path, index).map_or(Found::Unknown, Found::Text);
        }
        for byte in &bytes {
            // Characters are counted by the bytes that begin them.
            let begins = counted && (byte & 0xC0) != 0x80;
            let length = (length + u64::from(begins)).min(cap.max(1));
            if counted && max.is_some_and(|max| length > max) {
                continue;
            }
            let mut next = Vec::with_capacity(state.len());
            for (runner, at) in runners.iter_mut().zip(&state) {
                match runner.step(*at, *byte) {
                    None => return Found::Unknown,
                    Some(at) if runner.wanted && runner.is_lost(at) => break,
                    Some(At::Matched) if !runner.wanted => break,
                    Some(at) => next.push(at),
                }
            }
            let key = (next, if counted { length } else { 0 });
            if key.0.len() < state.len() || seen.contains_key(&key) {
                continue;
            }
            if seen.len() >= SEARCH_STATES_MAX || *work == 0 {
                return Found::Unknown;
            }
            *work = work.saturating_sub(1);
            path.push((index, *byte));
            seen.insert(key.clone(), path.len() - 1);
            queue.push_back((key.0, length, path.len() - 1));
        }
    }
    Found::None
}

/// A byte of each class that the automata together tell apart, readable ones first.
fn representatives(runners: &[Runner<'_>]) -> Vec<u8> {
    let mut classes: HashMap<Vec<u8>, u8> = HashMap::new();
    let mut bytes = Vec::new();
    let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'A'..=b'Z').chain(b' '..=b'~');
    for byte in readable.chain(0..=255_u8) {
        let mut class: Vec<_> = runners.iter().map(|it| it.dfa.byte_classes().get(byte)).collect();
        // A byte that begins a character counts, one that goes on does not.
        class.push(u8::from(byte & 0xC0 == 0x80));
        if classes.insert(class, byte).is_none() {
            bytes.push(byte);
        }
    }
    bytes
}

fn text_of(path: &[(usize, u8)], mut index: usize) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some((parent, byte)) = path.get(index) {
        if *parent == usize::MAX {
            break;
        }
        bytes.push(*byte);
        index = *parent;
    }
    bytes.reverse();
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(wanted: &[&str], unwanted: &[&str], min: u64, max: Option<u64>) -> Found {
        let wanted: Vec<_> = wanted.iter().map(|it| Pattern::new(it)).collect();
        let unwanted: Vec<_> = unwanted.iter().map(|it| Pattern::new(it)).collect();
        let wanted: Vec<_> = wanted.iter().collect();
        let unwanted: Vec<_> = unwanted.iter().collect();
        search(&wanted, &unwanted, min, max, &mut 100_000)
    }

    #[test]
    fn inclusion_of_expressions_is_decided() {
        assert_eq!(find(&["^[a-z]{1,5}$"], &["^[a-z]{1,10}$"], 0, None), Found::None);
        assert_eq!(
            find(&["^[a-z]{1,5}$"], &["^[a-z]{1,4}$"], 0, None),
            Found::Text("aaaaa".to_owned())
        );
        assert_eq!(find(&["^a"], &["a"], 0, None), Found::None);
        assert!(matches!(find(&["a"], &["^a"], 0, None), Found::Text(_)));
        assert_eq!(find(&["^a+$"], &[], 3, Some(3)), Found::Text("aaa".to_owned()));
        assert_eq!(find(&["^(ab)*$"], &[], 3, Some(3)), Found::None);
        assert_eq!(find(&["^.$"], &["^[\\s\\S]$"], 0, None), Found::None);
        assert_eq!(find(&["(?=a)"], &[], 0, None), Found::Unknown);
        assert!(matches!(find(&["^é+$"], &[], 2, Some(2)), Found::Text(text) if text == "éé"));
        assert_eq!(find(&["^\\d+$"], &["^[0-9]+$"], 0, None), Found::None);
    }

    #[test]
    fn weights_bound_what_compiles() {
        assert!(weight("((((a{1,100}){1,100}){1,100}){1,100})").expect("parses") > WEIGHT_MAX);
        assert!(weight("^[a-z]{1,64}$").expect("parses") < 1000);
        assert_eq!(weight("(?=a)b"), None);
    }
}

//! Regular expressions: matched as by the validator, and searched for strings that match some
//! patterns and not others.

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

/// Backtracking steps of one match. Only look-around and back-references backtrack.
const BACKTRACK_MAX: usize = 10_000;
/// Bytes of one compiled expression.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// Total weight of the patterns of a schema, in approximate states of an automaton.
pub(crate) const WEIGHT_MAX: usize = 200_000;
/// Bytes of transitions in one search for a string.
const SEARCH_BYTES_MAX: usize = 4 << 20;
/// Combined states in one search.
const SEARCH_STATES_MAX: usize = 4_000;
/// Largest length bound that a search counts, in characters.
const SEARCH_LENGTH_MAX: u64 = 300;

/// A regular expression.
pub(crate) struct Pattern {
    pub text: String,
    /// The expression in the syntax of the validator's engine.
    pub engine: String,
    /// The expression in the syntax of the automata.
    regular: String,
    /// Reason why the expression is not valid in ECMA-262. The engine still runs it, so that
    /// registered schemas stay readable.
    pub fault: Option<String>,
    matcher: Option<Validator>,
    automaton: OnceLock<Option<DFA>>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// Engine options of the validators: linear time, and a limit on backtracking for the few
/// expressions with look-around.
pub(crate) fn options() -> PatternOptions<jsonschema::FancyRegex> {
    PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX).size_limit(COMPILED_BYTES_MAX)
}

/// Approximate number of states of an automaton for an expression. Returns `None` for look-around
/// and invalid syntax.
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
        HirKind::Concat(subexpressions) | HirKind::Alternation(subexpressions) => subexpressions
            .iter()
            .fold(1_usize, |sum, subexpression| sum.saturating_add(weight_of(subexpression))),
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

    /// A pattern that matches exactly the given texts.
    pub(crate) fn literals<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<_> = texts.into_iter().map(regex_syntax::escape).collect();
        Self::raw(format!("^(?:{})$", texts.join("|")))
    }

    /// A pattern in the syntax of the automata.
    fn raw(text: String) -> Self {
        let automaton = OnceLock::from(build(&text));
        let (engine, regular) = (text.clone(), text.clone());
        Self { text, engine, regular, fault: None, matcher: None, automaton }
    }

    /// Whether the validator can run the expression.
    pub(crate) fn is_valid(&self) -> bool {
        self.matcher.is_some()
    }

    /// Whether the expression matches anywhere in a text.
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

/// Result of a search for a string.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SearchResult {
    /// A string that meets all conditions.
    Text(String),
    /// Proof that no such string exists.
    None,
    /// The search exceeded a limit.
    Unknown,
}

/// Execution of one automaton on a text.
struct Runner<'a> {
    dfa: &'a DFA,
    cache: Cache,
    wanted: bool,
}

/// State of a runner. A match anywhere counts, so `Matched` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RunnerState {
    Matched,
    State(LazyStateID),
}

impl Runner<'_> {
    fn step(&mut self, at: RunnerState, byte: u8) -> Option<RunnerState> {
        let RunnerState::State(state) = at else { return Some(at) };
        let next = self.dfa.next_state(&mut self.cache, state, byte).ok()?;
        if next.is_quit() || self.cache.clear_count() > 0 {
            return None;
        }
        Some(if next.is_match() { RunnerState::Matched } else { RunnerState::State(next) })
    }

    fn ends_matched(&mut self, at: RunnerState) -> Option<bool> {
        let RunnerState::State(state) = at else { return Some(true) };
        let next = self.dfa.next_eoi_state(&mut self.cache, state).ok()?;
        if next.is_quit() || self.cache.clear_count() > 0 {
            return None;
        }
        Some(next.is_match())
    }

    /// Whether it can no longer match.
    fn is_lost(&self, at: RunnerState) -> bool {
        matches!(at, RunnerState::State(state) if state.is_dead())
    }
}

/// Searches for a string of `min` to `max` characters that all `wanted` patterns match and no
/// `unwanted` pattern matches. The search is breadth first, so the result is short, and complete,
/// so that `None` is a proof.
pub(crate) fn search(
    wanted: &[&Pattern],
    unwanted: &[&Pattern],
    min: u64,
    max: Option<u64>,
    work: &mut u64,
) -> SearchResult {
    if max.is_some_and(|max| max < min) {
        return SearchResult::None;
    }
    static ANY: OnceLock<Pattern> = OnceLock::new();
    // JSON strings are Unicode; this restricts the bytes of the other automata to UTF-8.
    let any = ANY.get_or_init(|| Pattern::raw("(?s)^.*$".to_owned()));
    let mut runners = Vec::new();
    let all = wanted
        .iter()
        .map(|pattern| (*pattern, true))
        .chain(unwanted.iter().map(|pattern| (*pattern, false)));
    for (pattern, wanted) in all.chain([(any, true)]) {
        let Some(dfa) = pattern.automaton() else { return SearchResult::Unknown };
        runners.push(Runner { dfa, cache: dfa.create_cache(), wanted });
    }
    // Lengths beyond the limit are not counted: a string that is found without them may still fit.
    let cap = max.map_or(min, |max| max.saturating_add(1));
    let counted = cap <= SEARCH_LENGTH_MAX;
    let cap = if counted { cap } else { 0 };
    let result = explore(&mut runners, min, max, cap, counted, work);
    match result {
        SearchResult::Text(text) if !counted => {
            let length = text.chars().count() as u64;
            let fits = length >= min && max.is_none_or(|max| length <= max);
            if fits { SearchResult::Text(text) } else { SearchResult::Unknown }
        }
        result => result,
    }
}

fn explore(
    runners: &mut [Runner<'_>],
    min: u64,
    max: Option<u64>,
    cap: u64,
    counted: bool,
    work: &mut u64,
) -> SearchResult {
    let mut start = Vec::new();
    for runner in runners.iter_mut() {
        match runner.dfa.start_state_forward(&mut runner.cache, &Input::new("")) {
            Ok(state) if state.is_match() => start.push(RunnerState::Matched),
            Ok(state) => start.push(RunnerState::State(state)),
            Err(_) => return SearchResult::Unknown,
        }
    }
    let bytes = representatives(runners);
    let mut seen: HashMap<(Vec<RunnerState>, u64), usize> = HashMap::new();
    let mut path: Vec<(usize, u8)> = vec![(usize::MAX, 0)];
    let mut queue = VecDeque::from([(start.clone(), 0_u64, 0_usize)]);
    seen.insert((start, 0), 0);
    while let Some((state, length, index)) = queue.pop_front() {
        let fits = !counted || (length >= min && max.is_none_or(|max| length <= max));
        let mut accepted = fits;
        for (runner, at) in runners.iter_mut().zip(&state) {
            match runner.ends_matched(*at) {
                None => return SearchResult::Unknown,
                Some(matched) => accepted &= matched == runner.wanted,
            }
        }
        if accepted {
            return text_of(&path, index).map_or(SearchResult::Unknown, SearchResult::Text);
        }
        for byte in &bytes {
            // Characters are counted by their first byte.
            let begins = counted && (byte & 0xC0) != 0x80;
            let length = (length + u64::from(begins)).min(cap.max(1));
            if counted && max.is_some_and(|max| length > max) {
                continue;
            }
            let mut next = Vec::with_capacity(state.len());
            for (runner, at) in runners.iter_mut().zip(&state) {
                match runner.step(*at, *byte) {
                    None => return SearchResult::Unknown,
                    Some(at) if runner.wanted && runner.is_lost(at) => break,
                    Some(RunnerState::Matched) if !runner.wanted => break,
                    Some(at) => next.push(at),
                }
            }
            let key = (next, if counted { length } else { 0 });
            if key.0.len() < state.len() || seen.contains_key(&key) {
                continue;
            }
            if seen.len() >= SEARCH_STATES_MAX || *work == 0 {
                return SearchResult::Unknown;
            }
            *work = work.saturating_sub(1);
            path.push((index, *byte));
            seen.insert(key.clone(), path.len() - 1);
            queue.push_back((key.0, length, path.len() - 1));
        }
    }
    SearchResult::None
}

/// One byte of each class that the automata distinguish, readable ones first.
fn representatives(runners: &[Runner<'_>]) -> Vec<u8> {
    let mut classes: HashMap<Vec<u8>, u8> = HashMap::new();
    let mut bytes = Vec::new();
    let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'A'..=b'Z').chain(b' '..=b'~');
    for byte in readable.chain(0..=255_u8) {
        let mut class: Vec<_> =
            runners.iter().map(|runner| runner.dfa.byte_classes().get(byte)).collect();
        // Only the first byte of a character counts.
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

    fn find(wanted: &[&str], unwanted: &[&str], min: u64, max: Option<u64>) -> SearchResult {
        let wanted: Vec<_> = wanted.iter().map(|text| Pattern::new(text)).collect();
        let unwanted: Vec<_> = unwanted.iter().map(|text| Pattern::new(text)).collect();
        let wanted: Vec<_> = wanted.iter().collect();
        let unwanted: Vec<_> = unwanted.iter().collect();
        search(&wanted, &unwanted, min, max, &mut 100_000)
    }

    #[test]
    fn inclusion_of_expressions_is_decided() {
        assert_eq!(find(&["^[a-z]{1,5}$"], &["^[a-z]{1,10}$"], 0, None), SearchResult::None);
        assert_eq!(
            find(&["^[a-z]{1,5}$"], &["^[a-z]{1,4}$"], 0, None),
            SearchResult::Text("aaaaa".to_owned())
        );
        assert_eq!(find(&["^a"], &["a"], 0, None), SearchResult::None);
        assert!(matches!(find(&["a"], &["^a"], 0, None), SearchResult::Text(_)));
        assert_eq!(find(&["^a+$"], &[], 3, Some(3)), SearchResult::Text("aaa".to_owned()));
        assert_eq!(find(&["^(ab)*$"], &[], 3, Some(3)), SearchResult::None);
        assert_eq!(find(&["^.$"], &["^[\\s\\S]$"], 0, None), SearchResult::None);
        assert_eq!(find(&["(?=a)"], &[], 0, None), SearchResult::Unknown);
        assert!(
            matches!(find(&["^é+$"], &[], 2, Some(2)), SearchResult::Text(text) if text == "éé")
        );
        assert_eq!(find(&["^\\d+$"], &["^[0-9]+$"], 0, None), SearchResult::None);
    }

    #[test]
    fn weights_bound_compilation() {
        assert!(weight("((((a{1,100}){1,100}){1,100}){1,100})").expect("parses") > WEIGHT_MAX);
        assert!(weight("^[a-z]{1,64}$").expect("parses") < 1000);
        assert_eq!(weight("(?=a)b"), None);
    }
}

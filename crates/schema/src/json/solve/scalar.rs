//! Search for numbers and strings.

use std::sync::Arc;

use serde_json::Value;

use super::{Outcome, Solver};
use crate::json::{
    constraints::Constraints,
    number::Decimal,
    pattern::{self, Pattern, SearchResult},
};

/// Candidates of a lattice that are tried around the one nearest to zero.
const CANDIDATES_MAX: i128 = 400;
/// Characters that pad a sample.
const PADDING_MAX: u64 = 1_500;
/// Strings that a search excludes.
const EXCLUDED_MAX: usize = 300;

impl Solver<'_> {
    /// Searches for an integer, or (`fraction`) for a number that is not an integer.
    pub(super) fn solve_number(&mut self, constraints: &Constraints, fraction: bool) -> Outcome {
        if let (Some(lower), Some(upper)) = (constraints.lower, constraints.upper)
            && (lower.at > upper.at || lower.at == upper.at && (lower.exclusive || upper.exclusive))
        {
            return Outcome::None;
        }
        let mut multiples = constraints.multiples.clone();
        let mut not_multiples = constraints.not_multiples.clone();
        if fraction {
            not_multiples.push(Decimal::ONE);
        } else {
            multiples.push(Decimal::ONE);
        }
        let bounds = constraints.lower.iter().chain(&constraints.upper).map(|bound| bound.at);
        let exponents =
            bounds.chain(multiples.iter().copied()).chain(not_multiples.iter().copied());
        let unit = exponents.map(Decimal::exponent).min().unwrap_or(0).min(0);
        // Without `multipleOf` the unit is refined, so that there is a candidate between any two
        // bounds.
        let exact = !multiples.is_empty();
        let unit = if exact { unit } else { unit.saturating_sub(1) };
        let scale = |decimals: &[Decimal]| -> Option<Vec<i128>> {
            decimals.iter().map(|decimal| decimal.scaled(unit)).collect()
        };
        let lattice = || {
            let lower =
                constraints.lower.map(|bound| Some((bound.at.scaled(unit)?, bound.exclusive)));
            let upper =
                constraints.upper.map(|bound| Some((bound.at.scaled(unit)?, bound.exclusive)));
            let step = scale(&multiples)?.into_iter().try_fold(1_i128, least_common_multiple)?;
            let unwanted = scale(&not_multiples)?;
            let lower = match lower {
                Some(bound) => Some(bound?),
                None => None,
            };
            let upper = match upper {
                Some(bound) => Some(bound?),
                None => None,
            };
            Some((lower, upper, step, unwanted))
        };
        let Some((lower, upper, step, unwanted)) = lattice() else {
            return self.try_bounds(constraints, &multiples, &not_multiples);
        };
        if unwanted.iter().any(|unwanted| *unwanted != 0 && step % unwanted == 0) && exact {
            return Outcome::None;
        }
        let first = lower.map(|(at, exclusive)| {
            let first = at.div_euclid(step) * step;
            if first < at || exclusive && first == at { first + step } else { first }
        });
        let last = upper.map(|(at, exclusive)| {
            let last = at.div_euclid(step) * step;
            if exclusive && last == at { last - step } else { last }
        });
        if let (Some(first), Some(last)) = (first, last)
            && first > last
        {
            return if exact { Outcome::None } else { Outcome::Unknown };
        }
        let inside =
            |at: i128| first.is_none_or(|first| at >= first) && last.is_none_or(|last| at <= last);
        if let (Some(lower), Some(upper)) = (constraints.lower, constraints.upper)
            && lower.at == upper.at
        {
            // The bounds allow one number only.
            let free =
                |value: &Value| !constraints.not_values.iter().any(|values| values.contains(value));
            let fits = multiples.iter().all(|step| lower.at.is_multiple_of(*step))
                && !not_multiples.iter().any(|step| lower.at.is_multiple_of(*step));
            return match lower.at.to_value() {
                Some(value) if fits && free(&value) => Outcome::Instance(value),
                Some(_) => Outcome::None,
                None => Outcome::Unknown,
            };
        }
        // Candidates from the one nearest to zero outwards.
        let start = match (first, last) {
            (Some(first), _) if first > 0 => first,
            (_, Some(last)) if last < 0 => last,
            _ => 0,
        };
        for offset in 0..CANDIDATES_MAX {
            for at in [start + offset * step, start - offset * step] {
                if !inside(at) || unwanted.iter().any(|divisor| *divisor != 0 && at % divisor == 0)
                {
                    continue;
                }
                if let Some(value) = Decimal::new(at, unit).to_value()
                    && !constraints.not_values.iter().any(|values| values.contains(&value))
                {
                    return Outcome::Instance(value);
                }
            }
        }
        // All candidates of a short lattice were tried.
        let exhausted = exact
            && first.zip(last).is_some_and(|(first, last)| {
                (last - first) / step < CANDIDATES_MAX
                    && first.abs() < (1 << 53)
                    && last.abs() < (1 << 53)
                    && unit == 0
            });
        if exhausted { Outcome::None } else { Outcome::Unknown }
    }

    /// Tries the bounds themselves: the numbers do not fit fixed-width arithmetic.
    fn try_bounds(
        &mut self,
        constraints: &Constraints,
        multiples: &[Decimal],
        unwanted: &[Decimal],
    ) -> Outcome {
        let ends = [constraints.lower, constraints.upper]
            .map(|bound| bound.map_or(Decimal::ZERO, |bound| bound.at));
        let steps = multiples.iter().copied();
        for at in ends.into_iter().chain(steps).chain([Decimal::ONE, Decimal::new(5, -1)]) {
            let fits = constraints
                .lower
                .is_none_or(|bound| at > bound.at || !bound.exclusive && at == bound.at)
                && constraints
                    .upper
                    .is_none_or(|bound| at < bound.at || !bound.exclusive && at == bound.at)
                && multiples.iter().all(|step| at.is_multiple_of(*step))
                && !unwanted.iter().any(|step| at.is_multiple_of(*step));
            if let Some(value) = at.to_value()
                && fits
                && !constraints.not_values.iter().any(|values| values.contains(&value))
            {
                return Outcome::Instance(value);
            }
        }
        Outcome::Unknown
    }

    /// Searches for a string.
    pub(super) fn solve_string(&mut self, constraints: &Constraints) -> Outcome {
        let (min, max) = (constraints.min_length, constraints.max_length);
        if max.is_some_and(|max| max < min) {
            return Outcome::None;
        }
        let mut excluded: Vec<&str> = Vec::new();
        for values in &constraints.not_values {
            excluded.extend(values.list.iter().filter_map(Value::as_str));
        }
        excluded.sort_unstable();
        excluded.dedup();
        if constraints.patterns.is_empty() && constraints.not_patterns.is_empty() {
            return shortest_string(min, max, &excluded, self.limits.text);
        }
        let texts = |patterns: &[Arc<Pattern>]| {
            let mut texts: Vec<_> = patterns.iter().map(|pattern| pattern.text.clone()).collect();
            texts.sort();
            texts.dedup();
            texts
        };
        let key = format!(
            "{:?}{:?}{min}-{max:?}{excluded:?}",
            texts(&constraints.patterns),
            texts(&constraints.not_patterns)
        );
        if let Some(known) = self.strings.get(&key) {
            return known.clone();
        }
        let outcome = self.solve_patterns(constraints, &excluded);
        self.strings.insert(key, outcome.clone());
        outcome
    }

    fn solve_patterns(&mut self, constraints: &Constraints, excluded: &[&str]) -> Outcome {
        let (min, max) = (constraints.min_length, constraints.max_length);
        let wanted: Vec<_> = constraints.patterns.iter().map(AsRef::as_ref).collect();
        let mut unwanted: Vec<_> = constraints.not_patterns.iter().map(AsRef::as_ref).collect();
        let literals;
        if !excluded.is_empty() && excluded.len() <= EXCLUDED_MAX {
            literals = Pattern::literals(excluded.iter().copied());
            unwanted.push(&literals);
        }
        let before = self.work;
        let mut work = (before / 4).min(20_000);
        let granted = work;
        let result = pattern::search(&wanted, &unwanted, min, max, &mut work);
        self.work = before.saturating_sub(granted - work).saturating_sub(20);
        let fits = |text: &str| {
            let length = text.chars().count() as u64;
            length >= min
                && max.is_none_or(|max| length <= max)
                && constraints.patterns.iter().all(|pattern| pattern.matches(text))
                && !constraints.not_patterns.iter().any(|pattern| pattern.matches(text))
                && excluded.binary_search(&text).is_err()
        };
        match result {
            SearchResult::None => return Outcome::None,
            SearchResult::Text(text) if fits(&text) => return Outcome::Instance(Value::from(text)),
            SearchResult::Text(_) | SearchResult::Unknown => {}
        }
        // Where automata do not apply, samples may match.
        let letters = (b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9').map(char::from);
        let mut samples: Vec<String> = letters.map(String::from).collect();
        let words = ["", "aA1!aA1!aA1!", " ", "-", "ab", "ba", "00", "a0", "_", "é"];
        samples.extend(words.map(str::to_owned));
        let words = constraints
            .patterns
            .iter()
            .filter_map(|pattern| jsonschema_regex::pattern_witness(&pattern.engine));
        let padded = samples.iter().map(|sample| {
            let times = usize::try_from(min.min(PADDING_MAX)).unwrap_or(0);
            format!("{sample}{}", "a".repeat(times))
        });
        let candidates = words.chain(samples.iter().cloned()).chain(padded);
        for text in candidates {
            if fits(&text) {
                return Outcome::Instance(Value::from(text));
            }
        }
        Outcome::Unknown
    }
}

/// The shortest string without patterns: only the length is constrained.
fn shortest_string(min: u64, max: Option<u64>, excluded: &[&str], chars_max: u64) -> Outcome {
    if max == Some(0) {
        let is_excluded = excluded.binary_search(&"").is_ok();
        return if is_excluded { Outcome::None } else { Outcome::Instance(Value::from("")) };
    }
    if min > chars_max {
        return Outcome::Large;
    }
    let min_length = usize::try_from(min).unwrap_or(0);
    // One candidate more than there are exclusions.
    for number in 0..=excluded.len() + 1 {
        let mut letters = String::new();
        let mut rest = number;
        while rest > 0 {
            rest -= 1;
            letters.insert(0, char::from(b'a' + u8::try_from(rest % 26).unwrap_or(0)));
            rest /= 26;
        }
        let missing = min_length.saturating_sub(letters.len());
        let text = format!("{}{letters}", "a".repeat(missing));
        let fits = max.is_none_or(|max| text.len() as u64 <= max);
        if fits && excluded.binary_search(&text.as_str()).is_err() {
            return Outcome::Instance(Value::from(text));
        }
    }
    Outcome::Unknown
}

fn least_common_multiple(left: i128, right: i128) -> Option<i128> {
    if right <= 0 {
        return None;
    }
    let (mut a, mut b) = (left, right);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let multiple = (left / a).checked_mul(right)?;
    (multiple < i128::MAX / 10_000).then_some(multiple)
}

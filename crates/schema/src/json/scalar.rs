//! Numbers and strings with given facts.

use serde_json::Value;

use super::{
    branch::Branch,
    number::Decimal,
    pattern::{self, Found, Pattern},
    solve::{Outcome, Solver},
};

/// Candidates of a lattice that are looked at around the one nearest to zero.
const CANDIDATES_MAX: i128 = 400;
/// Characters by which a sample is lengthened.
const PADDING_MAX: u64 = 1_500;
/// Texts that a search keeps away from.
const EXCLUDED_MAX: usize = 300;

impl Solver<'_> {
    /// An integer, or a number that is none.
    pub(super) fn number(&mut self, branch: &Branch, fraction: bool) -> Outcome {
        if let (Some(lower), Some(upper)) = (branch.lower, branch.upper)
            && (lower.at > upper.at || lower.at == upper.at && (lower.exclusive || upper.exclusive))
        {
            return Outcome::None;
        }
        let mut multiples = branch.multiples.clone();
        let mut not_multiples = branch.not_multiples.clone();
        if fraction {
            not_multiples.push(Decimal::ONE);
        } else {
            multiples.push(Decimal::ONE);
        }
        let bounds = branch.lower.iter().chain(&branch.upper).map(|bound| bound.at);
        let exponents =
            bounds.chain(multiples.iter().copied()).chain(not_multiples.iter().copied());
        let unit = exponents.map(Decimal::exponent).min().unwrap_or(0).min(0);
        // Without a lattice there is always room between two marks of the ruler.
        let exact = !multiples.is_empty();
        let unit = if exact { unit } else { unit.saturating_sub(1) };
        let scale = |decimals: &[Decimal]| -> Option<Vec<i128>> {
            decimals.iter().map(|it| it.scaled(unit)).collect()
        };
        let lattice = || {
            let lower = branch.lower.map(|it| Some((it.at.scaled(unit)?, it.exclusive)));
            let upper = branch.upper.map(|it| Some((it.at.scaled(unit)?, it.exclusive)));
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
            return self.guess(branch, &multiples, &not_multiples);
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
        if let (Some(lower), Some(upper)) = (branch.lower, branch.upper)
            && lower.at == upper.at
        {
            // One number is all there is.
            let free = |value: &Value| !branch.not_values.iter().any(|it| it.contains(value));
            let fits = multiples.iter().all(|step| lower.at.is_multiple_of(*step))
                && !not_multiples.iter().any(|step| lower.at.is_multiple_of(*step));
            return match lower.at.to_value() {
                Some(value) if fits && free(&value) => Outcome::Instance(value),
                Some(_) => Outcome::None,
                None => Outcome::Unknown,
            };
        }
        // Nearest to zero, then outwards.
        let start = match (first, last) {
            (Some(first), _) if first > 0 => first,
            (_, Some(last)) if last < 0 => last,
            _ => 0,
        };
        for offset in 0..CANDIDATES_MAX {
            for at in [start + offset * step, start - offset * step] {
                if !inside(at) || unwanted.iter().any(|it| *it != 0 && at % it == 0) {
                    continue;
                }
                if let Some(value) = Decimal::new(at, unit).to_value()
                    && !branch.not_values.iter().any(|values| values.contains(&value))
                {
                    return Outcome::Instance(value);
                }
            }
        }
        // All of a short lattice was seen.
        let all = exact
            && first.zip(last).is_some_and(|(first, last)| {
                (last - first) / step < CANDIDATES_MAX
                    && first.abs() < (1 << 53)
                    && last.abs() < (1 << 53)
                    && unit == 0
            });
        if all { Outcome::None } else { Outcome::Unknown }
    }

    /// Numbers beyond what arithmetic has room for: the bounds themselves.
    fn guess(&mut self, branch: &Branch, multiples: &[Decimal], unwanted: &[Decimal]) -> Outcome {
        let ends = [branch.lower, branch.upper].map(|it| it.map_or(Decimal::ZERO, |it| it.at));
        let others = multiples.iter().copied();
        for at in ends.into_iter().chain(others).chain([Decimal::ONE, Decimal::new(5, -1)]) {
            let fits = branch.lower.is_none_or(|it| at > it.at || !it.exclusive && at == it.at)
                && branch.upper.is_none_or(|it| at < it.at || !it.exclusive && at == it.at)
                && multiples.iter().all(|step| at.is_multiple_of(*step))
                && !unwanted.iter().any(|step| at.is_multiple_of(*step));
            if let Some(value) = at.to_value()
                && fits
                && !branch.not_values.iter().any(|values| values.contains(&value))
            {
                return Outcome::Instance(value);
            }
        }
        Outcome::Unknown
    }

    /// A string.
    pub(super) fn string(&mut self, branch: &Branch) -> Outcome {
        let (min, max) = (branch.min_length, branch.max_length);
        if max.is_some_and(|max| max < min) {
            return Outcome::None;
        }
        let mut excluded: Vec<&str> = Vec::new();
        for values in &branch.not_values {
            excluded.extend(values.list.iter().filter_map(Value::as_str));
        }
        excluded.sort_unstable();
        excluded.dedup();
        if branch.patterns.is_empty() && branch.not_patterns.is_empty() {
            return plain(min, max, &excluded, self.limits.text);
        }
        let texts = |patterns: &[std::sync::Arc<Pattern>]| {
            let mut texts: Vec<_> = patterns.iter().map(|it| it.text.clone()).collect();
            texts.sort();
            texts.dedup();
            texts
        };
        let key = format!(
            "{:?}{:?}{min}-{max:?}{excluded:?}",
            texts(&branch.patterns),
            texts(&branch.not_patterns)
        );
        if let Some(known) = self.strings.get(&key) {
            return known.clone();
        }
        let outcome = self.matching(branch, &excluded);
        self.strings.insert(key, outcome.clone());
        outcome
    }

    fn matching(&mut self, branch: &Branch, excluded: &[&str]) -> Outcome {
        let (min, max) = (branch.min_length, branch.max_length);
        let wanted: Vec<_> = branch.patterns.iter().map(AsRef::as_ref).collect();
        let mut unwanted: Vec<_> = branch.not_patterns.iter().map(AsRef::as_ref).collect();
        let literals;
        if !excluded.is_empty() && excluded.len() <= EXCLUDED_MAX {
            literals = Pattern::literals(excluded.iter().copied());
            unwanted.push(&literals);
        }
        let before = self.work;
        let mut work = (before / 4).min(20_000);
        let granted = work;
        let found = pattern::search(&wanted, &unwanted, min, max, &mut work);
        self.work = before.saturating_sub(granted - work).saturating_sub(20);
        let fits = |text: &str| {
            let length = text.chars().count() as u64;
            length >= min
                && max.is_none_or(|max| length <= max)
                && branch.patterns.iter().all(|it| it.matches(text))
                && !branch.not_patterns.iter().any(|it| it.matches(text))
                && excluded.binary_search(&text).is_err()
        };
        match found {
            Found::None => return Outcome::None,
            Found::Text(text) if fits(&text) => return Outcome::Instance(Value::from(text)),
            Found::Text(_) | Found::Unknown => {}
        }
        // What automata cannot do, luck may.
        let letters = (b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9').map(char::from);
        let mut samples: Vec<String> = letters.map(String::from).collect();
        let words = ["", "aA1!aA1!aA1!", " ", "-", "ab", "ba", "00", "a0", "_", "é"];
        samples.extend(words.map(str::to_owned));
        let words =
            branch.patterns.iter().filter_map(|it| jsonschema_regex::pattern_witness(&it.engine));
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

/// A string without expressions: only its length counts.
fn plain(min: u64, max: Option<u64>, excluded: &[&str], chars_max: u64) -> Outcome {
    if max == Some(0) {
        let taken = excluded.binary_search(&"").is_ok();
        return if taken { Outcome::None } else { Outcome::Instance(Value::from("")) };
    }
    if min > chars_max {
        return Outcome::Large;
    }
    let min_length = usize::try_from(min).unwrap_or(0);
    // One more than there are to avoid.
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

//! Translation of regular expressions of ECMA-262 with the flag `u`, as JSON Schema uses them, into
//! the syntax of the engine.
//!
//! The engine reads most expressions alike. The others are translated, and anything that is not
//! ECMA-262 is rejected. Unnecessary escapes of punctuation (`\-`) and single `]` and `}` are
//! accepted: they are errors with the flag `u`, and have the same meaning everywhere without it.

use std::{fmt::Write as _, iter::Peekable, str::CharIndices};

use self::characters::{
    CATEGORIES, CHAR_MAX, DIGITS, LINE_ENDS, PROPERTIES, Ranges, SPACES, WORDS, complement,
    is_surrogate,
};

mod characters;

/// Nested groups.
const DEPTH_MAX: usize = 100;
/// Back-references.
const REFERENCES_MAX: usize = 100;
/// A word boundary of ECMA-262 is one of ASCII. The engine only has Unicode boundaries, so the
/// translation uses look-around; automata lack look-around and have both boundaries. Each row:
/// placeholder, engine, automaton.
const WORD_BOUNDARIES: [[&str; 3]; 2] = [
    [
        "\0b\0",
        "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))",
        "(?-u:\\b)",
    ],
    [
        "\0B\0",
        "(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))",
        "(?-u:\\B)",
    ],
];

/// A translated expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Translated {
    /// Unchanged if the engine reads it alike.
    pub engine: String,
    pub automaton: String,
}

impl Translated {
    pub(crate) fn same(pattern: &str) -> Self {
        Self { engine: pattern.to_owned(), automaton: pattern.to_owned() }
    }
}

/// Translates an expression.
///
/// # Errors
/// Returns the first violation of ECMA-262.
pub(crate) fn translate(pattern: &str) -> Result<Translated, String> {
    let mut translator = Translator {
        pattern,
        chars: pattern.char_indices().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        differs: false,
        looks: false,
        groups: 0,
        names: Vec::new(),
        references: Vec::new(),
        multiline: false,
        dotall: false,
    };
    translator.alternatives(0)?;
    if let Some((_, unmatched)) = translator.chars.peek() {
        return Err(format!("unmatched {unmatched:?}"));
    }
    let Translator { mut out, differs, looks, groups, names, references, .. } = translator;
    for reference in references {
        let (placeholder, number) = match reference {
            (placeholder, BackReference::Number(number)) => (placeholder, number),
            (placeholder, BackReference::Name(name)) => {
                let group = names.iter().find(|(group, _)| *group == name);
                let Some((_, number)) = group else {
                    return Err(format!("\\k<{name}> refers to a missing group"));
                };
                (placeholder, *number)
            }
        };
        if number > groups {
            return Err(format!("\\{number} refers to a missing group"));
        }
        // A group that did not participate matches the empty string.
        out = out.replace(&placeholder, &format!("(?({number})\\{number})"));
    }
    if !differs {
        return Ok(Translated::same(pattern));
    }
    // The first character makes the library skip its own translation.
    let mut engine = if looks { "(?=)" } else { "" }.to_owned();
    engine.push_str(&out);
    let mut automaton = out;
    for [placeholder, look_around, boundary] in WORD_BOUNDARIES {
        engine = engine.replace(placeholder, look_around);
        automaton = automaton.replace(placeholder, boundary);
    }
    Ok(Translated { engine, automaton })
}

enum BackReference {
    Number(u32),
    Name(String),
}

struct Translator<'p> {
    pattern: &'p str,
    chars: Peekable<CharIndices<'p>>,
    out: String,
    /// The engine reads the expression differently.
    differs: bool,
    /// The translation has look-around or back-references.
    looks: bool,
    groups: u32,
    names: Vec<(String, u32)>,
    /// Back-references by their placeholder. The groups are known only at the end.
    references: Vec<(String, BackReference)>,
    multiline: bool,
    dotall: bool,
}

/// Whether the term may be repeated.
type Repeatable = bool;

impl Translator<'_> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, next)| *next)
    }

    fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, next)| next)
    }

    fn pass(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, next)| *next == wanted).is_some()
    }

    /// Skips a text if it is next.
    fn pass_all(&mut self, wanted: &str) -> bool {
        let at = self.chars.peek().map_or(self.pattern.len(), |(at, _)| *at);
        let matches = self.pattern.get(at..).is_some_and(|rest| rest.starts_with(wanted));
        if matches {
            wanted.chars().for_each(|_| {
                self.chars.next();
            });
        }
        matches
    }

    /// Reads to the end, or to the parenthesis that closes the group.
    fn alternatives(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("groups nest deeper than {DEPTH_MAX} levels"));
        }
        while let Some(next) = self.peek() {
            match next {
                ')' => return Ok(()),
                '|' => {
                    self.next();
                    self.out.push('|');
                }
                _ => {
                    let repeats = self.term(depth)?;
                    self.quantifier(repeats)?;
                }
            }
        }
        Ok(())
    }

    fn term(&mut self, depth: usize) -> Result<Repeatable, String> {
        let Some(next) = self.next() else { return Ok(false) };
        match next {
            '^' | '$' => {
                if self.multiline {
                    self.differs = true;
                    self.looks = true;
                    let look = if next == '^' { "(?<!" } else { "(?!" };
                    self.out.push_str(look);
                    self.class(true, &LINE_ENDS, "");
                    self.out.push(')');
                } else {
                    self.out.push(next);
                }
                return Ok(false);
            }
            '(' => return self.group(depth),
            '[' => self.brackets()?,
            '.' => {
                self.differs = true;
                let ends: &[_] = if self.dotall { &[] } else { &LINE_ENDS };
                self.class(true, ends, "");
            }
            '\\' => return self.escape(),
            '*' | '+' | '?' | '{' => {
                return Err(format!("{next:?} has nothing to repeat"));
            }
            literal => self.literal(literal),
        }
        Ok(true)
    }

    fn quantifier(&mut self, repeats: bool) -> Result<(), String> {
        let Some(next) = self.peek() else { return Ok(()) };
        match next {
            '*' | '+' | '?' => {
                self.next();
                self.out.push(next);
            }
            '{' => {
                self.next();
                let mut bounds = String::new();
                while let Some(next) = self.next() {
                    if next == '}' {
                        break;
                    }
                    bounds.push(next);
                }
                let is_number =
                    |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let well = match bounds.split_once(',') {
                    None => is_number(&bounds),
                    Some((min, max)) => {
                        let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
                        is_number(min)
                            && (max.is_empty() || is_number(max) && number(min) <= number(max))
                    }
                };
                if !well {
                    let bounds: String = bounds.chars().take(20).collect();
                    return Err(format!(
                        "{{{bounds}}} is not a repetition; write \\{{ for a brace"
                    ));
                }
                let _ = write!(self.out, "{{{bounds}}}");
            }
            _ => return Ok(()),
        }
        if !repeats {
            return Err(format!("{next:?} repeats an assertion"));
        }
        if self.pass('?') {
            self.out.push('?');
        }
        match self.peek() {
            Some(next @ ('*' | '+' | '?' | '{')) => Err(format!("{next:?} repeats a repetition")),
            _ => Ok(()),
        }
    }

    fn group(&mut self, depth: usize) -> Result<Repeatable, String> {
        let (multiline, dotall) = (self.multiline, self.dotall);
        let mut repeats = true;
        if !self.pass('?') {
            self.groups += 1;
            self.out.push('(');
        } else if self.pass(':') {
            self.out.push_str("(?:");
        } else if let Some(look) =
            ["=", "!", "<=", "<!"].into_iter().find(|look| self.pass_all(look))
        {
            self.differs = true;
            self.looks = true;
            repeats = false;
            let _ = write!(self.out, "(?{look}");
        } else if self.pass('<') {
            let name = self.name()?;
            if self.names.iter().any(|(group, _)| *group == name) {
                return Err(format!("two groups have the name {name:?}"));
            }
            self.differs = true;
            self.groups += 1;
            self.names.push((name, self.groups));
            self.out.push('(');
        } else {
            self.modifiers()?;
        }
        self.alternatives(depth + 1)?;
        if !self.pass(')') {
            return Err("a group is not closed".to_owned());
        }
        self.out.push(')');
        (self.multiline, self.dotall) = (multiline, dotall);
        Ok(repeats)
    }

    /// Reads flags such as `(?i:` and `(?s-m:`. `(?` was read.
    fn modifiers(&mut self) -> Result<(), String> {
        let (mut all, mut on, mut ignores) = (String::new(), true, String::new());
        loop {
            match self.next() {
                Some(':') => break,
                Some('-') if on => on = false,
                Some(flag @ ('i' | 'm' | 's')) if !all.contains(flag) => {
                    all.push(flag);
                    match flag {
                        'm' => self.multiline = on,
                        's' => self.dotall = on,
                        _ => ignores = if on { "i" } else { "-i" }.to_owned(),
                    }
                }
                _ => {
                    return Err("\"(?\" begins an unknown group; flags end with a \
                                colon, and names are written (?<name>"
                        .to_owned());
                }
            }
        }
        if all.is_empty() {
            return Err("\"(?-:\" changes no flag".to_owned());
        }
        self.differs = true;
        let _ = write!(self.out, "(?{ignores}:");
        Ok(())
    }

    /// Reads the name of a group, up to the closing bracket.
    fn name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some('>') if !name.is_empty() => return Ok(name),
                Some(next) if next == '$' || next == '_' || next.is_alphabetic() => name.push(next),
                Some(next) if !name.is_empty() && next.is_alphanumeric() => name.push(next),
                _ => return Err("the name of a group is invalid".to_owned()),
            }
        }
    }

    /// Reads an escape outside of brackets.
    fn escape(&mut self) -> Result<Repeatable, String> {
        let Some(next) = self.peek() else {
            return Err("the expression ends with a \\".to_owned());
        };
        match next {
            'b' | 'B' => {
                self.next();
                self.differs = true;
                self.looks = true;
                let _ = write!(self.out, "\0{next}\0");
                return Ok(false);
            }
            '1'..='9' => {
                let mut number = 0_u32;
                while let Some(digit) = self.peek().and_then(|next| next.to_digit(10)) {
                    self.next();
                    number = number.saturating_mul(10).saturating_add(digit);
                }
                self.refer(BackReference::Number(number))?;
            }
            'k' => {
                self.next();
                if !self.pass('<') {
                    return Err("\\k lacks a name; write \\k<name>".to_owned());
                }
                let name = self.name()?;
                self.refer(BackReference::Name(name))?;
            }
            _ => match self.class_escape()? {
                Some((set, property)) => {
                    // The library translates these itself, unless the expression is translated
                    // here.
                    self.class(false, &set, &property);
                }
                None => {
                    let code = self.character()?;
                    match char::from_u32(code) {
                        Some(char) => self.literal_escaped(char),
                        None => self.class(false, &[], ""),
                    }
                }
            },
        }
        Ok(true)
    }

    fn refer(&mut self, to: BackReference) -> Result<(), String> {
        if self.references.len() >= REFERENCES_MAX {
            return Err(format!("more than {REFERENCES_MAX} back-references"));
        }
        self.differs = true;
        self.looks = true;
        // NUL is always written as an escape, so the placeholder is unique.
        let placeholder = format!("\0{}\0", self.references.len());
        self.out.push_str(&placeholder);
        self.references.push((placeholder, to));
        Ok(())
    }

    /// Reads a character class escape such as `\d`: ranges, or a property.
    fn class_escape(&mut self) -> Result<Option<(Ranges, String)>, String> {
        let Some(next) = self.peek() else { return Ok(None) };
        let set: &[(u32, u32)] = match next {
            'd' | 'D' => &DIGITS,
            'w' | 'W' => &WORDS,
            's' | 'S' => &SPACES,
            'p' | 'P' => {
                self.next();
                return Ok(Some((Vec::new(), self.property(next)?)));
            }
            _ => return Ok(None),
        };
        self.next();
        let set = if next.is_ascii_uppercase() { complement(set) } else { set.to_vec() };
        Ok(Some((set, String::new())))
    }

    /// Reads `\p{…}`.
    fn property(&mut self, letter: char) -> Result<String, String> {
        let mut name = String::new();
        let mut closed = false;
        if self.pass('{') {
            while let Some(next) = self.next() {
                if next == '}' {
                    closed = true;
                    break;
                }
                name.push(next);
            }
        }
        let lists = |list: &str, name: &str| list.split(' ').any(|entry| entry == name);
        let known = match name.split_once('=') {
            None => lists(CATEGORIES, &name) || lists(PROPERTIES, &name),
            Some(("General_Category" | "gc", value)) => lists(CATEGORIES, value),
            // The engine knows the scripts, but ignores the case of their names.
            Some(("Script" | "sc" | "Script_Extensions" | "scx", value)) => {
                value.starts_with(|first: char| first.is_ascii_uppercase())
                    && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            }
            Some(_) => false,
        };
        if !closed || !known {
            let name: String = name.chars().take(40).collect();
            return Err(format!("\\{letter}{{{name}}} is not a property of Unicode in ECMA-262"));
        }
        Ok(format!("\\{letter}{{{name}}}"))
    }

    /// Reads an escape of one character; the backslash was read. One half of a surrogate pair is a
    /// code point of its own.
    fn character(&mut self) -> Result<u32, String> {
        let Some(next) = self.next() else {
            return Err("the expression ends with a \\".to_owned());
        };
        let code = match next {
            'f' => 0x0C,
            'n' => 0x0A,
            'r' => 0x0D,
            't' => 0x09,
            'v' => 0x0B,
            '0' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                self.differs = true;
                0
            }
            'c' => match self.next() {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    self.differs = true;
                    u32::from(letter) % 32
                }
                _ => return Err("\\c must be followed by a letter".to_owned()),
            },
            'x' => self.hex(2)?,
            'u' if self.pass('{') => {
                let mut code = 0_u32;
                let mut digits = 0;
                loop {
                    match self.next() {
                        Some('}') if digits > 0 => break,
                        Some(next) if next.is_ascii_hexdigit() && code <= CHAR_MAX => {
                            digits += 1;
                            code = code * 16 + next.to_digit(16).unwrap_or(0);
                        }
                        _ => return Err("\\u{…} must contain a hexadecimal number".to_owned()),
                    }
                }
                if code > CHAR_MAX {
                    return Err("\\u{…} is beyond 10FFFF".to_owned());
                }
                self.differs |= digits > 6 || is_surrogate(code);
                code
            }
            'u' => {
                let high = self.hex(4)?;
                self.differs |= is_surrogate(high);
                if (0xD800..0xDC00).contains(&high) {
                    let before = self.chars.clone();
                    if self.pass_all("\\u")
                        && let Ok(low @ 0xDC00..0xE000) = self.hex(4)
                    {
                        return Ok(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00));
                    }
                    self.chars = before;
                }
                high
            }
            // The engine has its own meaning for these.
            '<' | '>' => return Err(format!("\\{next} is not an escape of ECMA-262")),
            next if next.is_ascii() && !next.is_ascii_alphanumeric() => u32::from(next),
            next => return Err(format!("\\{next} is not an escape of ECMA-262")),
        };
        Ok(code)
    }

    fn hex(&mut self, digits: usize) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|next| next.to_digit(16)) else {
                return Err(format!("an escape needs {digits} hexadecimal digits"));
            };
            self.next();
            code = code * 16 + digit;
        }
        Ok(code)
    }

    /// Reads a set of characters; the bracket was read.
    fn brackets(&mut self) -> Result<(), String> {
        let negated = self.pass('^');
        let mut set: Vec<(u32, u32)> = Vec::new();
        let mut properties = String::new();
        // Contains characters with a special meaning in sets of the engine.
        let mut special = false;
        loop {
            let Some(next) = self.peek() else { return Err("a [ is not closed".to_owned()) };
            if self.pass(']') {
                break;
            }
            let first = set.is_empty() && properties.is_empty();
            special |= matches!(next, '[' | '&' | '~');
            let from = self.member(&mut set, &mut properties)?;
            special |= next == '-' && !first && self.peek() != Some(']');
            let before = self.chars.clone();
            if !self.pass('-') {
                set.extend(from.map(|from| (from, from)));
                continue;
            }
            if self.peek() == Some(']') {
                self.chars = before;
                set.extend(from.map(|from| (from, from)));
                continue;
            }
            special |= self.peek().is_some_and(|next| matches!(next, '[' | '&' | '~' | '-'));
            let to = self.member(&mut set, &mut properties)?;
            match (from, to) {
                (Some(from), Some(to)) if from <= to => set.push((from, to)),
                (Some(_), Some(_)) => return Err("a range in [] is out of order".to_owned()),
                _ => return Err("a range in [] begins or ends with a character class".to_owned()),
            }
        }
        self.differs |= special || set.is_empty() && properties.is_empty();
        self.class(negated, &set, &properties);
        Ok(())
    }

    /// Reads a member of a set: its code point, or `None` for a character class, which is added to
    /// the set.
    fn member(
        &mut self,
        set: &mut Vec<(u32, u32)>,
        properties: &mut String,
    ) -> Result<Option<u32>, String> {
        match self.next() {
            Some('\\') => {
                if self.pass('b') {
                    self.differs = true;
                    return Ok(Some(8));
                }
                match self.class_escape()? {
                    Some((ranges, property)) => {
                        set.extend(ranges);
                        properties.push_str(&property);
                        Ok(None)
                    }
                    None => self.character().map(Some),
                }
            }
            Some(next) => Ok(Some(u32::from(next))),
            None => Err("a [ is not closed".to_owned()),
        }
    }

    fn literal(&mut self, literal: char) {
        if literal.is_ascii() && !literal.is_ascii_alphanumeric() {
            self.literal_escaped(literal);
        } else {
            self.out.push(literal);
        }
    }

    fn literal_escaped(&mut self, literal: char) {
        let _ = write!(self.out, "\\x{{{:X}}}", u32::from(literal));
    }

    /// Writes a set without surrogates, which no text contains, and without nested sets.
    fn class(&mut self, negated: bool, set: &[(u32, u32)], properties: &str) {
        let mut ranges = String::new();
        for (from, to) in set {
            let from = if is_surrogate(*from) { 0xE000 } else { *from };
            let to = if is_surrogate(*to) { 0xD7FF } else { *to };
            if from < to {
                let _ = write!(ranges, "\\x{{{from:X}}}-\\x{{{to:X}}}");
            } else if from == to {
                let _ = write!(ranges, "\\x{{{from:X}}}");
            }
        }
        ranges.push_str(properties);
        match (ranges.is_empty(), negated) {
            (true, false) => self.out.push_str("[^\\x{0}-\\x{10FFFF}]"),
            (true, true) => self.out.push_str("[\\x{0}-\\x{10FFFF}]"),
            (false, false) => {
                let _ = write!(self.out, "[{ranges}]");
            }
            (false, true) => {
                let _ = write!(self.out, "[^{ranges}]");
            }
        }
    }
}

//! Regular expressions of ECMA-262 with the flag `u`, as JSON Schema has them, in the syntax of the engine.
//!
//! The engine reads most of them alike. What it reads otherwise is written in another way; what is no expression of
//! ECMA-262 is refused. Escapes of punctuation that need none (`\-`) and single `]` and `}` are let be: they are faults
//! with the flag `u`, and mean the same everywhere without.

use std::{fmt::Write as _, iter::Peekable, str::CharIndices};

/// Groups in groups.
const DEPTH_MAX: usize = 100;
/// Back-references.
const REFERENCES_MAX: usize = 100;
const CHAR_MAX: u32 = 0x10_FFFF;
/// `\s`: white space and line ends.
const SPACES: [(u32, u32); 10] = [
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
];
const DIGITS: [(u32, u32); 1] = [(0x30, 0x39)];
const WORDS: [(u32, u32); 4] = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)];
/// What `.` does not match.
const LINE_ENDS: [(u32, u32); 3] = [(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)];
/// Values of `General_Category`, which stand alone too.
const CATEGORIES: &str = "C Cc Cf Cn Co Cs L LC Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm \
     So Z Zl Zp Zs Cased_Letter Close_Punctuation Connector_Punctuation Control Currency_Symbol Dash_Punctuation \
     Decimal_Number Enclosing_Mark Final_Punctuation Format Initial_Punctuation Letter Letter_Number Line_Separator \
     Lowercase_Letter Mark Math_Symbol Modifier_Letter Modifier_Symbol Nonspacing_Mark Number Open_Punctuation Other \
     Other_Letter Other_Number Other_Punctuation Other_Symbol Paragraph_Separator Private_Use Punctuation Separator \
     Space_Separator Spacing_Mark Surrogate Symbol Titlecase_Letter Unassigned Uppercase_Letter cntrl digit punct \
     Combining_Mark";
/// Properties that a character has or has not.
const PROPERTIES: &str = "ASCII ASCII_Hex_Digit AHex Alphabetic Alpha Any Assigned Bidi_Control Bidi_C Bidi_Mirrored Bidi_M \
     Case_Ignorable CI Cased Changes_When_Casefolded CWCF Changes_When_Casemapped CWCM Changes_When_Lowercased CWL \
     Changes_When_NFKC_Casefolded CWKCF Changes_When_Titlecased CWT Changes_When_Uppercased CWU Dash \
     Default_Ignorable_Code_Point DI Deprecated Dep Diacritic Dia Emoji Emoji_Component EComp Emoji_Modifier EMod \
     Emoji_Modifier_Base EBase Emoji_Presentation EPres Extended_Pictographic ExtPict Extender Ext Grapheme_Base \
     Gr_Base Grapheme_Extend Gr_Ext Hex_Digit Hex IDS_Binary_Operator IDSB IDS_Trinary_Operator IDST ID_Continue IDC \
     ID_Start IDS Ideographic Ideo Join_Control Join_C Logical_Order_Exception LOE Lowercase Lower Math \
     Noncharacter_Code_Point NChar Pattern_Syntax Pat_Syn Pattern_White_Space Pat_WS Quotation_Mark QMark Radical \
     Regional_Indicator RI Sentence_Terminal STerm Soft_Dotted SD Terminal_Punctuation Term Unified_Ideograph UIdeo \
     Uppercase Upper Variation_Selector VS White_Space space XID_Continue XIDC XID_Start XIDS";

/// An end of a word is one of ASCII. The engine has those of Unicode only, and looks around instead; automata, which
/// cannot look around, have both.
const WORD_ENDS: [[&str; 3]; 2] = [
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

/// An expression, written in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Translated {
    /// As it is, where the engine reads it alike.
    pub engine: String,
    pub automaton: String,
}

impl Translated {
    pub(crate) fn same(pattern: &str) -> Self {
        Self { engine: pattern.to_owned(), automaton: pattern.to_owned() }
    }
}

/// Writes an expression for the engine.
///
/// # Errors
/// What of it is not ECMA-262.
pub(crate) fn translate(pattern: &str) -> Result<Translated, String> {
    let mut reader = Reader {
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
    reader.alternatives(0)?;
    if let Some((_, found)) = reader.chars.peek() {
        return Err(format!("{found:?} closes nothing"));
    }
    let Reader { mut out, differs, looks, groups, names, references, .. } = reader;
    for reference in references {
        let (place, number) = match reference {
            (place, Referred::Number(number)) => (place, number),
            (place, Referred::Name(name)) => {
                let found = names.iter().find(|(it, _)| *it == name);
                let Some((_, number)) = found else {
                    return Err(format!("\\k<{name}> is the name of no group"));
                };
                (place, *number)
            }
        };
        if number > groups {
            return Err(format!("\\{number} is the number of no group"));
        }
        // A group that took no part matches nothing, which always is there.
        out = out.replace(&place, &format!("(?({number})\\{number})"));
    }
    if !differs {
        return Ok(Translated::same(pattern));
    }
    // Tells the library at the first character that this is none of the expressions that it translates.
    let mut engine = if looks { "(?=)" } else { "" }.to_owned();
    engine.push_str(&out);
    let mut automaton = out;
    for [place, around, end] in WORD_ENDS {
        engine = engine.replace(place, around);
        automaton = automaton.replace(place, end);
    }
    Ok(Translated { engine, automaton })
}

enum Referred {
    Number(u32),
    Name(String),
}

struct Reader<'p> {
    pattern: &'p str,
    chars: Peekable<CharIndices<'p>>,
    out: String,
    /// Whether the engine reads it otherwise.
    differs: bool,
    /// Whether it looks around or back.
    looks: bool,
    groups: u32,
    names: Vec<(String, u32)>,
    /// Back-references by what stands in their place: which groups there are is known at the end.
    references: Vec<(String, Referred)>,
    multiline: bool,
    dotall: bool,
}

/// What was read, and whether it may be repeated.
type Term = bool;

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, it)| *it)
    }

    fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, it)| it)
    }

    fn pass(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, it)| *it == wanted).is_some()
    }

    /// Passes a text, if it is next.
    fn pass_all(&mut self, wanted: &str) -> bool {
        let at = self.chars.peek().map_or(self.pattern.len(), |(at, _)| *at);
        let found = self.pattern.get(at..).is_some_and(|rest| rest.starts_with(wanted));
        if found {
            wanted.chars().for_each(|_| {
                self.chars.next();
            });
        }
        found
    }

    /// To the end, or to the parenthesis that closes the group.
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

    fn term(&mut self, depth: usize) -> Result<Term, String> {
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
                return Err(format!("there is nothing that {next:?} could repeat"));
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
                let is_number = |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit());
                let well = match bounds.split_once(',') {
                    None => is_number(&bounds),
                    Some((min, max)) => {
                        let number = |it: &str| it.parse::<u64>().unwrap_or(u64::MAX);
                        is_number(min)
                            && (max.is_empty() || is_number(max) && number(min) <= number(max))
                    }
                };
                if !well {
                    let bounds: String = bounds.chars().take(20).collect();
                    return Err(format!(
                        "{{{bounds}}} is not a repetition; a brace is written \\{{"
                    ));
                }
                let _ = write!(self.out, "{{{bounds}}}");
            }
            _ => return Ok(()),
        }
        if !repeats {
            return Err(format!("{next:?} repeats what has no length"));
        }
        if self.pass('?') {
            self.out.push('?');
        }
        match self.peek() {
            Some(next @ ('*' | '+' | '?' | '{')) => Err(format!("{next:?} repeats a repetition")),
            _ => Ok(()),
        }
    }

    fn group(&mut self, depth: usize) -> Result<Term, String> {
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
            if self.names.iter().any(|(it, _)| *it == name) {
                return Err(format!("two groups are called {name:?}"));
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

    /// `(?i:`, `(?s-m:` and so on; `(?` was read.
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
                    return Err("\"(?\" begins a group that there is none of; flags end with a \
                                colon, names are written (?<name>"
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

    /// The name of a group, up to the bracket that closes it.
    fn name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some('>') if !name.is_empty() => return Ok(name),
                Some(next) if next == '$' || next == '_' || next.is_alphabetic() => name.push(next),
                Some(next) if !name.is_empty() && next.is_alphanumeric() => name.push(next),
                _ => return Err("the name of a group is not one".to_owned()),
            }
        }
    }

    /// Outside of brackets.
    fn escape(&mut self) -> Result<Term, String> {
        let Some(next) = self.peek() else { return Err("it ends with a \\".to_owned()) };
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
                while let Some(digit) = self.peek().and_then(|it| it.to_digit(10)) {
                    self.next();
                    number = number.saturating_mul(10).saturating_add(digit);
                }
                self.refer(Referred::Number(number))?;
            }
            'k' => {
                self.next();
                if !self.pass('<') {
                    return Err("\\k is written \\k<name>".to_owned());
                }
                let name = self.name()?;
                self.refer(Referred::Name(name))?;
            }
            _ => match self.class_escape()? {
                Some((set, property)) => {
                    // These the library translates, unless something else makes that impossible.
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

    fn refer(&mut self, to: Referred) -> Result<(), String> {
        if self.references.len() >= REFERENCES_MAX {
            return Err(format!("there are more than {REFERENCES_MAX} back-references"));
        }
        self.differs = true;
        self.looks = true;
        // No expression has a NUL that was not written as an escape by now.
        let place = format!("\0{}\0", self.references.len());
        self.out.push_str(&place);
        self.references.push((place, to));
        Ok(())
    }

    /// `\d` and its kin: ranges, or a property.
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

    /// `\p{…}`.
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
        let lists = |list: &str, name: &str| list.split(' ').any(|it| it == name);
        let known = match name.split_once('=') {
            None => lists(CATEGORIES, &name) || lists(PROPERTIES, &name),
            Some(("General_Category" | "gc", value)) => lists(CATEGORIES, value),
            // Which scripts there are the engine knows, but it takes them in any case.
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

    /// An escape of one character; the backslash was read. Half of a surrogate pair is a code of its own.
    fn character(&mut self) -> Result<u32, String> {
        let Some(next) = self.next() else { return Err("it ends with a \\".to_owned()) };
        let code = match next {
            'f' => 0x0C,
            'n' => 0x0A,
            'r' => 0x0D,
            't' => 0x09,
            'v' => 0x0B,
            '0' if !self.peek().is_some_and(|it| it.is_ascii_digit()) => {
                self.differs = true;
                0
            }
            'c' => match self.next() {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    self.differs = true;
                    u32::from(letter) % 32
                }
                _ => return Err("\\c is followed by a letter".to_owned()),
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
                        _ => return Err("\\u{…} holds no number in hexadecimal".to_owned()),
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
            // What the engine has a meaning of its own for is no escape of a character here.
            '<' | '>' => return Err(format!("\\{next} is not an escape of ECMA-262")),
            next if next.is_ascii() && !next.is_ascii_alphanumeric() => u32::from(next),
            next => return Err(format!("\\{next} is not an escape of ECMA-262")),
        };
        Ok(code)
    }

    fn hex(&mut self, digits: usize) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|it| it.to_digit(16)) else {
                return Err(format!("{digits} digits in hexadecimal are missing in an escape"));
            };
            self.next();
            code = code * 16 + digit;
        }
        Ok(code)
    }

    /// A set of characters; the bracket was read.
    fn brackets(&mut self) -> Result<(), String> {
        let negated = self.pass('^');
        let mut set: Vec<(u32, u32)> = Vec::new();
        let mut properties = String::new();
        // These have a meaning in sets of the engine.
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
                (Some(_), Some(_)) => return Err("a range in [] runs backwards".to_owned()),
                _ => return Err("a range in [] begins or ends with a set of its own".to_owned()),
            }
        }
        self.differs |= special || set.is_empty() && properties.is_empty();
        self.class(negated, &set, &properties);
        Ok(())
    }

    /// A member of a set: its code, or None where it is a set itself, which was added.
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

    /// Writes a set: without surrogates, which no text has, and without sets in it.
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

fn is_surrogate(code: u32) -> bool {
    (0xD800..0xE000).contains(&code)
}

/// First and last of ranges of characters.
type Ranges = Vec<(u32, u32)>;

/// Everything else. The ranges are in order.
fn complement(set: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut rest = Vec::new();
    let mut from = 0;
    for (first, last) in set {
        if *first > from {
            rest.push((from, first - 1));
        }
        from = last + 1;
    }
    rest.push((from, CHAR_MAX));
    rest
}

//! Payloads in the binary form, checked as they lie: nothing is built of them.

use std::borrow::Cow;

use crate::definition::Violation;

use super::{
    demands::Demands,
    pointer,
    scan::{DEPTH_MAX, Scan, Token, no_group, too_deep},
    types::{Cardinality, Field, Kind, Message, Types},
    wire::{Layout, Scalar},
};

/// Violations that one answer lists.
const VIOLATIONS_MAX: usize = 100;

/// Bytes that are read again to say where violations are. Beyond, positions in lists are left out.
const PLACES_BYTES_MAX: usize = 16 << 20;

/// Checks a payload. Fields that the schema does not have are fine.
///
/// # Errors
/// What is wrong with it: where it does not decode, the first thing that does not.
pub(super) fn validate(
    types: &Types,
    demands: &Demands,
    message: usize,
    bytes: &[u8],
) -> Result<(), Vec<Violation>> {
    let mut check = Check {
        types,
        demands,
        bytes,
        prefix: String::new(),
        depth: 0,
        open: Vec::new(),
        violations: Vec::new(),
        read_again: 0,
    };
    let mut scan = Scan::new(bytes);
    match check.message(message, &mut scan, bytes.len(), None) {
        Ok(()) if check.violations.is_empty() => Ok(()),
        Ok(()) => Err(check.violations),
        Err(_) if check.violations.len() >= VIOLATIONS_MAX => Err(check.violations),
        Err(message) => {
            check.say_at("", format!("at byte {}: {message}", scan.at()));
            Err(check.violations)
        }
    }
}

/// The text of the key of an entry of a map.
pub(super) fn key_text(entry: &Message, bytes: &[u8]) -> String {
    let kind = entry.fields.get(&1).map(|it| it.kind);
    let mut text = match kind {
        Some(Kind::Scalar(Scalar::String)) => String::new(),
        Some(Kind::Scalar(Scalar::Bool)) => "false".to_owned(),
        _ => "0".to_owned(),
    };
    let mut scan = Scan::new(bytes);
    while !scan.done() {
        let Ok((number, token)) = scan.field() else { break };
        if number == 1 {
            text = match (token, kind) {
                (Token::Delimited(bytes), _) => String::from_utf8_lossy(bytes).into_owned(),
                (Token::Varint(number), Some(Kind::Scalar(scalar))) => {
                    scalar.integer(number).to_string()
                }
                (Token::Fixed32(number), Some(Kind::Scalar(scalar))) => {
                    scalar.integer(u64::from(number)).to_string()
                }
                (Token::Fixed64(number), Some(Kind::Scalar(scalar))) => {
                    scalar.integer(number).to_string()
                }
                _ => text,
            };
            if kind == Some(Kind::Scalar(Scalar::Bool)) {
                text = if text == "0" { "false" } else { "true" }.to_owned();
            }
        }
    }
    text
}

struct Check<'c> {
    types: &'c Types,
    demands: &'c Demands,
    bytes: &'c [u8],
    /// Where the bytes stand in the payload.
    prefix: String,
    depth: usize,
    /// The fields that are being read, from the outside in.
    open: Vec<Open<'c>>,
    violations: Vec<Violation>,
    read_again: usize,
}

/// A field that holds a message.
struct Open<'c> {
    field: &'c Field,
    /// Where the message begins whose field it is.
    from: usize,
    /// Where its tag is.
    at: usize,
}

impl<'c> Check<'c> {
    fn say_at(&mut self, below: &str, message: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            let path = format!("{}{below}", self.pointer());
            self.violations.push(Violation { path, message });
        }
    }

    fn pointer(&mut self) -> String {
        let mut pointer = self.prefix.clone();
        let mut in_entry = false;
        for Open { field, from, at } in &self.open {
            // The value of an entry stands under the entry's key.
            if !in_entry {
                pointer.push('/');
                pointer.push_str(&pointer::escaped(&field.json_name));
            }
            in_entry = field.cardinality == Cardinality::Map;
            if field.cardinality.singular() {
                continue;
            }
            self.read_again += at - from;
            if self.read_again > PLACES_BYTES_MAX {
                continue;
            }
            let step = if in_entry {
                let mut scan = Scan::from(self.bytes, *at);
                match (scan.field(), field.kind.message().and_then(|it| self.types.message(it))) {
                    (Ok((_, Token::Delimited(bytes))), Some(entry)) => key_text(entry, bytes),
                    _ => continue,
                }
            } else {
                position(self.bytes, *from, *at, field.number).to_string()
            };
            pointer.push('/');
            pointer.push_str(&pointer::escaped(&step));
        }
        pointer
    }

    /// One message, up to a place or to the end of its group. The depth bounds the recursion.
    fn message(
        &mut self,
        index: usize,
        scan: &mut Scan<'c>,
        end: usize,
        group: Option<u32>,
    ) -> Result<(), String> {
        let Some(message) = self.types.message(index) else { return Ok(()) };
        let from = scan.at();
        let demand = self.demands.get(index);
        let mut missing: Cow<'_, [u32]> = Cow::Borrowed(&demand.required);
        // Singular messages with required fields: several of one are one, and each part may lack what another has.
        let mut parts: Vec<(u32, usize, &'c [u8])> = Vec::new();
        loop {
            if scan.at() >= end {
                if group.is_some() {
                    return Err("the payload ends within a group".to_owned());
                }
                break;
            }
            let at = scan.at();
            let (number, token) = scan.field()?;
            if token == Token::GroupEnd {
                if group == Some(number) {
                    break;
                }
                return Err(no_group(number));
            }
            // The extensions of a message set lie in groups of their own.
            let field = message.fields.get(&number).filter(|_| !message.message_set);
            let Some(field) = field else {
                if token == Token::GroupStart {
                    scan.group(number, self.depth)?;
                }
                continue;
            };
            if !missing.is_empty() && missing.contains(&number) {
                missing.to_mut().retain(|it| *it != number);
            }
            match (field.kind, token) {
                (Kind::Message(inner), Token::Delimited(bytes)) => {
                    if field.cardinality.singular() && self.demands.get(inner).deep {
                        parts.push((number, at, bytes));
                    } else {
                        let mut inside = Scan::from(self.bytes, scan.at() - bytes.len());
                        self.enter(field, from, at)?;
                        let done = self.message(inner, &mut inside, scan.at(), None);
                        self.leave(done, scan, &inside)?;
                    }
                }
                (Kind::Group(inner), Token::GroupStart) => {
                    if field.cardinality.singular() && self.demands.get(inner).deep {
                        parts.push((number, at, scan.group(number, self.depth)?));
                    } else {
                        self.enter(field, from, at)?;
                        self.message(inner, scan, end, Some(number))?;
                        self.open.pop();
                        self.depth -= 1;
                    }
                }
                (kind, token) => self.value(field, kind, token)?,
            }
        }
        self.parts(message, from, parts)?;
        for number in missing.iter() {
            if self.violations.len() >= VIOLATIONS_MAX {
                // Nobody reads more of them, and a hostile payload has millions.
                return Err(String::new());
            }
            if let Some(field) = message.fields.get(number) {
                self.say_at(
                    &format!("/{}", pointer::escaped(&field.json_name)),
                    format!("the required field {} is missing", field.full_name),
                );
            }
        }
        if message.map_entry {
            self.absent_value(message, from, scan.at())?;
        }
        Ok(())
    }

    fn enter(&mut self, field: &'c Field, from: usize, at: usize) -> Result<(), String> {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep());
        }
        self.depth += 1;
        self.open.push(Open { field, from, at });
        Ok(())
    }

    /// Where the inside is broken, the place of it is the place to tell.
    fn leave(
        &mut self,
        done: Result<(), String>,
        scan: &mut Scan<'c>,
        inside: &Scan<'c>,
    ) -> Result<(), String> {
        if done.is_err() {
            *scan = inside.clone();
            return done;
        }
        self.open.pop();
        self.depth -= 1;
        Ok(())
    }

    /// The singular messages of one message, those of one field taken together.
    fn parts(
        &mut self,
        message: &'c Message,
        from: usize,
        mut parts: Vec<(u32, usize, &'c [u8])>,
    ) -> Result<(), String> {
        parts.sort_by_key(|(number, _, _)| *number);
        for same in parts.chunk_by(|one, other| one.0 == other.0) {
            let Some((number, at, bytes)) = same.first() else { continue };
            let Some(field) = message.fields.get(number) else { continue };
            let Some(inner) = field.kind.message() else { continue };
            self.enter(field, from, *at)?;
            if same.len() == 1 {
                // The same bytes, where they lie.
                let start = bytes.as_ptr() as usize - self.bytes.as_ptr() as usize;
                let mut inside = Scan::from(self.bytes, start);
                self.message(inner, &mut inside, start + bytes.len(), None)?;
            } else {
                let whole: Vec<u8> =
                    same.iter().flat_map(|(_, _, bytes)| bytes.iter().copied()).collect();
                let mut apart = Check {
                    types: self.types,
                    demands: self.demands,
                    bytes: &whole,
                    prefix: self.pointer(),
                    depth: self.depth,
                    open: Vec::new(),
                    violations: Vec::new(),
                    read_again: self.read_again,
                };
                let done = apart.message(inner, &mut Scan::new(&whole), whole.len(), None);
                let found = std::mem::take(&mut apart.violations);
                let read_again = apart.read_again;
                done?;
                self.read_again = read_again;
                let room = VIOLATIONS_MAX.saturating_sub(self.violations.len());
                self.violations.extend(found.into_iter().take(room));
            }
            self.open.pop();
            self.depth -= 1;
        }
        Ok(())
    }

    /// An entry without a value has an empty one, which may lack what is required.
    fn absent_value(&mut self, entry: &Message, from: usize, to: usize) -> Result<(), String> {
        let Some(inner) = entry.fields.get(&2).and_then(|it| it.kind.message()) else {
            return Ok(());
        };
        if !self.demands.get(inner).deep {
            return Ok(());
        }
        let mut scan = Scan::from(self.bytes, from);
        while scan.at() < to {
            match scan.field()? {
                (2, _) => return Ok(()),
                (number, Token::GroupStart) => drop(scan.group(number, self.depth)?),
                _ => {}
            }
        }
        let missing = self.demands.get(inner).required.clone();
        for field in missing.iter().filter_map(|it| self.types.message(inner)?.fields.get(it)) {
            let below = format!("/{}", pointer::escaped(&field.json_name));
            self.say_at(&below, format!("the required field {} is missing", field.full_name));
        }
        Ok(())
    }

    /// A value that is no message.
    fn value(&mut self, field: &'c Field, kind: Kind, token: Token<'c>) -> Result<(), String> {
        match (kind, token) {
            (Kind::Scalar(Scalar::String), Token::Delimited(bytes)) => {
                if let Err(error) = str::from_utf8(bytes) {
                    self.say_at(
                        &format!("/{}", pointer::escaped(&field.json_name)),
                        format!("the string is not UTF-8 behind its byte {}", error.valid_up_to()),
                    );
                }
                Ok(())
            }
            (Kind::Scalar(Scalar::Bytes), Token::Delimited(_)) => Ok(()),
            (Kind::Enum(index), Token::Varint(number)) => {
                self.number(field, index, number);
                Ok(())
            }
            (Kind::Scalar(_) | Kind::Enum(_), Token::Delimited(bytes))
                if !field.cardinality.singular() =>
            {
                self.packed(field, kind, bytes)
            }
            (Kind::Scalar(_) | Kind::Enum(_), token) if fits(kind.layout(), token) => Ok(()),
            (kind, token) => Err(format!(
                "{} is {}, and here is {}",
                field.full_name,
                self.types.kind_name(kind),
                described(token)
            )),
        }
    }

    fn packed(&mut self, field: &'c Field, kind: Kind, bytes: &'c [u8]) -> Result<(), String> {
        let step = match kind.layout() {
            Layout::Fixed32 => 4,
            Layout::Fixed64 => 8,
            _ => {
                let mut scan = Scan::new(bytes);
                while !scan.done() {
                    let number = scan.varint()?;
                    if let Kind::Enum(index) = kind {
                        self.number(field, index, number);
                    }
                }
                return Ok(());
            }
        };
        if bytes.len().is_multiple_of(step) {
            return Ok(());
        }
        let length = bytes.len();
        Err(format!("{} is a list of {step} bytes each, and here are {length}", field.full_name))
    }

    /// A number of an enum. An open one takes every number.
    fn number(&mut self, field: &Field, index: usize, number: u64) {
        let Some(kind) = self.types.enumeration(index).filter(|it| it.closed) else { return };
        let number = Scalar::Int32.integer(number);
        if !i32::try_from(number).is_ok_and(|it| kind.values.contains_key(&it)) {
            let message = format!("{number} is not a value of the closed enum {}", kind.name);
            self.say_at(&format!("/{}", pointer::escaped(&field.json_name)), message);
        }
    }
}

fn fits(layout: Layout, token: Token<'_>) -> bool {
    match token {
        Token::Varint(_) => layout == Layout::Varint,
        Token::Fixed32(_) => layout == Layout::Fixed32,
        Token::Fixed64(_) => layout == Layout::Fixed64,
        Token::Delimited(_) => layout == Layout::Delimited,
        Token::GroupStart | Token::GroupEnd => false,
    }
}

/// How messages speak of a wire type.
pub(super) fn described(token: Token<'_>) -> &'static str {
    match token {
        Token::Varint(_) => "a varint",
        Token::Fixed32(_) => "a value of 4 bytes",
        Token::Fixed64(_) => "a value of 8 bytes",
        Token::Delimited(_) => "a value behind its length",
        Token::GroupStart | Token::GroupEnd => "a group",
    }
}

/// How many values of a field lie between the start of its message and one of them.
fn position(bytes: &[u8], from: usize, at: usize, number: u32) -> usize {
    let mut scan = Scan::from(bytes, from);
    let mut count = 0;
    while scan.at() < at {
        match scan.field() {
            Ok((found, token)) => {
                count += usize::from(found == number);
                if token == Token::GroupStart && scan.group(found, 0).is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    count
}

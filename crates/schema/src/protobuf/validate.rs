//! Checks encoded payloads in place, without decoding them into values.

use std::borrow::Cow;

use crate::definition::Violation;

use super::{
    payload_tables::PayloadTables,
    pointer,
    scalar::{Layout, Scalar},
    types::{Cardinality, Field, Kind, Message, Types},
    wire_format::{DEPTH_MAX, WireReader, WireToken, depth_error, group_end_error, token_name},
};

/// Limit of reported violations.
const VIOLATIONS_MAX: usize = 100;

/// Limit of bytes that are read again to locate violations. Beyond it, list indices are omitted.
const REREAD_BYTES_MAX: usize = 16 << 20;

/// Checks a payload. Unknown fields are allowed.
///
/// # Errors
/// Returns the violations. Decoding stops at the first part that does not decode.
pub(super) fn validate(
    types: &Types,
    tables: &PayloadTables,
    message: usize,
    bytes: &[u8],
) -> Result<(), Vec<Violation>> {
    let mut validator = Validator {
        types,
        tables,
        bytes,
        prefix: String::new(),
        depth: 0,
        open: Vec::new(),
        violations: Vec::new(),
        reread_bytes: 0,
    };
    let mut reader = WireReader::new(bytes);
    match validator.message(message, &mut reader, bytes.len(), None) {
        Ok(()) if validator.violations.is_empty() => Ok(()),
        Ok(()) => Err(validator.violations),
        Err(_) if validator.violations.len() >= VIOLATIONS_MAX => Err(validator.violations),
        Err(message) => {
            validator.report_at("", format!("at byte {}: {message}", reader.at()));
            Err(validator.violations)
        }
    }
}

/// The key of a map entry as text.
pub(super) fn key_text(entry: &Message, bytes: &[u8]) -> String {
    let kind = entry.fields.get(&1).map(|field| field.kind);
    let mut text = match kind {
        Some(Kind::Scalar(Scalar::String)) => String::new(),
        Some(Kind::Scalar(Scalar::Bool)) => "false".to_owned(),
        _ => "0".to_owned(),
    };
    let mut reader = WireReader::new(bytes);
    while !reader.is_at_end() {
        let Ok((number, token)) = reader.field() else { break };
        if number == 1 {
            text = match (token, kind) {
                (WireToken::Delimited(bytes), _) => String::from_utf8_lossy(bytes).into_owned(),
                (WireToken::Varint(number), Some(Kind::Scalar(scalar))) => {
                    scalar.integer(number).to_string()
                }
                (WireToken::Fixed32(number), Some(Kind::Scalar(scalar))) => {
                    scalar.integer(u64::from(number)).to_string()
                }
                (WireToken::Fixed64(number), Some(Kind::Scalar(scalar))) => {
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

struct Validator<'c> {
    types: &'c Types,
    tables: &'c PayloadTables,
    bytes: &'c [u8],
    /// JSON pointer to the validated bytes.
    prefix: String,
    depth: usize,
    /// The fields that are being read, from the outermost in.
    open: Vec<OpenField<'c>>,
    violations: Vec<Violation>,
    reread_bytes: usize,
}

/// A message field that is being read.
struct OpenField<'c> {
    field: &'c Field,
    /// Offset of the containing message.
    from: usize,
    /// Offset of the tag.
    at: usize,
}

impl<'c> Validator<'c> {
    fn report_at(&mut self, below: &str, message: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            let path = format!("{}{below}", self.pointer());
            self.violations.push(Violation { path, message });
        }
    }

    fn pointer(&mut self) -> String {
        let mut pointer = self.prefix.clone();
        let mut in_entry = false;
        for OpenField { field, from, at } in &self.open {
            // The pointer to the value of a map entry ends with the key.
            if !in_entry {
                pointer.push('/');
                pointer.push_str(&pointer::escape(&field.json_name));
            }
            in_entry = field.cardinality == Cardinality::Map;
            if field.cardinality.singular() {
                continue;
            }
            self.reread_bytes += at - from;
            if self.reread_bytes > REREAD_BYTES_MAX {
                continue;
            }
            let element = if in_entry {
                let mut reader = WireReader::from(self.bytes, *at);
                match (
                    reader.field(),
                    field.kind.message().and_then(|index| self.types.message(index)),
                ) {
                    (Ok((_, WireToken::Delimited(bytes))), Some(entry)) => key_text(entry, bytes),
                    _ => continue,
                }
            } else {
                index_of(self.bytes, *from, *at, field.number).to_string()
            };
            pointer.push('/');
            pointer.push_str(&pointer::escape(&element));
        }
        pointer
    }

    /// Checks one message, up to an offset or to the end of its group. [`DEPTH_MAX`] bounds the
    /// recursion.
    fn message(
        &mut self,
        index: usize,
        reader: &mut WireReader<'c>,
        end: usize,
        group: Option<u32>,
    ) -> Result<(), String> {
        let Some(message) = self.types.message(index) else { return Ok(()) };
        let from = reader.at();
        let table = self.tables.get(index);
        let mut missing: Cow<'_, [u32]> = Cow::Borrowed(&table.required);
        // Singular messages with required fields are checked at the end: several occurrences are
        // merged, and each may lack fields that another has.
        let mut split_messages: Vec<(u32, usize, &'c [u8])> = Vec::new();
        loop {
            if reader.at() >= end {
                if group.is_some() {
                    return Err("the payload ends inside a group".to_owned());
                }
                break;
            }
            let at = reader.at();
            let (number, token) = reader.field()?;
            if token == WireToken::GroupEnd {
                if group == Some(number) {
                    break;
                }
                return Err(group_end_error(number));
            }
            // Extensions of a message set are encoded in groups of their own.
            let field = message.fields.get(&number).filter(|_| !message.message_set);
            let Some(field) = field else {
                if token == WireToken::GroupStart {
                    reader.group(number, self.depth)?;
                }
                continue;
            };
            if !missing.is_empty() && missing.contains(&number) {
                missing.to_mut().retain(|missing| *missing != number);
            }
            match (field.kind, token) {
                (Kind::Message(inner), WireToken::Delimited(bytes)) => {
                    if field.cardinality.singular() && self.tables.get(inner).has_required {
                        split_messages.push((number, at, bytes));
                    } else {
                        let mut inner_reader =
                            WireReader::from(self.bytes, reader.at() - bytes.len());
                        self.enter(field, from, at)?;
                        let result = self.message(inner, &mut inner_reader, reader.at(), None);
                        self.leave(result, reader, &inner_reader)?;
                    }
                }
                (Kind::Group(inner), WireToken::GroupStart) => {
                    if field.cardinality.singular() && self.tables.get(inner).has_required {
                        split_messages.push((number, at, reader.group(number, self.depth)?));
                    } else {
                        self.enter(field, from, at)?;
                        self.message(inner, reader, end, Some(number))?;
                        self.open.pop();
                        self.depth -= 1;
                    }
                }
                (kind, token) => self.value(field, kind, token)?,
            }
        }
        self.split_messages(message, from, split_messages)?;
        for number in missing.iter() {
            if self.violations.len() >= VIOLATIONS_MAX {
                // A hostile payload can have millions.
                return Err(String::new());
            }
            if let Some(field) = message.fields.get(number) {
                self.report_at(
                    &format!("/{}", pointer::escape(&field.json_name)),
                    format!("the required field {} is missing", field.full_name),
                );
            }
        }
        if message.map_entry {
            self.absent_value(message, from, reader.at())?;
        }
        Ok(())
    }

    fn enter(&mut self, field: &'c Field, from: usize, at: usize) -> Result<(), String> {
        if self.depth >= DEPTH_MAX {
            return Err(depth_error());
        }
        self.depth += 1;
        self.open.push(OpenField { field, from, at });
        Ok(())
    }

    /// If the inner message is invalid, its position is reported.
    fn leave(
        &mut self,
        result: Result<(), String>,
        reader: &mut WireReader<'c>,
        inner_reader: &WireReader<'c>,
    ) -> Result<(), String> {
        if result.is_err() {
            *reader = inner_reader.clone();
            return result;
        }
        self.open.pop();
        self.depth -= 1;
        Ok(())
    }

    /// Checks the singular messages of one message, with the occurrences of each field merged.
    fn split_messages(
        &mut self,
        message: &'c Message,
        from: usize,
        mut split_messages: Vec<(u32, usize, &'c [u8])>,
    ) -> Result<(), String> {
        split_messages.sort_by_key(|(number, _, _)| *number);
        for occurrences in split_messages.chunk_by(|a, b| a.0 == b.0) {
            let Some((number, at, bytes)) = occurrences.first() else { continue };
            let Some(field) = message.fields.get(number) else { continue };
            let Some(inner) = field.kind.message() else { continue };
            self.enter(field, from, *at)?;
            if occurrences.len() == 1 {
                // A single occurrence is checked in place.
                let start = bytes.as_ptr() as usize - self.bytes.as_ptr() as usize;
                let mut inner_reader = WireReader::from(self.bytes, start);
                self.message(inner, &mut inner_reader, start + bytes.len(), None)?;
            } else {
                let merged: Vec<u8> =
                    occurrences.iter().flat_map(|(_, _, bytes)| bytes.iter().copied()).collect();
                let mut merged_validator = Validator {
                    types: self.types,
                    tables: self.tables,
                    bytes: &merged,
                    prefix: self.pointer(),
                    depth: self.depth,
                    open: Vec::new(),
                    violations: Vec::new(),
                    reread_bytes: self.reread_bytes,
                };
                let result = merged_validator.message(
                    inner,
                    &mut WireReader::new(&merged),
                    merged.len(),
                    None,
                );
                let violations = std::mem::take(&mut merged_validator.violations);
                let reread_bytes = merged_validator.reread_bytes;
                result?;
                self.reread_bytes = reread_bytes;
                let remaining = VIOLATIONS_MAX.saturating_sub(self.violations.len());
                self.violations.extend(violations.into_iter().take(remaining));
            }
            self.open.pop();
            self.depth -= 1;
        }
        Ok(())
    }

    /// Checks a map entry without a value: its value is empty and may lack required fields.
    fn absent_value(&mut self, entry: &Message, from: usize, to: usize) -> Result<(), String> {
        let Some(inner) = entry.fields.get(&2).and_then(|field| field.kind.message()) else {
            return Ok(());
        };
        if !self.tables.get(inner).has_required {
            return Ok(());
        }
        let mut reader = WireReader::from(self.bytes, from);
        while reader.at() < to {
            match reader.field()? {
                (2, _) => return Ok(()),
                (number, WireToken::GroupStart) => drop(reader.group(number, self.depth)?),
                _ => {}
            }
        }
        let missing = self.tables.get(inner).required.clone();
        for field in
            missing.iter().filter_map(|number| self.types.message(inner)?.fields.get(number))
        {
            let below = format!("/{}", pointer::escape(&field.json_name));
            self.report_at(&below, format!("the required field {} is missing", field.full_name));
        }
        Ok(())
    }

    /// Checks a value that is not a message.
    fn value(&mut self, field: &'c Field, kind: Kind, token: WireToken<'c>) -> Result<(), String> {
        match (kind, token) {
            (Kind::Scalar(Scalar::String), WireToken::Delimited(bytes)) => {
                if let Err(error) = str::from_utf8(bytes) {
                    self.report_at(
                        &format!("/{}", pointer::escape(&field.json_name)),
                        format!("the string is not valid UTF-8 from byte {}", error.valid_up_to()),
                    );
                }
                Ok(())
            }
            (Kind::Scalar(Scalar::Bytes), WireToken::Delimited(_)) => Ok(()),
            (Kind::Enum(index), WireToken::Varint(number)) => {
                self.number(field, index, number);
                Ok(())
            }
            (Kind::Scalar(_) | Kind::Enum(_), WireToken::Delimited(bytes))
                if !field.cardinality.singular() =>
            {
                self.packed(field, kind, bytes)
            }
            (Kind::Scalar(_) | Kind::Enum(_), token) if fits(kind.layout(), token) => Ok(()),
            (kind, token) => Err(format!(
                "{} is {}, but the payload has {}",
                field.full_name,
                self.types.kind_name(kind),
                token_name(token)
            )),
        }
    }

    fn packed(&mut self, field: &'c Field, kind: Kind, bytes: &'c [u8]) -> Result<(), String> {
        let element = match kind.layout() {
            Layout::Fixed32 => 4,
            Layout::Fixed64 => 8,
            _ => {
                let mut reader = WireReader::new(bytes);
                while !reader.is_at_end() {
                    let number = reader.varint()?;
                    if let Kind::Enum(index) = kind {
                        self.number(field, index, number);
                    }
                }
                return Ok(());
            }
        };
        if bytes.len().is_multiple_of(element) {
            return Ok(());
        }
        let length = bytes.len();
        Err(format!(
            "{} is a list of {element}-byte values, but the payload has {length} bytes",
            field.full_name
        ))
    }

    /// Checks the number of an enum. An open enum accepts every number.
    fn number(&mut self, field: &Field, index: usize, number: u64) {
        let Some(kind) = self.types.enumeration(index).filter(|kind| kind.closed) else { return };
        let number = Scalar::Int32.integer(number);
        if !i32::try_from(number).is_ok_and(|number| kind.values.contains_key(&number)) {
            let message = format!("{number} is not a value of the closed enum {}", kind.name);
            self.report_at(&format!("/{}", pointer::escape(&field.json_name)), message);
        }
    }
}

fn fits(layout: Layout, token: WireToken<'_>) -> bool {
    match token {
        WireToken::Varint(_) => layout == Layout::Varint,
        WireToken::Fixed32(_) => layout == Layout::Fixed32,
        WireToken::Fixed64(_) => layout == Layout::Fixed64,
        WireToken::Delimited(_) => layout == Layout::Delimited,
        WireToken::GroupStart | WireToken::GroupEnd => false,
    }
}

/// The index of the value at offset `at` among the values of its field in the message at `from`.
fn index_of(bytes: &[u8], from: usize, at: usize, number: u32) -> usize {
    let mut reader = WireReader::from(bytes, from);
    let mut count = 0;
    while reader.at() < at {
        match reader.field() {
            Ok((found_number, token)) => {
                count += usize::from(found_number == number);
                if token == WireToken::GroupStart && reader.group(found_number, 0).is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    count
}

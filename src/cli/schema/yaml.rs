//! YAML as a tree of values with locations. There are no aliases and no tags, because people read
//! manifests too.

use std::iter::Peekable;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use tidings_schema::definition::{Fault, SourceLocation};

/// A manifest is never nested deeper.
const DEPTH_MAX: usize = 16;

/// A value and its location.
#[derive(Debug, Clone)]
pub struct Node {
    /// Location of its first character.
    pub location: SourceLocation,
    /// The value.
    pub value: Value,
}

/// The content of a node.
#[derive(Debug, Clone)]
pub enum Value {
    /// Empty, `~` or `null`.
    Null,
    /// Text, and every other scalar: numbers and booleans stay text.
    Text(String),
    /// `- a`, `[a]`.
    List(Vec<Node>),
    /// `a: b`, `{a: b}`, with the location of each key.
    Map(Vec<(String, SourceLocation, Node)>),
}

impl Value {
    /// The name of the kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Parses a text that has one document.
pub fn parse(text: &str) -> Result<Node, Fault> {
    let mut events = Events { events: Parser::new_from_str(text).peekable() };
    let mut root = Node { location: SourceLocation::default(), value: Value::Null };
    let mut documents = 0;
    while let Some((event, location)) = events.next()? {
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(fault(
                        location,
                        "a second document begins here; only one is allowed",
                    ));
                }
                root = events.node(0)?;
            }
            _ => continue,
        }
    }
    Ok(root)
}

struct Events<'a> {
    events: Peekable<Parser<'a, StrInput<'a>>>,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, SourceLocation)>, Fault> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, span_location(&span)))),
            Some(Err(error)) => Err(syntax_fault(&error)),
        }
    }

    fn expect_next(&mut self) -> Result<(Event<'a>, SourceLocation), Fault> {
        self.next()?.ok_or_else(|| fault(SourceLocation::default(), "the text ends too early"))
    }

    fn node(&mut self, depth: usize) -> Result<Node, Fault> {
        let (event, location) = self.expect_next()?;
        self.node_from(event, location, depth)
    }

    fn node_from(
        &mut self,
        event: Event<'a>,
        location: SourceLocation,
        depth: usize,
    ) -> Result<Node, Fault> {
        if depth > DEPTH_MAX {
            return Err(fault(location, "is nested too deep"));
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                let is_null =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null");
                if is_null { Value::Null } else { Value::Text(text.into_owned()) }
            }
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    let (event, location) = self.expect_next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break Value::List(list);
                    }
                    list.push(self.node_from(event, location, depth + 1)?);
                }
            }
            Event::MappingStart(..) => {
                let mut map: Vec<(String, SourceLocation, Node)> = Vec::new();
                loop {
                    let (event, location) = self.expect_next()?;
                    let key = match event {
                        Event::MappingEnd => break Value::Map(map),
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => return Err(fault(location, "a key must be a scalar")),
                    };
                    if map.iter().any(|(known, _, _)| *known == key) {
                        return Err(fault(location, &format!("duplicate key \"{key}\"")));
                    }
                    let value = self.node(depth + 1)?;
                    map.push((key, location, value));
                }
            }
            Event::Alias(..) => {
                return Err(fault(location, "aliases are not supported: repeat the value"));
            }
            _ => return Err(fault(location, "a value is missing")),
        };
        Ok(Node { location, value })
    }
}

fn span_location(span: &Span) -> SourceLocation {
    location_at(span.start.line(), span.start.col())
}

fn location_at(line: usize, column: usize) -> SourceLocation {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    SourceLocation { line: number(line), column: number(column + 1), ..SourceLocation::default() }
}

fn syntax_fault(error: &ScanError) -> Fault {
    let marker = error.marker();
    fault(location_at(marker.line(), marker.col()), &format!("is not YAML: {}", error.info()))
}

fn fault(location: SourceLocation, message: &str) -> Fault {
    Fault { location, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_locations_and_versions_stay_text() {
        let root = parse("a: 1.10\nb:\n  - c: 'null'\n  - ~\n").unwrap();
        let Value::Map(map) = root.value else { panic!() };
        assert!(matches!(&map[0].2.value, Value::Text(text) if text == "1.10"));
        assert_eq!((map[0].2.location.line, map[0].2.location.column), (1, 4));
        assert_eq!((map[1].1.line, map[1].1.column), (2, 1));
        let Value::List(list) = &map[1].2.value else { panic!() };
        let Value::Map(inner) = &list[0].value else { panic!() };
        assert!(matches!(&inner[0].2.value, Value::Text(text) if text == "null"));
        assert_eq!((inner[0].1.line, inner[0].1.column), (3, 5));
        assert!(matches!(list[1].value, Value::Null));
        assert!(matches!(parse("").unwrap().value, Value::Null));
    }

    #[test]
    fn invalid_manifests_are_rejected_with_a_location() {
        let deep = "[".repeat(50) + &"]".repeat(50);
        for (text, line, message) in [
            ("a: 1\na: 2\n", 2, "duplicate key \"a\""),
            ("a: &x 1\nb: *x\n", 2, "aliases"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a:\n\t- b\n", 2, "is not YAML"),
            ("a: [1\n", 2, "is not YAML"),
            (deep.as_str(), 1, "too deep"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.message.contains(message), "{text}: {fault}");
            assert_eq!(fault.location.line, line, "{text}: {fault}");
        }
    }
}

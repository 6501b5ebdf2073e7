//! YAML as a tree in which everything knows its place. No aliases, no tags: a manifest is read by people, too.

use std::iter::Peekable;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use tidings_schema::definition::{Fault, SourceLocation};

/// Deeper trees are nobody's manifest.
const DEPTH_MAX: usize = 16;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its first character.
    pub place: SourceLocation,
    /// What is there.
    pub value: Value,
}

/// What is there.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Nothing,
    /// Text, and everything else that YAML would make a number or a truth of.
    Text(String),
    /// `- a`, `[a]`.
    List(Vec<Node>),
    /// `a: b`, `{a: b}`, with the place of each key.
    Map(Vec<(String, SourceLocation, Node)>),
}

impl Value {
    /// For messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads the one document of a text.
pub fn parse(text: &str) -> Result<Node, Fault> {
    let mut events = Events { events: Parser::new_from_str(text).peekable() };
    let mut root = Node { place: SourceLocation::default(), value: Value::Nothing };
    let mut documents = 0;
    while let Some((event, place)) = events.next()? {
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(fault(place, "a second document begins here: one is read"));
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
            Some(Ok((event, span))) => Ok(Some((event, place_of(&span)))),
            Some(Err(error)) => Err(unreadable(&error)),
        }
    }

    fn wanted(&mut self) -> Result<(Event<'a>, SourceLocation), Fault> {
        self.next()?.ok_or_else(|| fault(SourceLocation::default(), "the text ends too early"))
    }

    fn node(&mut self, depth: usize) -> Result<Node, Fault> {
        let (event, place) = self.wanted()?;
        self.node_of(event, place, depth)
    }

    fn node_of(
        &mut self,
        event: Event<'a>,
        place: SourceLocation,
        depth: usize,
    ) -> Result<Node, Fault> {
        if depth > DEPTH_MAX {
            return Err(fault(place, "is nested too deep"));
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                let is_nothing =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null");
                if is_nothing { Value::Nothing } else { Value::Text(text.into_owned()) }
            }
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    let (event, place) = self.wanted()?;
                    if matches!(event, Event::SequenceEnd) {
                        break Value::List(list);
                    }
                    list.push(self.node_of(event, place, depth + 1)?);
                }
            }
            Event::MappingStart(..) => {
                let mut map: Vec<(String, SourceLocation, Node)> = Vec::new();
                loop {
                    let (event, place) = self.wanted()?;
                    let key = match event {
                        Event::MappingEnd => break Value::Map(map),
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => return Err(fault(place, "a key has to be a name")),
                    };
                    if map.iter().any(|(known, _, _)| *known == key) {
                        return Err(fault(place, &format!("\"{key}\" stands here twice")));
                    }
                    let value = self.node(depth + 1)?;
                    map.push((key, place, value));
                }
            }
            Event::Alias(..) => {
                return Err(fault(place, "aliases are not read here: write it out"));
            }
            _ => return Err(fault(place, "a value is missing")),
        };
        Ok(Node { place, value })
    }
}

fn place_of(span: &Span) -> SourceLocation {
    at(span.start.line(), span.start.col())
}

fn at(line: usize, column: usize) -> SourceLocation {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    SourceLocation { line: number(line), column: number(column + 1), ..SourceLocation::default() }
}

fn unreadable(error: &ScanError) -> Fault {
    let marker = error.marker();
    fault(at(marker.line(), marker.col()), &format!("is not YAML: {}", error.info()))
}

fn fault(place: SourceLocation, message: &str) -> Fault {
    Fault { place, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_knows_its_place_and_versions_stay_text() {
        let root = parse("a: 1.10\nb:\n  - c: 'null'\n  - ~\n").unwrap();
        let Value::Map(map) = root.value else { panic!() };
        assert!(matches!(&map[0].2.value, Value::Text(text) if text == "1.10"));
        assert_eq!((map[0].2.place.line, map[0].2.place.column), (1, 4));
        assert_eq!((map[1].1.line, map[1].1.column), (2, 1));
        let Value::List(list) = &map[1].2.value else { panic!() };
        let Value::Map(inner) = &list[0].value else { panic!() };
        assert!(matches!(&inner[0].2.value, Value::Text(text) if text == "null"));
        assert_eq!((inner[0].1.line, inner[0].1.column), (3, 5));
        assert!(matches!(list[1].value, Value::Nothing));
        assert!(matches!(parse("").unwrap().value, Value::Nothing));
    }

    #[test]
    fn what_is_not_a_manifest_is_refused_with_its_place() {
        let deep = "[".repeat(50) + &"]".repeat(50);
        for (text, line, message) in [
            ("a: 1\na: 2\n", 2, "\"a\" stands here twice"),
            ("a: &x 1\nb: *x\n", 2, "aliases"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a:\n\t- b\n", 2, "is not YAML"),
            ("a: [1\n", 2, "is not YAML"),
            (deep.as_str(), 1, "too deep"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.message.contains(message), "{text}: {fault}");
            assert_eq!(fault.place.line, line, "{text}: {fault}");
        }
    }
}

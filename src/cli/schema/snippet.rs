//! A line of a text with a caret below a location, and colours for terminals.

use std::{env, io, io::IsTerminal};

/// Printed characters of a line. Schemas may be minified: a megabyte in one line.
const LINE_CHARS_MAX: usize = 100;

/// Printed characters before the location if the line is cut.
const CONTEXT_CHARS: usize = 40;

/// Printed form of a tab.
const TAB: &str = "    ";

/// Whether to print colours.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// No colours.
    pub const OFF: Self = Self(false);

    /// For stdout: colours on a terminal, unless the environment disables them.
    pub fn stdout() -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is = |name: &str, value: &str| env::var_os(name).is_some_and(|set| set == value);
        let unwanted = set("NO_COLOR") || is("CLICOLOR", "0") || is("TERM", "dumb");
        Self(io::stdout().is_terminal() && !unwanted)
    }

    /// Errors.
    pub fn red(self, text: &str) -> String {
        self.in_colour("1;31", text)
    }

    /// Warnings.
    pub fn yellow(self, text: &str) -> String {
        self.in_colour("1;33", text)
    }

    /// Success and additions.
    pub fn green(self, text: &str) -> String {
        self.in_colour("1;32", text)
    }

    /// Frames and locations.
    pub fn blue(self, text: &str) -> String {
        self.in_colour("1;34", text)
    }

    /// Emphasis.
    pub fn bold(self, text: &str) -> String {
        self.in_colour("1", text)
    }

    fn in_colour(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The line of a location with a caret below it, framed. None if the text has no such line.
pub fn snippet(text: &str, line: u32, column: u32, paint: Paint) -> Option<Vec<String>> {
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    let lines = text.lines().count();
    // If the text ends too early, the location is after its last line.
    let (index, column) =
        if index == lines && index > 0 { (index - 1, u32::MAX) } else { (index, column) };
    let source: Vec<char> = text.lines().nth(index)?.chars().collect();
    let column_index = usize::try_from(column).ok()?.saturating_sub(1).min(source.len());
    let line = index + 1;
    let first =
        if source.len() > LINE_CHARS_MAX { column_index.saturating_sub(CONTEXT_CHARS) } else { 0 };
    let last = source.len().min(first + LINE_CHARS_MAX);

    let (mut shown, mut below) = (String::new(), String::new());
    if first > 0 {
        shown.push('…');
        below.push(' ');
    }
    let marked = column_index..column_index + token_length(&source, column_index);
    for (index, c) in source.iter().enumerate().take(last).skip(first) {
        let printed = printable_char(*c);
        let mark = if marked.contains(&index) { '^' } else { ' ' };
        below.extend(printed.chars().map(|_| mark));
        shown.push_str(&printed);
    }
    if last < source.len() {
        shown.push('…');
    }
    // The location is the end of the line, where something is missing.
    if column_index >= last {
        below.push('^');
    }

    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let bar = paint.blue("|");
    let below = below.trim_end();
    let start = below.len() - below.trim_start().len();
    let (pad, caret) = below.split_at(start);
    Some(vec![
        format!("{margin} {bar}"),
        format!("{} {bar} {}", paint.blue(&number), shown.trim_end()),
        format!("{margin} {bar} {pad}{}", paint.red(caret)),
    ])
}

/// Length of the token at an index: a name, a number, a string.
fn token_length(line: &[char], column_index: usize) -> usize {
    let Some(first) = line.get(column_index) else { return 1 };
    let rest = &line[column_index + 1..];
    let rest_length = match first {
        '"' | '\'' => rest.iter().position(|c| c == first).map_or(0, |end| end + 1),
        c if in_word(*c) => rest.iter().take_while(|c| in_word(**c)).count(),
        _ => 0,
    };
    1 + rest_length
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// Escapes characters that would control a terminal.
fn printable_char(c: char) -> String {
    if c == '\t' {
        TAB.to_owned()
    } else {
        super::super::printer::printable(c.encode_utf8(&mut [0; 4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shows(text: &str, line: u32, column: u32, expected: [&str; 2]) {
        let shown = snippet(text, line, column, Paint::OFF).unwrap();
        assert_eq!([shown[1].as_str(), shown[2].as_str()], expected);
    }

    #[test]
    fn the_caret_marks_a_token() {
        shows("a\n  sting b = 1;\n", 2, 3, ["2 |   sting b = 1;", "  |   ^^^^^"]);
        shows(
            "{\"type\": \"sting\"}",
            1,
            10,
            ["1 | {\"type\": \"sting\"}", "  |          ^^^^^^^"],
        );
        shows("\tä = 1", 1, 4, ["1 |     ä = 1", "  |       ^"]);
        shows("a = ", 1, 5, ["1 | a =", "  |     ^"]);
        shows("{\n", 2, 0, ["1 | {", "  |  ^"]);
        assert!(snippet("a", 3, 1, Paint::OFF).is_none());
        assert!(snippet("a", 0, 0, Paint::OFF).is_none());
    }

    #[test]
    fn long_lines_are_cut_around_the_location() {
        let text = format!("{}HERE{}", "x ".repeat(1000), " y".repeat(1000));
        let shown = snippet(&text, 1, 2001, Paint::OFF).unwrap();
        assert!(shown[1].starts_with("1 | …") && shown[1].ends_with('…'), "{}", shown[1]);
        let position =
            |line: &str, pattern: &str| line[..line.find(pattern).unwrap()].chars().count();
        assert_eq!(position(&shown[1], "HERE"), position(&shown[2], "^^^^"));
        assert!(shown[1].chars().count() < 120);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let shown = snippet("a\x1b[2J", 1, 1, Paint::OFF).unwrap();
        assert_eq!(shown[1], "1 | a\\u{1b}[2J");
    }
}

//! A line of a text with a caret below the place, and the few colours that go with it.

use std::{env, io, io::IsTerminal};

/// Characters of a line that are shown. Schemas come minified, too: a megabyte in one line.
const SHOWN_MAX: usize = 100;

/// Characters shown before the place where a line is cut.
const BEFORE: usize = 40;

/// What a tab is shown as.
const TAB: &str = "    ";

/// Colours, where somebody sees them.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// None.
    pub const OFF: Self = Self(false);

    /// For stdout: colours on a terminal, unless the environment says no.
    pub fn stdout() -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is = |name: &str, value: &str| env::var_os(name).is_some_and(|it| it == value);
        let unwanted = set("NO_COLOR") || is("CLICOLOR", "0") || is("TERM", "dumb");
        Self(io::stdout().is_terminal() && !unwanted)
    }

    /// What is wrong.
    pub fn red(self, text: &str) -> String {
        self.in_colour("1;31", text)
    }

    /// What to look at.
    pub fn yellow(self, text: &str) -> String {
        self.in_colour("1;33", text)
    }

    /// What is fine, or new.
    pub fn green(self, text: &str) -> String {
        self.in_colour("1;32", text)
    }

    /// Frames and places.
    pub fn blue(self, text: &str) -> String {
        self.in_colour("1;34", text)
    }

    /// What stands out.
    pub fn bold(self, text: &str) -> String {
        self.in_colour("1", text)
    }

    fn in_colour(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The line of a place with a caret below it, framed. None where the text has no such line.
pub fn snippet(text: &str, line: u32, column: u32, paint: Paint) -> Option<Vec<String>> {
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    let lines = text.lines().count();
    // A text that ends too early is at fault behind its last line.
    let (index, column) =
        if index == lines && index > 0 { (index - 1, u32::MAX) } else { (index, column) };
    let source: Vec<char> = text.lines().nth(index)?.chars().collect();
    let at = usize::try_from(column).ok()?.saturating_sub(1).min(source.len());
    let line = index + 1;
    let first = if source.len() > SHOWN_MAX { at.saturating_sub(BEFORE) } else { 0 };
    let last = source.len().min(first + SHOWN_MAX);

    let (mut shown, mut below) = (String::new(), String::new());
    if first > 0 {
        shown.push('…');
        below.push(' ');
    }
    let marked = at..at + marked_length(&source, at);
    for (index, c) in source.iter().enumerate().take(last).skip(first) {
        let piece = shown_as(*c);
        let mark = if marked.contains(&index) { '^' } else { ' ' };
        below.extend(piece.chars().map(|_| mark));
        shown.push_str(&piece);
    }
    if last < source.len() {
        shown.push('…');
    }
    // A place at the end of the line, where something is missing.
    if at >= last {
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

/// How many characters from a place on belong together: a name, a number, a string.
fn marked_length(line: &[char], at: usize) -> usize {
    let Some(first) = line.get(at) else { return 1 };
    let rest = &line[at + 1..];
    let further = match first {
        '"' | '\'' => rest.iter().position(|c| c == first).map_or(0, |end| end + 1),
        c if in_word(*c) => rest.iter().take_while(|c| in_word(**c)).count(),
        _ => 0,
    };
    1 + further
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// Without what would steer a terminal.
fn shown_as(c: char) -> String {
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
    fn the_caret_stands_below_what_belongs_together() {
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
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}HERE{}", "x ".repeat(1000), " y".repeat(1000));
        let shown = snippet(&text, 1, 2001, Paint::OFF).unwrap();
        assert!(shown[1].starts_with("1 | …") && shown[1].ends_with('…'), "{}", shown[1]);
        let place = |line: &str, what: &str| line[..line.find(what).unwrap()].chars().count();
        assert_eq!(place(&shown[1], "HERE"), place(&shown[2], "^^^^"));
        assert!(shown[1].chars().count() < 120);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let shown = snippet("a\x1b[2J", 1, 1, Paint::OFF).unwrap();
        assert_eq!(shown[1], "1 | a\\u{1b}[2J");
    }
}

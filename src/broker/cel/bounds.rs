//! Bounds on the text of an expression, and the translation of parse errors.

use cel::parser::ParseErrors;

use super::fault::Fault;

/// Longest expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most expressions of a request. The parser takes about a millisecond for each.
pub const EXPRESSIONS_MAX: usize = 16;
/// Most words, numbers, texts and signs of an expression. The parser's time grows with them.
pub const TOKENS_MAX: usize = 512;
/// Deepest nesting of brackets, and of the parsed expression.
pub const DEPTH_MAX: usize = 64;
/// The recursion limit of the parser. Each bracket takes several of its rules, and brackets are
/// counted before it runs.
pub const PARSER_DEPTH_MAX: u16 = 96;

/// Checks the size and nesting of a text.
///
/// # Errors
/// Returns a fault if the text is empty, too large, or nested too deeply.
pub fn check(text: &str) -> Result<(), Fault> {
    let fault = |at, message| Err(Fault::at(text, at, message));
    if text.trim().is_empty() {
        return fault(0, "the expression is empty".into());
    }
    if text.len() > TEXT_BYTES_MAX {
        let size = text.len();
        return fault(0, format!("the expression has {size} bytes; the limit is {TEXT_BYTES_MAX}"));
    }
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut tokens, mut depth) = (0, 0, 0_usize);
    while let Some(c) = chars.get(at).copied() {
        let start = at;
        at += 1;
        match c {
            _ if c.is_whitespace() => continue,
            '/' if chars.get(at) == Some(&'/') => {
                at = end_of_line(&chars, at);
                continue;
            }
            '"' | '\'' => at = end_of_text(&chars, start),
            '`' => at = end_of_name(&chars, at),
            _ if is_word(c) => {
                while chars.get(at).copied().is_some_and(is_word) {
                    at += 1;
                }
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        tokens += 1;
        if tokens > TOKENS_MAX {
            return fault(
                start,
                format!(
                    "the expression has more than {TOKENS_MAX} words, numbers, texts and signs"
                ),
            );
        }
        if depth > DEPTH_MAX {
            return fault(start, format!("brackets nest deeper than {DEPTH_MAX}"));
        }
    }
    Ok(())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_line(chars: &[char], from: usize) -> usize {
    chars.iter().skip(from).position(|c| *c == '\n').map_or(chars.len(), |length| from + length)
}

/// The end of a name in backticks, which has no escapes.
fn end_of_name(chars: &[char], from: usize) -> usize {
    chars.iter().skip(from).position(|c| *c == '`').map_or(chars.len(), |length| from + length + 1)
}

/// The end of a text that starts with a quote.
fn end_of_text(chars: &[char], start: usize) -> usize {
    let quote = chars.get(start);
    // Raw strings have no escapes.
    let is_raw = start > 0 && chars.get(start - 1).is_some_and(|c| matches!(c, 'r' | 'R'));
    let is_long = chars.get(start + 1) == quote && chars.get(start + 2) == quote;
    let closes = |at: usize| {
        let ends = if is_long { 3 } else { 1 };
        (at..at + ends).all(|at| chars.get(at) == quote)
    };
    let mut at = start + if is_long { 3 } else { 1 };
    while at < chars.len() {
        if closes(at) {
            return at + if is_long { 3 } else { 1 };
        }
        at += if chars.get(at) == Some(&'\\') && !is_raw { 2 } else { 1 };
    }
    chars.len()
}

/// Translates the first error of the parser.
pub fn parse_fault(text: &str, errors: &ParseErrors) -> Fault {
    let Some(error) = errors.errors.first() else {
        return Fault::at(text, 0, "is not CEL".into());
    };
    let (line, column) = error.pos;
    let (line, column) = (usize::try_from(line), usize::try_from(column));
    let (line, column) = (line.unwrap_or(1).max(1), column.unwrap_or(1).max(1));
    let above: usize =
        text.split_inclusive('\n').take(line - 1).map(|line| line.chars().count()).sum();
    let at = above + column - 1;
    let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    let found = message.split('\'').nth(1).unwrap_or_default();
    let rest: String = text.chars().skip(at).collect();
    let message = if message.contains("recursion") || message.contains("OtherError") {
        format!("the expression nests deeper than {PARSER_DEPTH_MAX} rules of the grammar")
    } else if message.starts_with("token recognition error") {
        match rest.chars().next() {
            Some('=') => "`=` is not an operator: `==` compares".into(),
            Some('&') => "`&` is not an operator: `&&` is the logical and".into(),
            Some('|') => "`|` is not an operator: `||` is the logical or".into(),
            Some('"' | '\'') => "a string begins here and does not end".into(),
            Some('`') => "a name in backticks begins here and does not end, or has other characters than letters, \
                          digits, spaces and _ . - /"
                .into(),
            Some(c) => format!("{c:?} is not allowed here"),
            None => "the expression is incomplete".into(),
        }
    } else if found == "<EOF>" {
        "the expression ends here, but a value or a closing bracket is missing".into()
    } else if message.contains("expecting <EOF>")
        || message.starts_with("mismatched")
        || message.starts_with("extraneous")
        || message.starts_with("no viable")
    {
        format!(
            "{found:?} is not allowed here: an operator, a value or a bracket is missing before it"
        )
    } else {
        message.to_owned()
    };
    Fault::at(text, at, message)
}

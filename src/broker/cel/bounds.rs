//! What a text may be before it is parsed, and what the parser says of it in other words.

use cel::parser::ParseErrors;

use super::Fault;

/// Longest expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most expressions of a request. Each takes the parser about a millisecond.
pub const EXPRESSIONS_MAX: usize = 16;
/// Most words, numbers, texts and signs of an expression: what the parser's time grows with.
pub const TOKENS_MAX: usize = 512;
/// Deepest nesting of brackets, and of the expression that comes of it.
pub const DEPTH_MAX: usize = 64;
/// What the parser takes. Each bracket is several of its rules, and brackets are counted before.
pub const PARSER_DEPTH_MAX: u16 = 96;

/// A fault at a character, counted from 0.
pub fn fault_at(text: &str, at: usize, message: String) -> Fault {
    let (mut line, mut column) = (1, 1);
    for c in text.chars().take(at) {
        match c {
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    Fault { line, column, is_long: text.trim_end().contains('\n'), message }
}

/// Checks the size of a text, and how deep it nests.
///
/// # Errors
/// Where it is empty, too large, or too deep.
pub fn check(text: &str) -> Result<(), Fault> {
    let fault = |at, message| Err(fault_at(text, at, message));
    if text.trim().is_empty() {
        return fault(0, "the expression is empty".into());
    }
    if text.len() > TEXT_BYTES_MAX {
        let size = text.len();
        return fault(
            0,
            format!("the expression has {size} bytes, at most {TEXT_BYTES_MAX} are taken"),
        );
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
                    "the expression goes on behind {TOKENS_MAX} words, numbers and signs, which is as many as are taken"
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
    chars.iter().skip(from).position(|c| *c == '\n').map_or(chars.len(), |it| from + it)
}

/// Behind a name between backticks, which knows no escapes.
fn end_of_name(chars: &[char], from: usize) -> usize {
    chars.iter().skip(from).position(|c| *c == '`').map_or(chars.len(), |it| from + it + 1)
}

/// Behind a text that begins with a quote.
fn end_of_text(chars: &[char], start: usize) -> usize {
    let quote = chars.get(start);
    // r'' knows no escapes.
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

/// What the parser says first, in the words of whoever wrote the text.
pub fn told(text: &str, errors: &ParseErrors) -> Fault {
    let Some(error) = errors.errors.first() else {
        return fault_at(text, 0, "is not CEL".into());
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
        format!("the expression nests deeper than the {PARSER_DEPTH_MAX} rules that are taken")
    } else if message.starts_with("token recognition error") {
        match rest.chars().next() {
            Some('=') => "`=` is no operator: `==` compares".into(),
            Some('&') => "`&` is no operator: `&&` is the logical and".into(),
            Some('|') => "`|` is no operator: `||` is the logical or".into(),
            Some('"' | '\'') => "a text begins here and does not end".into(),
            Some('`') => "a name in backticks begins here that does not end, or has other characters than letters, \
                          digits, spaces and _ . - /"
                .into(),
            Some(c) => format!("{c:?} has no meaning here"),
            None => "the expression ends here, and something is missing".into(),
        }
    } else if found == "<EOF>" {
        "the expression ends here, and something is missing: a value, or a bracket that closes"
            .into()
    } else if message.contains("expecting <EOF>")
        || message.starts_with("mismatched")
        || message.starts_with("extraneous")
        || message.starts_with("no viable")
    {
        format!(
            "{found:?} cannot stand here: an operator, a value or a bracket is missing before it"
        )
    } else {
        message.to_owned()
    };
    fault_at(text, at, message)
}

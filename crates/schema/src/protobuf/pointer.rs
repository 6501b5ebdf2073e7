//! JSON pointers of parser positions.

/// Escapes a segment of a JSON pointer.
pub(super) fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// The JSON pointer of the value or key that contains a position or ends before it. Line and column
/// are counted from 1, the column in bytes, as in `serde_json`.
pub(super) fn locate(json: &str, line: usize, column: usize) -> String {
    let start: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = (start + column).min(json.len());
    let text = json.as_bytes();
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    while at < end {
        let from = at;
        match text.get(at).copied().unwrap_or(0) {
            b'"' => {
                at += 1;
                while at < text.len() && text.get(at) != Some(&b'"') {
                    at += if text.get(at) == Some(&b'\\') { 2 } else { 1 };
                }
                at += 1;
                if let Some(Level::Object { key, named: named @ false }) = levels.last_mut() {
                    *named = true;
                    *key = (from, at.min(text.len()));
                }
            }
            b'{' => {
                levels.push(Level::Object { key: (0, 0), named: false });
                at += 1;
            }
            b'[' => {
                levels.push(Level::Array(0));
                at += 1;
            }
            b'}' | b']' => {
                at += 1;
                // If a parser rejects a complete value, it stops at the end of that value.
                if at < end {
                    levels.pop();
                }
            }
            b',' => {
                at += 1;
                if at < end {
                    match levels.last_mut() {
                        Some(Level::Object { named, .. }) => *named = false,
                        Some(Level::Array(index)) => *index += 1,
                        None => {}
                    }
                }
            }
            _ => at += 1,
        }
    }
    let mut pointer = String::new();
    for level in levels {
        match level {
            Level::Object { key: (0, 0), .. } => {}
            Level::Object { key: (from, to), .. } => {
                let key = json.get(from..to).unwrap_or_default();
                let key: String = serde_json::from_str(key).unwrap_or_default();
                pointer.push('/');
                pointer.push_str(&escape(&key));
            }
            Level::Array(index) => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
    }
    pointer
}

enum Level {
    /// The byte range of the last key, and whether its value has started.
    Object {
        key: (usize, usize),
        named: bool,
    },
    Array(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_pointers() {
        let json = "{\"a\": 1,\n \"b/c\": [1, {\"d\": tru}]}";
        assert_eq!(locate(json, 1, 7), "/a");
        assert_eq!(locate(json, 2, 22), "/b~1c/1/d");
        assert_eq!(locate(json, 2, 10), "/b~1c/0");
        assert_eq!(locate("", 1, 0), "");
        assert_eq!(locate("7", 1, 1), "");
    }
}

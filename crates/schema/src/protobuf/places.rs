//! Where declarations stand in their texts.

use std::collections::HashMap;

use prost_types::{FileDescriptorProto, SourceCodeInfo};

use crate::definition::SourceLocation;

/// Beyond this a column is counted in bytes: counting the characters of a line of 1 MB once per declaration takes
/// minutes.
const LINE_BYTES_MAX: usize = 10_000;

/// The places of all declarations of the definition's own texts.
#[derive(Debug, Default)]
pub(super) struct Places {
    files: HashMap<String, HashMap<Vec<i32>, (u32, u32)>>,
    /// The name under which the definition's own text was linked: reported without a file.
    main: String,
}

impl Places {
    pub(super) fn new(main: &str) -> Self {
        Self { files: HashMap::new(), main: main.to_owned() }
    }

    /// Takes them out of a parsed file. `unshift` says how many bytes more than its author's stand
    /// in a line before a column.
    pub(super) fn take(
        &mut self,
        file: &FileDescriptorProto,
        info: &SourceCodeInfo,
        text: &str,
        unshift: impl Fn(u32, u32) -> i64,
    ) {
        let lines: Vec<&str> = text.split('\n').collect();
        let mut places = HashMap::new();
        for location in &info.location {
            // Messages, enums, fields and values end in an index; what has an odd length is a part of one of them.
            let [line, column, ..] = location.span.as_slice() else { continue };
            if location.path.is_empty() || location.path.len() % 2 != 0 {
                continue;
            }
            let line = u32::try_from(*line).unwrap_or(0);
            let column = u32::try_from(*column).unwrap_or(0);
            let column = i64::from(column) - unshift(line, column);
            let column = u32::try_from(column).unwrap_or(0);
            let column = lines.get(line as usize).map_or(column, |it| characters(it, column));
            places.insert(location.path.clone(), (line + 1, column + 1));
        }
        self.files.insert(file.name().to_owned(), places);
    }

    /// The place of a declaration. Not known: nowhere.
    pub(super) fn of(&self, file: &str, path: &[i32]) -> SourceLocation {
        let Some((line, column)) = self.files.get(file).and_then(|it| it.get(path)) else {
            return SourceLocation::default();
        };
        let file = if file == self.main { String::new() } else { file.to_owned() };
        SourceLocation { file, line: *line, column: *column, path: String::new() }
    }
}

/// How many characters of a line stand before a byte of it.
pub(super) fn characters(line: &str, bytes: u32) -> u32 {
    if line.len() > LINE_BYTES_MAX {
        return bytes;
    }
    let before = line.char_indices().take_while(|(at, _)| *at < bytes as usize).count();
    u32::try_from(before).unwrap_or(bytes)
}

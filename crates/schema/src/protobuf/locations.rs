//! Source locations of declarations.

use std::collections::HashMap;

use prost_types::{FileDescriptorProto, SourceCodeInfo};

use crate::definition::SourceLocation;

/// In longer lines, columns are counted in bytes: counting the characters of a line of 1 MB once
/// per declaration takes minutes.
const LINE_BYTES_MAX: usize = 10_000;

/// The locations of all declarations in the definition's own texts.
#[derive(Debug, Default)]
pub(super) struct SourceLocations {
    files: HashMap<String, HashMap<Vec<i32>, (u32, u32)>>,
    /// The name of the definition's own text. Its locations are reported without a file.
    main: String,
}

impl SourceLocations {
    pub(super) fn new(main: &str) -> Self {
        Self { files: HashMap::new(), main: main.to_owned() }
    }

    /// Adds the locations of a parsed file. `shift` returns how many bytes the parser input has
    /// added to a line before a column.
    pub(super) fn add_file(
        &mut self,
        file: &FileDescriptorProto,
        info: &SourceCodeInfo,
        text: &str,
        shift: impl Fn(u32, u32) -> i64,
    ) {
        let lines: Vec<&str> = text.split('\n').collect();
        let mut locations = HashMap::new();
        for location in &info.location {
            // Paths of messages, enums, fields and values end in an index. Paths of odd length are
            // parts of declarations.
            let [line, column, ..] = location.span.as_slice() else { continue };
            if location.path.is_empty() || location.path.len() % 2 != 0 {
                continue;
            }
            let line = u32::try_from(*line).unwrap_or(0);
            let column = u32::try_from(*column).unwrap_or(0);
            let column = i64::from(column) - shift(line, column);
            let column = u32::try_from(column).unwrap_or(0);
            let column = lines.get(line as usize).map_or(column, |line| chars_before(line, column));
            locations.insert(location.path.clone(), (line + 1, column + 1));
        }
        self.files.insert(file.name().to_owned(), locations);
    }

    /// The location of a declaration, or the default if it is unknown.
    pub(super) fn of(&self, file: &str, path: &[i32]) -> SourceLocation {
        let Some((line, column)) = self.files.get(file).and_then(|locations| locations.get(path))
        else {
            return SourceLocation::default();
        };
        let file = if file == self.main { String::new() } else { file.to_owned() };
        SourceLocation { file, line: *line, column: *column, path: String::new() }
    }
}

/// The number of characters before a byte offset of a line.
pub(super) fn chars_before(line: &str, bytes: u32) -> u32 {
    if line.len() > LINE_BYTES_MAX {
        return bytes;
    }
    let before = line.char_indices().take_while(|(at, _)| *at < bytes as usize).count();
    u32::try_from(before).unwrap_or(bytes)
}

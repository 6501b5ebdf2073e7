//! Events on stdout: a table for people, JSON lines for programs, or lines of a `--format`
//! template.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Row, Table, presets};
use tidings::{
    cloudevents,
    notation::show_time,
    proto::events::v1::{Event, RecordedEvent},
};

use super::{event_json, positions::quote, template::Template};

/// Flags for the output of events.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Output format; default: a table on a terminal, JSON lines in a pipe
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
    /// A line per event of text and fields, such as '{offset}\t{key} {type} {data}'
    ///
    /// Fields: topic, offset, position, key, key_version, append_time, cursor, id, source, type,
    /// subject, time, datacontenttype, correlationid, causationid, data (as JSON), event (the
    /// CloudEvents document), json (the recorded event with the document). Escapes: \t \n \r \0 \\,
    /// and {{ }} for braces.
    #[arg(long, value_name = "FORMAT", conflicts_with = "output", value_parser = Template::parse)]
    pub format: Option<Template>,
}

/// Output format of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned columns
    Table,
    /// One JSON object per line: the offset and position, and the CloudEvents document in `event`
    Json,
    /// One CloudEvents document per line
    Cloudevents,
}

impl OutputArgs {
    /// The flags that repeat this output.
    pub fn flags(&self) -> Vec<String> {
        if let Some(format) = &self.format {
            return vec![format!("--format {}", quote(format.source()))];
        }
        self.output
            .and_then(|output| output.to_possible_value())
            .map(|output| format!("--output {}", output.get_name()))
            .into_iter()
            .collect()
    }
}

/// Prints events.
pub struct Printer {
    out: BufWriter<Stdout>,
    line_format: LineFormat,
}

enum LineFormat {
    Table(Columns),
    Json,
    CloudEvents,
    Template(Template),
}

impl Printer {
    /// A printer for these flags; the default depends on stdout.
    pub fn new(args: &OutputArgs) -> Self {
        let line_format = match (&args.format, args.output) {
            (Some(template), _) => LineFormat::Template(template.clone()),
            (None, Some(Output::Json)) => LineFormat::Json,
            (None, Some(Output::Cloudevents)) => LineFormat::CloudEvents,
            (None, Some(Output::Table)) => LineFormat::Table(Columns::default()),
            (None, None) if io::stdout().is_terminal() => LineFormat::Table(Columns::default()),
            (None, None) => LineFormat::Json,
        };
        Self { out: BufWriter::with_capacity(64 * 1024, io::stdout()), line_format }
    }

    /// Prints one event; it is written at the latest by [`Self::flush`].
    pub fn event(&mut self, recorded: &RecordedEvent) -> io::Result<()> {
        let line = match &mut self.line_format {
            LineFormat::Table(columns) => columns.line(recorded),
            LineFormat::Json => event_json::recorded(recorded),
            LineFormat::CloudEvents => recorded
                .event
                .as_ref()
                .map(|event| cloudevents::document(event, &[]))
                .unwrap_or_default(),
            LineFormat::Template(template) => template.render(recorded),
        };
        writeln!(self.out, "{line}")
    }

    /// Writes buffered lines to stdout.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Columns that grow with their content: the length of a stream's values is not known in advance.
struct Columns {
    header_printed: bool,
    widths: [usize; 5],
    /// Width of the terminal, if stdout is one.
    width: Option<usize>,
}

/// Wider values are printed in full, and shift only their own line.
const COLUMN_WIDTH_MAX: usize = 40;

impl Default for Columns {
    fn default() -> Self {
        Self {
            header_printed: false,
            widths: [8, 8, 27, 12, 24],
            width: Table::new().width().map(usize::from),
        }
    }
}

impl Columns {
    fn line(&mut self, recorded: &RecordedEvent) -> String {
        let header = if self.header_printed {
            String::new()
        } else {
            self.header_printed = true;
            format!("{}\n", self.align(["TOPIC", "OFFSET", "APPENDED", "KEY", "TYPE"], "DATA"))
        };
        let empty = Event::default();
        let event = recorded.event.as_ref().unwrap_or(&empty);
        let cells = [
            printable(&recorded.topic),
            recorded.offset.to_string(),
            show_time(recorded.append_time.as_ref()),
            printable(&recorded.key),
            printable(&event.r#type),
        ];
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = cell.chars().count().clamp(*width, COLUMN_WIDTH_MAX.max(*width));
        }
        let data = if event.payload.is_some() {
            printable(&cloudevents::data(event))
        } else {
            String::new()
        };
        header + &self.align([&cells[0], &cells[1], &cells[2], &cells[3], &cells[4]], &data)
    }

    fn align(&self, cells: [&str; 5], data: &str) -> String {
        let [topic, offset, time, key, kind] = self.widths;
        let line = format!(
            "{:<topic$}  {:>offset$}  {:<time$}  {:<key$}  {:<kind$}  {data}",
            cells[0], cells[1], cells[2], cells[3], cells[4],
        );
        match self.width {
            Some(width) => shorten(&line, width),
            None => line.trim_end().to_owned(),
        }
    }
}

/// Cuts a line to a width, and marks the cut.
fn shorten(line: &str, width: usize) -> String {
    let line = line.trim_end();
    if line.chars().count() <= width || width == 0 {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width - 1).collect();
    cut.push('…');
    cut
}

/// Escapes control characters: content of an event must not control a terminal.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Bidirectional overrides can hide text as well as control characters can.
        if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A table of few rows, at most as wide as the terminal.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(Row::from(header));
    for row in rows {
        table.add_row(Row::from(row.map(|cell| printable(&cell))));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
    }

    #[test]
    fn long_lines_are_cut_where_there_is_a_width() {
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("äöü", 3), "äöü");
    }
}

//! The report of a benchmark: the same figures as a table or as JSON.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{Table, presets};
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// One JSON object on one line
    Json,
}

/// Named figures, in the order of insertion.
pub struct Report {
    json: Map<String, Value>,
    rows: Vec<(String, String)>,
}

impl Report {
    /// An empty report of a command in one of its modes.
    pub fn new(command: &str, mode: &str) -> Self {
        let mut report = Self { json: Map::new(), rows: Vec::new() };
        report.set("bench", command).set("mode", mode);
        report
    }

    /// Adds a figure.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.row(name, text);
        self.json.insert(name.to_owned(), value);
        self
    }

    /// Adds the rate of `events` in `elapsed`.
    pub fn rate(&mut self, events: u64, payload_bytes: u32, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let rate = events as f64 / seconds;
        let megabytes = rate * f64::from(payload_bytes) / 1e6;
        self.set("events", events);
        self.json.insert("seconds".to_owned(), json!(round(seconds, 4)));
        self.json.insert("events_per_second".to_owned(), json!(round(rate, 1)));
        self.json.insert("payload_megabytes_per_second".to_owned(), json!(round(megabytes, 2)));
        self.row("seconds", format!("{seconds:.3}"));
        self.row("events/s", format!("{rate:.0}"));
        self.row("payload MB/s", format!("{megabytes:.1}"));
    }

    /// Adds the percentiles of a histogram of microseconds.
    pub fn percentiles(&mut self, name: &str, histogram: &Histogram<u64>) {
        if histogram.is_empty() {
            return;
        }
        let millis_at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        let figures = [
            ("p50", millis_at(0.5)),
            ("p90", millis_at(0.9)),
            ("p99", millis_at(0.99)),
            ("p999", millis_at(0.999)),
            ("max", histogram.max() as f64 / 1e3),
        ];
        let json: Map<_, _> =
            figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.json.insert(format!("{name}_ms"), Value::Object(json));
        let text: Vec<_> =
            figures.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        self.row(&format!("{name} ms"), text.join("  "));
    }

    /// Adds whether the events were verified.
    pub fn verdict(&mut self, verified: Option<bool>, interrupted: bool) {
        self.json.insert("verified".to_owned(), json!(verified));
        self.json.insert("interrupted".to_owned(), json!(interrupted));
        let text = match verified {
            Some(true) => "every event, in order, once, with its content",
            Some(false) => "no",
            None if interrupted => {
                "content and order of the events that were read, but not their number"
            }
            None => "not requested",
        };
        self.row("verified", text.to_owned());
        if interrupted {
            self.row("interrupted", "yes; figures up to the interrupt".to_owned());
        }
    }

    /// Prints to standard output.
    pub fn print(&self, output: Option<Output>) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        let terminal = if stdout.is_terminal() { Output::Table } else { Output::Json };
        match output.unwrap_or(terminal) {
            Output::Json => writeln!(stdout, "{}", Value::Object(self.json.clone()))?,
            Output::Table => {
                let mut table = Table::new();
                table.load_style(presets::NOTHING);
                for (name, value) in &self.rows {
                    table.add_row([name.replace('_', " "), value.clone()]);
                }
                writeln!(stdout, "{table}")?;
            }
        }
        Ok(())
    }

    fn row(&mut self, name: &str, value: String) {
        self.rows.push((name.to_owned(), value));
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

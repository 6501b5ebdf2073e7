//! Reports for CI servers: annotations for GitHub, Code Quality for GitLab, JUnit XML for all
//! others.

use std::{
    env,
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write},
};

use anyhow::Context;
use tidings::json::Object;
use xxhash_rust::xxh3::xxh3_128;

use super::report::{Diagnostic, Entry, ReportFormat, Severity};

/// Prints entries in a format for CI servers. Prints nothing in the formats that the command prints
/// itself.
pub fn print(format: ReportFormat, entries: &[Entry]) -> anyhow::Result<()> {
    let text = match format {
        ReportFormat::Text | ReportFormat::Json => return Ok(()),
        ReportFormat::Junit => junit(entries),
        ReportFormat::Github => github(entries),
        ReportFormat::Gitlab => gitlab(entries),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    if format == ReportFormat::Github
        && let Some(file) = env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty())
    {
        let mut summary = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .with_context(|| format!("cannot write GITHUB_STEP_SUMMARY, {}", file.display()))?;
        summary.write_all(github_summary(entries).as_bytes())?;
    }
    Ok(())
}

/// A message with all of its details, as plain text.
fn full_text(diagnostic: &Diagnostic) -> String {
    let mut text = diagnostic.message.clone();
    for (name, detail) in &diagnostic.details {
        let _ = write!(text, "\n{name}: {detail}");
    }
    text
}

/// Workflow commands: `::error file=a.proto,line=7,col=3,title=RULE::message`.
fn github(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        for diagnostic in &entry.diagnostics {
            let command = match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "notice",
            };
            let mut properties = vec![("file", diagnostic.file.clone())];
            if diagnostic.line > 0 {
                properties.push(("line", diagnostic.line.to_string()));
                properties.push(("col", diagnostic.column.max(1).to_string()));
            }
            properties.push(("title", format!("{}: {}", entry.name, diagnostic.rule)));
            let properties: Vec<String> = properties
                .iter()
                .map(|(name, value)| format!("{name}={}", github_property(value)))
                .collect();
            let message = github_data(&full_text(diagnostic));
            let _ = writeln!(out, "::{command} {}::{message}", properties.join(","));
        }
    }
    out
}

fn github_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn github_property(text: &str) -> String {
    github_data(text).replace(':', "%3A").replace(',', "%2C")
}

fn github_summary(entries: &[Entry]) -> String {
    let mut out = String::from("### Schemas\n\n| | schema | file | verdict |\n|---|---|---|---|\n");
    for entry in entries {
        let sign = if entry.accepted { "✅" } else { "❌" };
        let [name, file, summary] =
            [&entry.name, &entry.file, &entry.summary].map(|text| cell(text));
        let _ = writeln!(out, "| {sign} | {name} | {file} | {summary} |");
    }
    let errors = || {
        entries
            .iter()
            .flat_map(|entry| &entry.diagnostics)
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
    };
    if errors().next().is_some() {
        out.push_str("\n| rule | location | message |\n|---|---|---|\n");
    }
    for diagnostic in errors() {
        let location = format!("{}:{}", diagnostic.file, diagnostic.line);
        let [rule, location, message] =
            [&diagnostic.rule, &location, &full_text(diagnostic)].map(|text| cell(text));
        let _ = writeln!(out, "| {rule} | {location} | {message} |");
    }
    out.push('\n');
    out
}

/// A cell of a Markdown table, with all markup escaped.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br>"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '@' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// GitLab's Code Quality report, a subset of Code Climate's.
fn gitlab(entries: &[Entry]) -> String {
    let mut issues = Vec::new();
    for entry in entries {
        for diagnostic in &entry.diagnostics {
            // Unchanged as long as the fault is: neither its line nor its index is part of the key.
            let key = [
                &entry.name,
                &diagnostic.rule,
                &diagnostic.file,
                &diagnostic.path,
                &diagnostic.message,
            ]
            .map(String::as_str)
            .join("\0");
            let mut lines = Object::new();
            lines.number("begin", diagnostic.line.max(1).into());
            let mut location = Object::new();
            location.text("path", diagnostic.file.trim_start_matches("./"));
            location.raw("lines", &lines.finish());
            let mut issue = Object::new();
            issue.text("description", &format!("{}: {}", entry.name, full_text(diagnostic)));
            issue.text("check_name", &diagnostic.rule);
            issue.text("fingerprint", &format!("{:032x}", xxh3_128(key.as_bytes())));
            issue.text(
                "severity",
                match diagnostic.severity {
                    Severity::Error => "major",
                    Severity::Warning => "minor",
                    Severity::Info => "info",
                },
            );
            issue.raw("location", &location.finish());
            issues.push(issue.finish());
        }
    }
    format!("[{}]\n", issues.join(",\n"))
}

/// A suite per schema, a case per rule; one passing case if nothing was found.
fn junit(entries: &[Entry]) -> String {
    let mut suites = String::new();
    let (mut tests_total, mut failures_total) = (0, 0);
    for entry in entries {
        let mut rules: Vec<(&str, Vec<&Diagnostic>)> = Vec::new();
        for diagnostic in &entry.diagnostics {
            match rules.iter_mut().find(|(rule, _)| *rule == diagnostic.rule) {
                Some((_, diagnostics)) => diagnostics.push(diagnostic),
                None => rules.push((&diagnostic.rule, vec![diagnostic])),
            }
        }
        let name = xml(&entry.name);
        let mut cases = String::new();
        let mut failures = 0;
        for (rule, diagnostics) in &rules {
            let rule = xml(rule);
            let file = xml(&diagnostics[0].file);
            let _ =
                write!(cases, "    <testcase classname=\"{name}\" name=\"{rule}\" file=\"{file}\"");
            let errors: Vec<&&Diagnostic> = diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .collect();
            if let Some(first) = errors.first() {
                failures += 1;
                let message = xml(&first.message);
                let text = xml(&located_texts(errors.iter().map(|diagnostic| **diagnostic)));
                let _ = writeln!(
                    cases,
                    ">\n      <failure type=\"{rule}\" message=\"{message}\">{text}</failure>\n    </testcase>"
                );
            } else {
                let text = xml(&located_texts(diagnostics.iter().copied()));
                let _ =
                    writeln!(cases, ">\n      <system-out>{text}</system-out>\n    </testcase>");
            }
        }
        let mut tests = rules.len();
        // Rejected for another reason than a finding, or without any finding.
        if rules.is_empty() || (failures == 0 && !entry.accepted) {
            tests += 1;
            let summary = xml(&entry.summary);
            let _ = write!(cases, "    <testcase classname=\"{name}\" name=\"verdict\"");
            if entry.accepted {
                let _ =
                    writeln!(cases, ">\n      <system-out>{summary}</system-out>\n    </testcase>");
            } else {
                failures += 1;
                let _ = writeln!(
                    cases,
                    ">\n      <failure type=\"REFUSED\" message=\"{summary}\"></failure>\n    </testcase>"
                );
            }
        }
        tests_total += tests;
        failures_total += failures;
        let _ = writeln!(
            suites,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">\n{cases}  </testsuite>"
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"tidings schema\" tests=\"{tests_total}\" \
         failures=\"{failures_total}\">\n{suites}</testsuites>\n"
    )
}

fn located_texts<'a>(diagnostics: impl Iterator<Item = &'a Diagnostic>) -> String {
    let located_texts = diagnostics.map(|diagnostic| match diagnostic.line {
        0 => format!("{}\n{}", diagnostic.file, full_text(diagnostic)),
        line => format!(
            "{}:{line}:{}\n{}",
            diagnostic.file,
            diagnostic.column.max(1),
            full_text(diagnostic)
        ),
    });
    located_texts.collect::<Vec<_>>().join("\n\n")
}

/// Escapes text for XML 1.0, between tags or in an attribute.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            // XML cannot represent these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_schemas_is_escaped() {
        assert_eq!(github_property("a,b:c%\n"), "a%2Cb%3Ac%25%0A");
        assert_eq!(github_data("a,b::c%\r\n"), "a,b::c%25%0D%0A");
        assert_eq!(xml("<a b=\"'&\x1b\n"), "&lt;a b=&quot;&apos;&amp;\u{fffd}&#10;");
        assert_eq!(cell("a|b<i>`*\n"), "a&#124;b&lt;i&gt;&#96;&#42;<br>");
    }
}

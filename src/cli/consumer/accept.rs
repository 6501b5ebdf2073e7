//! The schema versions that an application accepts, from flags and a file: event types, each with a
//! version requirement.

use std::path::{Path, PathBuf};

use clap::Args;
use tidings_registry::{name::SubjectName, proto::v1::VersionRequirement};
use tidings_schema::{
    definition::{Fault, SourceLocation},
    version,
};

use super::super::{
    positions::quote,
    schema::{
        report::{Diagnostic, Entry},
        source,
        yaml::{self, Value},
    },
};

/// Far above the size of the requirements that the registry accepts.
const BYTES_MAX: usize = 1 << 20;

/// Help text with the format of the file.
pub const FILE_HELP: &str = "\
The file:

  accept:
    shop.OrderPlaced: ^1.2        # 1.2 and compatible versions
    shop.OrderPaid: '>=1, <3'     # two major versions; quoted, because > and * are YAML syntax
    shop.Money: '*'               # any version";

/// Accepted versions.
#[derive(Debug, Clone, Args)]
pub struct AcceptArgs {
    /// An event type, and the accepted versions of it; repeatable
    #[arg(long, value_name = "TYPE=REQUIREMENT", value_parser = parse_accept)]
    accept: Vec<VersionRequirement>,
    /// A file with accepted versions
    #[arg(short, long, value_name = "FILE.yaml")]
    file: Option<PathBuf>,
}

impl AcceptArgs {
    /// Reads the requirements of the flags and of the file.
    pub fn read(&self) -> anyhow::Result<Vec<VersionRequirement>> {
        let mut accepted = match &self.file {
            Some(file) => read(file)?,
            None => Vec::new(),
        };
        for requirement in &self.accept {
            if let Some(known) = accepted.iter().find(|known| known.subject == requirement.subject)
            {
                return Err(super::Failure::usage(format!(
                    "{} has two requirements, {} and {}",
                    requirement.subject, known.requirement, requirement.requirement
                ))
                .with_remedy("one requirement per type; \">=1, <3\" covers two major versions")
                .into());
            }
            accepted.push(requirement.clone());
        }
        Ok(accepted)
    }
}

/// Parses `TYPE=REQUIREMENT`. A requirement may begin with `=`; a type rarely contains one.
fn parse_accept(text: &str) -> Result<VersionRequirement, String> {
    let (event_type, requirement) =
        text.split_once('=').ok_or("expected TYPE=REQUIREMENT, such as shop.OrderPlaced=^1.2")?;
    check_type(event_type)?;
    parse_requirement(event_type, requirement)
}

fn parse_requirement(event_type: &str, text: &str) -> Result<VersionRequirement, String> {
    let requirement = version::requirement(text)?.to_string();
    Ok(VersionRequirement { subject: event_type.into(), requirement })
}

fn check_type(event_type: &str) -> Result<(), String> {
    if let Some(prefix) = event_type.strip_suffix('*') {
        return Err(format!(
            "\"{event_type}\" is a pattern, which only streams accept: name each type; \
             tidings schema list {} shows them",
            quote(prefix)
        ));
    }
    SubjectName::parse(event_type)
        .map(drop)
        .map_err(|message| format!("the type \"{event_type}\" {message}"))
}

fn read(path: &Path) -> anyhow::Result<Vec<VersionRequirement>> {
    let name = path.to_string_lossy().into_owned();
    let help = "tidings consumer declare --help, which has an example";
    let text = source::read(path, BYTES_MAX)
        .and_then(source::text)
        .map_err(|error| error.into_failure(&name).with_remedy(help))?;
    let mut faults = Vec::new();
    let accepted = parse(&text, &mut faults);
    if faults.is_empty() {
        return Ok(accepted);
    }
    let diagnostics: Vec<Diagnostic> =
        faults.iter().map(|fault| Diagnostic::fault(name.clone(), Some(&text), fault)).collect();
    let summary = match faults.len() {
        1 => "has 1 fault".to_owned(),
        faults => format!("has {faults} faults"),
    };
    let entry = Entry { name: name.clone(), file: name, accepted: false, summary, diagnostics };
    Err(entry.failure(help.to_owned()).exit_with(2).into())
}

/// Parses the text of a file, and collects its faults.
fn parse(text: &str, faults: &mut Vec<Fault>) -> Vec<VersionRequirement> {
    let mut fault = |location: &SourceLocation, message: String| {
        faults.push(Fault { location: location.clone(), message });
    };
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(invalid) => {
            fault(&invalid.location, invalid.message);
            return Vec::new();
        }
    };
    let mut accepted = Vec::new();
    let mut has_accept = false;
    let entries = match root.value {
        Value::Map(entries) => entries,
        Value::Null => Vec::new(),
        Value::Text(_) | Value::List(_) => {
            fault(&root.location, format!("expected \"accept:\", found {}", root.value.kind()));
            return accepted;
        }
    };
    for (key, location, node) in entries {
        if key != "accept" {
            fault(&location, format!("unknown key \"{key}\"; the only key is \"accept\""));
            continue;
        }
        has_accept = true;
        let Value::Map(types) = node.value else {
            let kind = node.value.kind();
            fault(&node.location, format!("expected type: requirement, found {kind}"));
            continue;
        };
        for (event_type, location, node) in types {
            if let Err(message) = check_type(&event_type) {
                fault(&location, message);
            }
            let Value::Text(requirement) = &node.value else {
                let kind = node.value.kind();
                fault(&node.location, format!("expected a requirement such as ^1.2, found {kind}"));
                continue;
            };
            match parse_requirement(&event_type, requirement) {
                Ok(requirement) => accepted.push(requirement),
                Err(message) => fault(&node.location, message),
            }
        }
    }
    if !has_accept {
        fault(&root.location, "\"accept\" is missing: types, each with a requirement".into());
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_has_a_type_and_a_requirement() {
        let read = |text: &str| {
            parse_accept(text).map(|accepted| (accepted.subject, accepted.requirement))
        };
        let pair = |event_type: &str, requirement: &str| {
            Ok((event_type.to_owned(), requirement.to_owned()))
        };
        assert_eq!(read("shop.A=^1.2"), pair("shop.A", "^1.2"));
        assert_eq!(read("shop.A=1.2"), pair("shop.A", "^1.2"));
        assert_eq!(read("shop.A=>=1,<3"), pair("shop.A", ">=1, <3"));
        assert_eq!(read("shop.A==1.2.0"), pair("shop.A", "=1.2.0"));
        for wrong in ["shop.A", "=^1", "shop.A=", "shop.A=one", "shop.*=^1", "a b=^1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("shop.*=^1").unwrap_err().contains("tidings schema list shop."));
    }

    #[test]
    fn all_faults_of_a_file_are_reported() {
        let report = |text: &str| {
            let mut faults = Vec::new();
            let accepted = parse(text, &mut faults).len();
            let line = |fault: &Fault| format!("{}: {}", fault.location.line, fault.message);
            (accepted, faults.iter().map(line).collect::<Vec<_>>().join("\n"))
        };
        assert_eq!(report("accept:\n  a: ^1\n  b: '*'\n"), (2, String::new()));
        let (_, faults) = report("accpt: {}\n");
        assert!(faults.contains("1: unknown key \"accpt\""), "{faults}");
        assert!(faults.contains("\"accept\" is missing"), "{faults}");
        let (accepted, faults) = report("accept:\n  a: one\n  b.*: ^1\n  c: [1]\n  d: 1.2\n");
        assert_eq!(accepted, 2, "{faults}");
        let lines: Vec<_> = faults.lines().map(|line| &line[..2]).collect();
        assert_eq!(lines, ["2:", "3:", "4:"], "{faults}");
        for text in ["", "- a\n", "accept: []\n", "accept:\n  a: *\n"] {
            assert!(!report(text).1.is_empty(), "{text}");
        }
    }
}

//! What an application accepts, as flags and a file say it: event types, each with a version requirement.

use std::path::{Path, PathBuf};

use clap::Args;
use tidings_registry::{proto::v1::VersionRequirement, subject::SubjectName};
use tidings_schema::{
    definition::{Fault, SourceLocation},
    version,
};

use super::super::{
    positions::quote,
    schema::{
        report::{Entry, Note},
        source,
        yaml::{self, Value},
    },
};

/// Far more than the registry takes.
const BYTES_MAX: usize = 1 << 20;

/// What a file looks like.
pub const FILE_HELP: &str = "\
The file:

  accept:
    shop.OrderPlaced: ^1.2        # 1.2 and what is compatible with it
    shop.OrderPaid: '>=1, <3'     # two major versions; quoted, as YAML has > and * for itself
    shop.Money: '*'               # whatever there is";

/// What is accepted.
#[derive(Debug, Clone, Args)]
pub struct AcceptArgs {
    /// An event type, and the versions of it that are understood; repeatable
    #[arg(long, value_name = "TYPE=REQUIREMENT", value_parser = parse_accept)]
    accept: Vec<VersionRequirement>,
    /// A file that says it
    #[arg(short, long, value_name = "FILE.yaml")]
    file: Option<PathBuf>,
}

impl AcceptArgs {
    /// What flags and file say together.
    pub fn read(&self) -> anyhow::Result<Vec<VersionRequirement>> {
        let mut accepted = match &self.file {
            Some(file) => read(file)?,
            None => Vec::new(),
        };
        for one in &self.accept {
            if let Some(known) = accepted.iter().find(|known| known.subject == one.subject) {
                return Err(super::Failure::usage(format!(
                    "{} is accepted as {} and as {}",
                    one.subject, known.requirement, one.requirement
                ))
                .try_this("one requirement for each type; \">=1, <3\" is two major versions")
                .into());
            }
            accepted.push(one.clone());
        }
        Ok(accepted)
    }
}

/// Reads `TYPE=REQUIREMENT`. A requirement may begin with `=`, a type hardly has one.
fn parse_accept(text: &str) -> Result<VersionRequirement, String> {
    let (of, requirement) =
        text.split_once('=').ok_or("expected TYPE=REQUIREMENT, such as shop.OrderPlaced=^1.2")?;
    check_type(of)?;
    requirement_of(of, requirement)
}

fn requirement_of(of: &str, text: &str) -> Result<VersionRequirement, String> {
    let requirement = version::requirement(text)?.to_string();
    Ok(VersionRequirement { subject: of.into(), requirement })
}

fn check_type(of: &str) -> Result<(), String> {
    if let Some(prefix) = of.strip_suffix('*') {
        return Err(format!(
            "\"{of}\" is a pattern: streams take those, here each type is named; tidings schema list {} has them",
            quote(prefix)
        ));
    }
    SubjectName::parse(of).map(drop).map_err(|why| format!("the type \"{of}\" {why}"))
}

fn read(path: &Path) -> anyhow::Result<Vec<VersionRequirement>> {
    let name = path.to_string_lossy().into_owned();
    let help = "tidings consumer declare --help, which has an example";
    let text = source::read(path, BYTES_MAX)
        .and_then(source::text)
        .map_err(|fault| fault.of(&name).try_this(help))?;
    let mut faults = Vec::new();
    let accepted = parse(&text, &mut faults);
    if faults.is_empty() {
        return Ok(accepted);
    }
    let notes: Vec<Note> =
        faults.iter().map(|fault| Note::fault(name.clone(), Some(&text), fault)).collect();
    let summary = match faults.len() {
        1 => "is not right".to_owned(),
        faults => format!("is not right in {faults} places"),
    };
    let entry = Entry { name: name.clone(), file: name, accepted: false, summary, notes };
    Err(entry.failure(help.to_owned()).exit_with(2).into())
}

/// Reads the text of a file, and takes down everything that is wrong with it.
fn parse(text: &str, faults: &mut Vec<Fault>) -> Vec<VersionRequirement> {
    let mut fault = |place: &SourceLocation, message: String| {
        faults.push(Fault { place: place.clone(), message });
    };
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(invalid) => {
            fault(&invalid.place, invalid.message);
            return Vec::new();
        }
    };
    let mut accepted = Vec::new();
    let mut has_accept = false;
    let entries = match root.value {
        Value::Map(entries) => entries,
        Value::Nothing => Vec::new(),
        Value::Text(_) | Value::List(_) => {
            fault(&root.place, format!("expected \"accept:\", and there is {}", root.value.kind()));
            return accepted;
        }
    };
    for (key, place, node) in entries {
        if key != "accept" {
            fault(&place, format!("\"{key}\" is not known here: \"accept\" is"));
            continue;
        }
        has_accept = true;
        let Value::Map(types) = node.value else {
            let kind = node.value.kind();
            fault(&node.place, format!("expected type: requirement, and there is {kind}"));
            continue;
        };
        for (of, place, node) in types {
            if let Err(why) = check_type(&of) {
                fault(&place, why);
            }
            let Value::Text(requirement) = &node.value else {
                let kind = node.value.kind();
                fault(
                    &node.place,
                    format!("expected a requirement such as ^1.2, and there is {kind}"),
                );
                continue;
            };
            match requirement_of(&of, requirement) {
                Ok(one) => accepted.push(one),
                Err(why) => fault(&node.place, why),
            }
        }
    }
    if !has_accept {
        fault(&root.place, "\"accept\" is missing: types, each with a requirement".into());
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_has_a_type_and_a_requirement() {
        let read = |text: &str| parse_accept(text).map(|it| (it.subject, it.requirement));
        let pair = |of: &str, requirement: &str| Ok((of.to_owned(), requirement.to_owned()));
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
    fn everything_that_is_wrong_with_a_file_is_told() {
        let told = |text: &str| {
            let mut faults = Vec::new();
            let accepted = parse(text, &mut faults).len();
            let line = |it: &Fault| format!("{}: {}", it.place.line, it.message);
            (accepted, faults.iter().map(line).collect::<Vec<_>>().join("\n"))
        };
        assert_eq!(told("accept:\n  a: ^1\n  b: '*'\n"), (2, String::new()));
        let (_, faults) = told("accpt: {}\n");
        assert!(faults.contains("1: \"accpt\" is not known"), "{faults}");
        assert!(faults.contains("\"accept\" is missing"), "{faults}");
        let (accepted, faults) = told("accept:\n  a: one\n  b.*: ^1\n  c: [1]\n  d: 1.2\n");
        assert_eq!(accepted, 2, "{faults}");
        let lines: Vec<_> = faults.lines().map(|it| &it[..2]).collect();
        assert_eq!(lines, ["2:", "3:", "4:"], "{faults}");
        for text in ["", "- a\n", "accept: []\n", "accept:\n  a: *\n"] {
            assert!(!told(text).1.is_empty(), "{text}");
        }
    }
}

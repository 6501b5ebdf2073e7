//! Rules for documents: their commands and names exist, their examples run, and their length is
//! limited.

use std::collections::BTreeSet;

use super::{File, Finding, assert_none, check, committed, word};

/// The longest line of a document, in characters.
const WIDTH_MAX: usize = 100;

/// The longest README, in lines.
const README_LINES_MAX: usize = 250;

/// The reference, with sections that list names of the sources.
const REFERENCE: &str = "docs/REFERENCE.md";

/// Targets of `make` in a document that the Makefile does not have. The README has the two commands
/// that a new user runs.
fn make_commands(document: &File, makefile: &str) -> Vec<Finding> {
    const WHY: &str = "readers copy and run the commands of a document: use existing targets, and add \
                       new targets to the Makefile first";
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_alphanumeric()) && !line.contains(":="))
        .filter_map(|line| line.split_once(':').map(|(target, _)| target))
        .collect();
    let mut findings = Vec::new();
    for command in ["demo", "test"] {
        if document.path == "README.md" && !word(&document.text, &format!("make {command}")) {
            let message = format!("the README does not name `make {command}`");
            let why = "it is one of the two commands that a new user runs";
            findings.push(document.finding(1, message, why));
        }
    }
    let mut fenced = false;
    for (index, line) in document.text.lines().enumerate() {
        // In prose "make" is a verb; in code it is a command.
        fenced ^= line.trim_start().starts_with("```");
        let code = (fenced || line.starts_with("    ")).then(|| line.trim());
        for command in line.split('`').skip(1).step_by(2).chain(code) {
            let Some(target) = command.trim_start_matches("$ ").strip_prefix("make ") else {
                continue;
            };
            let target = target.split_whitespace().next().unwrap_or_default();
            if !targets.contains(target) {
                let message = format!("the Makefile has no target `{target}`");
                findings.push(document.finding(index + 1, message, WHY));
            }
        }
    }
    findings
}

fn width(document: &File) -> Vec<Finding> {
    if !document.path.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in document.text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        // Code keeps its lines, and a row of a table is one line.
        let is_row = line.trim_start().starts_with('|');
        if fenced || is_fence || is_row || line.starts_with("    ") {
            continue;
        }
        let width = without_addresses(line).chars().count();
        if width > WIDTH_MAX {
            let message = format!("{width} characters; the limit is {WIDTH_MAX}");
            let why = "documents are read in terminals and reviewed line by line: wrap the \
                       paragraph. Addresses, tables and code do not count";
            findings.push(document.finding(index + 1, message, why));
        }
    }
    findings
}

/// A line without the addresses of its links, which cannot be wrapped.
fn without_addresses(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once("](") {
        Some((text, _)) => text,
        None if word.contains("://") => "",
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn readme_length(document: &File) -> Vec<Finding> {
    let lines = document.text.lines().count();
    if document.path != "README.md" || lines <= README_LINES_MAX {
        return Vec::new();
    }
    let message = format!("{lines} lines; the limit is {README_LINES_MAX}");
    let why = "new users do not read a long README: move details into docs/, and \
               programs into examples/";
    vec![document.finding(lines, message, why)]
}

/// Compares the names in the first column of a section's tables with those of the sources.
fn section(document: &File, heading: &str, names: &BTreeSet<String>) -> Vec<Finding> {
    const WHY: &str = "users rely on the lists in the reference: write a row for each \
                       name in the sources, and no other";
    let lines: Vec<&str> = document.text.lines().collect();
    let start = lines.iter().position(|line| *line == heading);
    let rows = lines.iter().enumerate().skip(start.map_or(lines.len(), |start| start + 1));
    let mut listed = BTreeSet::new();
    let mut findings = Vec::new();
    for (index, line) in rows.take_while(|(_, line)| !line.starts_with("## ")) {
        let Some(row) = line.strip_prefix('|') else { continue };
        let cell = row.split('|').next().unwrap_or_default();
        for name in cell.split('`').skip(1).step_by(2) {
            if !names.contains(name) {
                let message = format!("`{name}` below \"{heading}\" is not in the sources");
                findings.push(document.finding(index + 1, message, WHY));
            }
            listed.insert(name);
        }
    }
    for name in names.iter().filter(|name| !listed.contains(name.as_str())) {
        let message = format!("`{name}` is in the sources and not below \"{heading}\"");
        findings.push(document.finding(start.map_or(1, |start| start + 1), message, WHY));
    }
    findings
}

/// Names of settings: rows of the table in `src/config*`.
fn settings(files: &[File]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/config")) {
        let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
        let rows = lines.windows(2).filter(|pair| pair[0] == "Setting {");
        let quoted = rows.filter_map(|pair| pair[1].strip_prefix("name: \"")?.strip_suffix("\","));
        names.extend(quoted.map(String::from));
    }
    names
}

/// Reasons of errors: values of the enums in the contract.
fn error_reasons(files: &[File]) -> BTreeSet<String> {
    let contract = files.iter().filter(|file| file.path.ends_with("/error_reason.proto"));
    let lines = contract.flat_map(|file| file.text.lines());
    let names = lines
        .filter_map(|line| Some(line.trim().strip_prefix("ERROR_REASON_")?.split_once(" = ")?.0));
    names.filter(|name| *name != "UNSPECIFIED").map(String::from).collect()
}

/// Exit codes: those in help texts, and those that a function `exit_code` returns.
fn exit_codes(files: &[File]) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    let sources = files.iter().filter(|file| file.is_rust() && file.path.contains("src/"));
    for file in sources {
        let mut end_of_function: Option<String> = None;
        for line in file.text.lines() {
            let indent = &line[..line.len() - line.trim_start().len()];
            // `  3    serve: the data directory is damaged`
            let leading: String =
                line.trim_start().chars().take_while(char::is_ascii_digit).collect();
            if indent == "  " && !leading.is_empty() && line[2 + leading.len()..].starts_with("  ")
            {
                codes.insert(leading);
            }
            if let Some((_, list)) = line.split_once("Exit codes: ") {
                let starts = list.split(", ").filter_map(|entry| entry.split_once(' '));
                let numbers = starts.map(|(start, _)| start);
                codes.extend(
                    numbers.filter(|number| number.parse::<u8>().is_ok()).map(String::from),
                );
            }
            if line.contains("fn exit_code(") {
                end_of_function = Some(format!("{indent}}}"));
            } else if end_of_function.as_deref() == Some(line) {
                end_of_function = None;
            } else if let (Some(_), Some((_, code))) = (&end_of_function, line.rsplit_once("=> ")) {
                let code = code.trim_end_matches(',');
                codes.extend(code.parse::<u8>().ok().map(|code| code.to_string()));
            }
        }
    }
    codes
}

/// A code block with the path of an example after the fence, as in
/// `python examples/python/publish.py`, equals that file, which the tests of the examples run.
fn snippets(document: &File, files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut lines = document.text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block = lines.by_ref().map(|(_, line)| line);
        let block: Vec<&str> = block.take_while(|line| !line.starts_with("```")).collect();
        let path = info.split_once(' ').map_or("", |(_, path)| path);
        if !path.starts_with("examples/") {
            continue;
        }
        let example = files.iter().find(|file| file.path == path);
        if example.is_none_or(|file| !file.text.lines().eq(block)) {
            let why =
                "documents show the code that the tests run: paste the file again, or link to it";
            findings.push(document.finding(
                index + 1,
                format!("the block differs from {path}"),
                why,
            ));
        }
    }
    findings
}

#[test]
fn documents_name_commands_that_exist() {
    let files = committed();
    let makefile = files.iter().find(|file| file.path == "Makefile").expect("a Makefile");
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let findings = documents.flat_map(|document| make_commands(document, &makefile.text));
    assert_none(&findings.collect::<Vec<_>>());
}

#[test]
fn documents_wrap_at_100_columns() {
    check(width);
}

#[test]
fn the_readme_is_short() {
    check(readme_length);
}

#[test]
fn the_reference_lists_settings_error_reasons_and_exit_codes() {
    let files = committed();
    let reference = files.iter().find(|file| file.path == REFERENCE).expect("the reference");
    let mut findings = Vec::new();
    for (heading, names) in [
        ("## Settings", settings(&files)),
        ("## Error reasons", error_reasons(&files)),
        ("## Exit codes", exit_codes(&files)),
    ] {
        assert!(!names.is_empty(), "the sources have nothing for {heading}");
        findings.extend(section(reference, heading, &names));
    }
    assert_none(&findings);
}

#[test]
fn documents_show_the_current_examples() {
    let files = committed();
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let findings = documents.flat_map(|document| snippets(document, &files));
    assert_none(&findings.collect::<Vec<_>>());
}

/// Scripts depend on rule ids, which are stable: the list has each id and no other.
#[test]
fn every_rule_of_compatibility_is_documented() {
    const LIST: &str = "docs/COMPATIBILITY.md";
    let ids = |text: &str, quote: char| -> BTreeSet<String> {
        let prefixes = ["PROTOBUF_", "JSON_", "AVRO_", "VERSION_"];
        text.split(quote)
            .filter(|id| {
                prefixes.iter().any(|prefix| id.len() > prefix.len() && id.starts_with(prefix))
            })
            .filter(|id| {
                id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            })
            .map(String::from)
            .collect()
    };
    let files = committed();
    let roots = ["registry/src/", "crates/schema/src/"];
    let sources = files.iter().filter(|file| roots.iter().any(|root| file.path.starts_with(root)));
    let used: BTreeSet<_> = sources.flat_map(|file| ids(&file.text, '"')).collect();
    let list = files.iter().find(|file| file.path == LIST).expect("the list of rules");
    assert_eq!(used, ids(&list.text, '`'), "the rules of {roots:?} differ from those of {LIST}");
}

/// A rule that never finds a violation checks nothing.
#[test]
fn the_rules_for_documents_find_violations() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    const NONE: [usize; 0] = [];
    let lines =
        |findings: Vec<Finding>| findings.iter().map(|finding| finding.line).collect::<Vec<_>>();

    let example = [file("examples/a.py", "x = 1\ny = 2\n")];
    let shown = |code: &str| {
        file("README.md", &format!("```sh\nls\n```\n```python examples/a.py\n{code}\n```"))
    };
    assert_eq!(lines(snippets(&shown("x = 1\ny = 2"), &example)), NONE);
    assert_eq!(lines(snippets(&shown("x = 1"), &example)), [4]);
    assert_eq!(lines(snippets(&shown("x = 1\ny = 2"), &[])), [4]);

    let makefile = "demo: build ## x\ntest: lint\nA := b\n";
    let named = |path: &str, text: &str| lines(make_commands(&file(path, text), makefile));
    assert_eq!(named("README.md", "```\nmake demo\n$ make test\n```\nmake of it\n"), NONE);
    assert_eq!(named("README.md", "Try `make demo`, `make test`,\n`make tea`"), [2]);
    assert_eq!(named("README.md", "    make demo\n"), [1]);
    assert_eq!(named("docs/A.md", "    make demo\n"), NONE);

    let long = "word ".repeat(21);
    let wide = format!(
        "{long}\n| {long}|\n```\n{long}\n```\n    {long}\n[a](https://a.example/{})\n",
        "a".repeat(100)
    );
    assert_eq!(lines(width(&file("docs/A.md", &wide))), [1]);
    assert_eq!(lines(width(&file("src/a.rs", &wide))), NONE);
    assert_eq!(without_addresses("see [the page](a/b) at https://b.example"), "see [the page at ");
    assert_eq!(lines(readme_length(&file("README.md", &"\n".repeat(251)))), [251]);
    assert_eq!(lines(readme_length(&file("docs/A.md", &"\n".repeat(251)))), NONE);

    let names =
        |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let tables = "# A\n## B\n| x |\n|---|\n| `a`, `b` | `z` |\n\n## C\n| `c` |\n";
    let tables = file(REFERENCE, tables);
    assert_eq!(lines(section(&tables, "## B", &names(&["a", "b"]))), NONE);
    assert_eq!(lines(section(&tables, "## B", &names(&["a", "c"]))), [5, 2]);
    assert_eq!(lines(section(&tables, "## D", &names(&["a"]))), [1]);
    let table = "    Setting {\n        name: \"listen\",\n    Other {\n        name: \"x\",\n";
    assert_eq!(settings(&[file("src/config.rs", table)]), names(&["listen"]));
    let values =
        "  reserved \"ERROR_REASON_X\";\n  ERROR_REASON_UNSPECIFIED = 0;\n  ERROR_REASON_Y = 1;";
    assert_eq!(error_reasons(&[file("proto/a/error_reason.proto", values)]), names(&["Y"]));
    let code = "Exit codes:\n  0    well\n  12 no\nExit codes: 1 error, 2 usage.\n    fn exit_code(&self) {\n        \
                Self::A => 3,\n    }\n        Self::B => 4,\n";
    assert_eq!(exit_codes(&[file("src/cli.rs", code)]), names(&["0", "1", "2", "3"]));
}

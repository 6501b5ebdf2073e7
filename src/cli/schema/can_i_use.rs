//! `tidings schema can-i-use`: what an application would be delivered, before it goes out.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use clap::{Args, ValueEnum};
use tidings_registry::{
    accepted::ACCEPTED_MAX,
    proto::v1::{NegotiateVersionsRequest, NegotiatedVersion, VersionRequirement, VersionState},
};
use tidings_schema::version;

use super::{
    super::{
        client::ServerArgs,
        consumer::{
            accept::{AcceptArgs, FILE_HELP},
            how, known, unknown,
        },
        failure::Failure,
        printer::printable,
    },
    get::failed,
    json,
    report::INCOMPATIBLE,
    snippet::Paint,
};

/// Ask what an application would be delivered: each type in which version, what is converted to it, what is refused and why.
///
/// For what a consumer is known to need, or for what is said here. Nothing is recorded.
#[derive(Debug, Args)]
#[command(after_help = format!("{FILE_HELP}

Exit codes: 0 all are satisfied, 100 something is not, 1 error, 2 usage.

Examples:
  tidings schema can-i-use --consumer billing
  tidings schema can-i-use --accept 'shop.OrderPlaced=^2'
  tidings schema can-i-use -f accept.yaml && tidings consumer declare billing -f accept.yaml"))]
pub struct CanIUseArgs {
    /// What this consumer declared, and what its streams ask for
    #[arg(long, value_name = "NAME", conflicts_with_all = ["accept", "file"])]
    consumer: Option<String>,
    #[command(flatten)]
    accept: AcceptArgs,
    /// How it is printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people: a paragraph a type
    Text,
    /// For programs: a line of proto3 JSON a type
    Json,
}

/// A requirement, and how it is known.
struct Asked {
    requirement: VersionRequirement,
    how: Vec<&'static str>,
}

/// Runs the command.
pub async fn run(args: CanIUseArgs) -> anyhow::Result<()> {
    let asked = match &args.consumer {
        Some(name) => needs_of(&args.server, name).await?,
        None => {
            let requirements = args.accept.read()?.into_iter();
            requirements.map(|requirement| Asked { requirement, how: Vec::new() }).collect()
        }
    };
    if asked.is_empty() {
        return Err(Failure::usage("nothing is asked for")
            .try_this("--consumer NAME, or --accept TYPE=REQUIREMENT")
            .into());
    }
    let answers = negotiate(&args.server, &asked).await?;
    let paint = Paint::stdout();
    let mut out = io::stdout().lock();
    for (asked, answer) in asked.iter().zip(&answers) {
        match args.output {
            Output::Json => writeln!(out, "{}", json::line("NegotiatedVersion", answer)?)?,
            Output::Text => out.write_all(told(asked, answer, paint).as_bytes())?,
        }
    }
    out.flush()?;
    let missing: Vec<String> = asked
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.schema.is_none())
        .map(|(Asked { requirement: it, .. }, _)| {
            format!("{} in {}", printable(&it.subject), printable(&it.requirement))
        })
        .collect();
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(Failure::new(format!("nothing satisfies {}", missing.join(", ")))
            .exit_with(INCOMPATIBLE)
            .try_this("what stands behind \"instead\", or wait until it is registered")
            .into()),
    }
}

/// What is known of a consumer, each requirement once.
async fn needs_of(server: &ServerArgs, name: &str) -> anyhow::Result<Vec<Asked>> {
    let mut asked: Vec<Asked> = Vec::new();
    for it in known(server, name, "").await? {
        let how = how(&it);
        let requirement = VersionRequirement { subject: it.subject, requirement: it.requirement };
        match asked.iter_mut().find(|known| known.requirement == requirement) {
            Some(known) => known.how.push(how),
            None => asked.push(Asked { requirement, how: vec![how] }),
        }
    }
    if asked.is_empty() {
        return Err(unknown(name).into());
    }
    Ok(asked)
}

/// Answers in the order of what is asked. A request takes a subject once, and a consumer may need two versions of it.
async fn negotiate(server: &ServerArgs, asked: &[Asked]) -> anyhow::Result<Vec<NegotiatedVersion>> {
    let mut client = server.registry().await?;
    let mut answers: BTreeMap<usize, NegotiatedVersion> = BTreeMap::new();
    while answers.len() < asked.len() {
        let mut round: Vec<(usize, &VersionRequirement)> = Vec::new();
        for (at, Asked { requirement, .. }) in asked.iter().enumerate() {
            let is_in = round.iter().any(|(_, other)| other.subject == requirement.subject);
            if !answers.contains_key(&at) && !is_in && round.len() < ACCEPTED_MAX {
                round.push((at, requirement));
            }
        }
        let request = NegotiateVersionsRequest {
            requirements: round.iter().map(|(_, it)| (*it).clone()).collect(),
            ..NegotiateVersionsRequest::default()
        };
        let answer = client.negotiate_versions(server.request(request)).await;
        let answer = answer.map_err(failed("negotiate versions".to_owned()))?.into_inner();
        if answer.versions.len() != round.len() {
            return Err(Failure::new("the server answered something else than what was asked")
                .try_this("a server of this version")
                .into());
        }
        answers.extend(round.iter().map(|(at, _)| *at).zip(answer.versions));
    }
    Ok(answers.into_values().collect())
}

fn told(asked: &Asked, answer: &NegotiatedVersion, paint: Paint) -> String {
    let Asked { requirement, how } = asked;
    let mut text = format!("{} {}", requirement.subject, requirement.requirement);
    if !how.is_empty() {
        let _ = write!(text, " ({})", how.join("; "));
    }
    let mut text = printable(&text);
    let line = |text: &mut String, name: &str, value: &str| {
        let _ = writeln!(text, "  {} {name}: {}", paint.blue("="), printable(value));
    };
    match &answer.schema {
        Some(schema) => {
            let _ = writeln!(
                text,
                ": {}",
                paint.green(&format!("delivered in {}", printable(&schema.version)))
            );
            if schema.state() == VersionState::Deprecated {
                let why = match schema.deprecation.as_str() {
                    "" => "deprecated, and no active version satisfies it",
                    why => why,
                };
                line(&mut text, "deprecated", why);
            }
            let others = answer.convertible_versions.iter().filter(|it| **it != schema.version);
            let others: Vec<&str> = others.map(String::as_str).collect();
            if !others.is_empty() {
                line(&mut text, "converted from", &others.join(", "));
            }
        }
        None => {
            let _ = writeln!(text, ": {}", paint.red("nothing satisfies it"));
            let (name, what) = match answer.alternatives.as_slice() {
                [] if answer.refused_versions.is_empty() => {
                    ("because", "nothing is registered by that name".to_owned())
                }
                [] => ("because", "every version is retired".to_owned()),
                alternatives => ("instead", alternatives.join(", ")),
            };
            line(&mut text, name, &what);
        }
    }
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (version, why) in &answer.refused_versions {
        refused.entry(why).or_default().push(version);
    }
    for (why, mut versions) in refused {
        versions.sort_by_key(|it| version::parse(it).ok());
        line(&mut text, "refused", &format!("{}: {why}", versions.join(", ")));
    }
    text
}

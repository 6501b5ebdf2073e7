//! `tidings schema can-i-use`: the versions that an application would be delivered, before its
//! deployment.

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
            list_consumers, not_found, origin_label,
        },
        failure::Failure,
        printer::printable,
    },
    get::failed,
    json,
    report::INCOMPATIBLE,
    snippet::Paint,
};

/// Show the versions that an application would be delivered: for each type the version, those
/// converted to it, and those refused with a reason.
///
/// For the recorded requirements of a consumer, or for requirements given here. Nothing is
/// recorded.
#[derive(Debug, Args)]
#[command(after_help = format!("{FILE_HELP}

Exit codes: 0 all are satisfied, 100 some are not, 1 error, 2 usage.

Examples:
  tidings schema can-i-use --consumer billing
  tidings schema can-i-use --accept 'shop.OrderPlaced=^2'
  tidings schema can-i-use -f accept.yaml && tidings consumer declare billing -f accept.yaml"))]
pub struct CanIUseArgs {
    /// Use the requirements of this consumer: its declaration and those of its streams
    #[arg(long, value_name = "NAME", conflicts_with_all = ["accept", "file"])]
    consumer: Option<String>,
    #[command(flatten)]
    accept: AcceptArgs,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people: a paragraph per type
    Text,
    /// For programs: a line of proto3 JSON per type
    Json,
}

/// A requirement and its origins.
struct KnownRequirement {
    requirement: VersionRequirement,
    origins: Vec<&'static str>,
}

/// Runs the command.
pub async fn run(args: CanIUseArgs) -> anyhow::Result<()> {
    let requirements = match &args.consumer {
        Some(name) => recorded_requirements(&args.server, name).await?,
        None => {
            let requirements = args.accept.read()?.into_iter();
            requirements
                .map(|requirement| KnownRequirement { requirement, origins: Vec::new() })
                .collect()
        }
    };
    if requirements.is_empty() {
        return Err(Failure::usage("no requirement is given")
            .with_remedy("--consumer NAME, or --accept TYPE=REQUIREMENT")
            .into());
    }
    let negotiated = negotiate(&args.server, &requirements).await?;
    let paint = Paint::stdout();
    let mut out = io::stdout().lock();
    for (known, version) in requirements.iter().zip(&negotiated) {
        match args.output {
            Output::Json => writeln!(out, "{}", json::line("NegotiatedVersion", version)?)?,
            Output::Text => out.write_all(describe(known, version, paint).as_bytes())?,
        }
    }
    out.flush()?;
    let missing: Vec<String> = requirements
        .iter()
        .zip(&negotiated)
        .filter(|(_, version)| version.schema.is_none())
        .map(|(KnownRequirement { requirement, .. }, _)| {
            let VersionRequirement { subject, requirement } = requirement;
            format!("{} in {}", printable(subject), printable(requirement))
        })
        .collect();
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(Failure::new(format!("nothing satisfies {}", missing.join(", ")))
            .exit_with(INCOMPATIBLE)
            .with_remedy("the suggestion after \"instead\", or wait until it is registered")
            .into()),
    }
}

/// The recorded requirements of a consumer, each once.
async fn recorded_requirements(
    server: &ServerArgs,
    name: &str,
) -> anyhow::Result<Vec<KnownRequirement>> {
    let mut requirements: Vec<KnownRequirement> = Vec::new();
    for consumer in list_consumers(server, name, "").await? {
        let origin = origin_label(&consumer);
        let requirement =
            VersionRequirement { subject: consumer.subject, requirement: consumer.requirement };
        match requirements.iter_mut().find(|known| known.requirement == requirement) {
            Some(known) => known.origins.push(origin),
            None => requirements.push(KnownRequirement { requirement, origins: vec![origin] }),
        }
    }
    if requirements.is_empty() {
        return Err(not_found(name).into());
    }
    Ok(requirements)
}

/// Negotiates the requirements, in their order. A request takes a subject once, and a consumer may
/// need two versions of it.
async fn negotiate(
    server: &ServerArgs,
    requirements: &[KnownRequirement],
) -> anyhow::Result<Vec<NegotiatedVersion>> {
    let mut client = server.registry().await?;
    let mut negotiated: BTreeMap<usize, NegotiatedVersion> = BTreeMap::new();
    while negotiated.len() < requirements.len() {
        let mut round: Vec<(usize, &VersionRequirement)> = Vec::new();
        for (index, KnownRequirement { requirement, .. }) in requirements.iter().enumerate() {
            let is_in = round.iter().any(|(_, other)| other.subject == requirement.subject);
            if !negotiated.contains_key(&index) && !is_in && round.len() < ACCEPTED_MAX {
                round.push((index, requirement));
            }
        }
        let request = NegotiateVersionsRequest {
            requirements: round.iter().map(|(_, requirement)| (*requirement).clone()).collect(),
            ..NegotiateVersionsRequest::default()
        };
        let response = client.negotiate_versions(server.request(request)).await;
        let response = response.map_err(failed("negotiate versions".to_owned()))?.into_inner();
        if response.versions.len() != round.len() {
            return Err(Failure::new("the server did not return one version per requirement")
                .with_remedy("use a server of this version")
                .into());
        }
        negotiated.extend(round.iter().map(|(index, _)| *index).zip(response.versions));
    }
    Ok(negotiated.into_values().collect())
}

fn describe(known: &KnownRequirement, negotiated: &NegotiatedVersion, paint: Paint) -> String {
    let KnownRequirement { requirement, origins } = known;
    let mut text = format!("{} {}", requirement.subject, requirement.requirement);
    if !origins.is_empty() {
        let _ = write!(text, " ({})", origins.join("; "));
    }
    let mut text = printable(&text);
    let line = |text: &mut String, name: &str, value: &str| {
        let _ = writeln!(text, "  {} {name}: {}", paint.blue("="), printable(value));
    };
    match &negotiated.schema {
        Some(schema) => {
            let _ = writeln!(
                text,
                ": {}",
                paint.green(&format!("delivered in {}", printable(&schema.version)))
            );
            if schema.state() == VersionState::Deprecated {
                let note = match schema.deprecation.as_str() {
                    "" => "deprecated, and no active version satisfies it",
                    note => note,
                };
                line(&mut text, "deprecated", note);
            }
            let others = negotiated.convertible_versions.iter();
            let others = others.filter(|version| **version != schema.version);
            let others: Vec<&str> = others.map(String::as_str).collect();
            if !others.is_empty() {
                line(&mut text, "converted from", &others.join(", "));
            }
        }
        None => {
            let _ = writeln!(text, ": {}", paint.red("nothing satisfies it"));
            let (name, value) = match negotiated.alternatives.as_slice() {
                [] if negotiated.refused_versions.is_empty() => {
                    ("because", "nothing is registered by that name".to_owned())
                }
                [] => ("because", "every version is retired".to_owned()),
                alternatives => ("instead", alternatives.join(", ")),
            };
            line(&mut text, name, &value);
        }
    }
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (version, reason) in &negotiated.refused_versions {
        refused.entry(reason).or_default().push(version);
    }
    for (reason, mut versions) in refused {
        versions.sort_by_key(|version| version::parse(version).ok());
        line(&mut text, "refused", &format!("{}: {reason}", versions.join(", ")));
    }
    text
}

//! `tidings schema update`, `delete`, `deprecate`, `retire` and `activate`: changes to registered
//! schemas.

use std::io::{self, Write};

use clap::Args;
use prost_types::FieldMask;
use tidings::notation::show_time;
use tidings_registry::proto::v1::{
    DeleteSubjectRequest, GetSubjectRequest, SetVersionStateRequest, Subject, UpdateSubjectRequest,
    VersionState,
};
use tonic::Status;

use super::{
    super::{
        client::ServerArgs, failure::Failure, positions::parse_pair, printer::printable,
        topic::confirm,
    },
    enums::{
        self, CompatibilityArg, ContentModelArg, SurfaceArg, compatibility_number,
        content_model_number, surface_number,
    },
    force::ForceArgs,
    get::{ShowArgs, describe, failed, lines},
    json, refusal,
    report::{CONSUMERS_REMEDY, INCOMPATIBLE},
};

/// Change the compatibility, owner, description and labels of a subject; other settings stay.
///
/// A stricter compatibility applies from the next version on: existing versions are not compared
/// again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings schema update shop.OrderPlaced --owner checkout --description 'An order was placed'
  tidings schema update shop.OrderPlaced --compatibility backward
  tidings schema update shop.OrderPlaced --label tier=1 --remove-label beta")]
pub struct UpdateArgs {
    /// The subject
    subject: String,
    /// Compatibility of new versions
    #[arg(long, value_enum, value_name = "LEVEL")]
    compatibility: Option<CompatibilityArg>,
    /// JSON Schema: how undeclared properties of an open object are treated
    #[arg(long, value_enum)]
    content_model: Option<ContentModelArg>,
    /// Protobuf: the encodings that are part of the contract
    #[arg(long, value_enum)]
    surface: Option<SurfaceArg>,
    /// Owner of the subject
    #[arg(long)]
    owner: Option<String>,
    /// Description of the subject
    #[arg(long)]
    description: Option<String>,
    /// A label; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// Remove a label; repeatable
    #[arg(long, value_name = "NAME")]
    remove_label: Vec<String>,
    /// Only if the subject still has this etag
    #[arg(long)]
    etag: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
}

/// Delete a subject with all its versions.
///
/// Its ids and versions are never used again: if it is registered again, the subject continues with
/// the next major version. Rejected while another subject refers to it, and while a consumer needs
/// it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  tidings schema delete shop.Prototype --yes")]
pub struct DeleteArgs {
    /// The subject
    subject: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Only if the subject still has this etag
    #[arg(long)]
    etag: Option<String>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Mark a version as deprecated, with its replacement.
///
/// It is still served; publishers and subscribers that use it are notified.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  tidings schema deprecate shop.OrderPlaced 1.2.0 --because 'the total has no currency: use 1.3.0'")]
pub struct DeprecateArgs {
    /// Why, and the replacement
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
    #[command(flatten)]
    state: StateArgs,
}

/// The end of `retire --help`.
pub const RETIRE_EXAMPLE: &str = "\
Refused while a consumer would be left without a version, or with one that it cannot read.

Exit codes: 0 done, 100 consumers would be left behind, 1 error, 2 usage.

Examples:
  tidings schema retire shop.OrderPlaced 1.0.0
  tidings schema retire shop.OrderPlaced 1.0.0 --force --reason 'billing is switched off on Friday'";

/// The end of `activate --help`.
pub const ACTIVATE_EXAMPLE: &str = "\
Example:
  tidings schema activate shop.OrderPlaced 1.0.0";

/// A version of a subject.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// The subject
    subject: String,
    /// The version, such as 1.2.0
    version: String,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    show: ShowArgs,
}

async fn fetch(server: &ServerArgs, name: &str) -> anyhow::Result<Subject> {
    let request = server.request(GetSubjectRequest { name: name.to_owned() });
    let response = server.registry().await?.get_subject(request).await;
    let response = response.map_err(failed(format!("get subject {name}")))?.into_inner();
    Ok(response.subject.unwrap_or_default())
}

/// Runs `update`.
pub async fn update(args: UpdateArgs) -> anyhow::Result<()> {
    let server = &args.show.server;
    // Unspecified settings stay: the subject is read, changed, and written back only if it has not
    // changed in between.
    let mut subject = fetch(server, &args.subject).await?;
    let mut paths = args.apply(&mut subject);
    paths.sort_unstable();
    paths.dedup();
    if paths.is_empty() {
        return Err(Failure::usage("nothing to change")
            .with_remedy("a flag such as --owner checkout; tidings schema update --help lists them")
            .into());
    }
    let paths = paths.into_iter().map(str::to_owned).collect();
    let request = server.request(UpdateSubjectRequest {
        subject: Some(subject),
        update_mask: Some(FieldMask { paths }),
    });
    let response = server.registry().await?.update_subject(request).await;
    let response = response.map_err(failed(format!("update subject {}", args.subject)))?;
    let subject = response.into_inner().subject.unwrap_or_default();
    let mut out = io::stdout().lock();
    if args.show.json() {
        writeln!(out, "{}", json::line("Subject", &subject)?)?;
    } else {
        write!(out, "{}", describe_subject(&subject))?;
    }
    Ok(out.flush()?)
}

impl UpdateArgs {
    /// Applies the flags to the subject, and returns the paths of the changed fields.
    fn apply(&self, subject: &mut Subject) -> Vec<&'static str> {
        let mut changed = Vec::new();
        if self.compatibility.is_some() {
            subject.compatibility = compatibility_number(self.compatibility);
            changed.push("compatibility");
        }
        if self.content_model.is_some() {
            subject.content_model = content_model_number(self.content_model);
            changed.push("content_model");
        }
        if self.surface.is_some() {
            subject.surface = surface_number(self.surface);
            changed.push("surface");
        }
        if let Some(owner) = &self.owner {
            subject.owner.clone_from(owner);
            changed.push("owner");
        }
        if let Some(description) = &self.description {
            subject.description.clone_from(description);
            changed.push("description");
        }
        for name in &self.remove_label {
            subject.labels.remove(name);
            changed.push("labels");
        }
        for (name, value) in &self.labels {
            subject.labels.insert(name.clone(), value.clone());
            changed.push("labels");
        }
        if let Some(etag) = &self.etag {
            subject.etag.clone_from(etag);
        }
        changed
    }
}

fn describe_subject(subject: &Subject) -> String {
    let pairs: Vec<_> =
        subject.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines([
        ("subject", subject.name.clone()),
        ("description", subject.description.clone()),
        ("owner", subject.owner.clone()),
        ("format", enums::format(subject.format())),
        ("compatibility", enums::compatibility(subject.compatibility())),
        ("content model", enums::content_model(subject.content_model())),
        ("surface", enums::surface(subject.surface())),
        ("latest", subject.latest_version.clone()),
        ("versions", subject.versions.join(", ")),
        ("labels", pairs.join(", ")),
        ("created", show_time(subject.create_time.as_ref())),
        ("etag", subject.etag.clone()),
    ])
}

/// Runs `delete`.
pub async fn delete(args: DeleteArgs) -> anyhow::Result<()> {
    if !args.yes {
        let subject = fetch(&args.server, &args.subject).await?;
        let versions = match subject.versions.len() {
            1 => "1 version".to_owned(),
            versions => format!("{versions} versions"),
        };
        confirm(&format!("delete subject {} with {versions}?", args.subject))?;
    }
    let request = args.server.request(DeleteSubjectRequest {
        name: args.subject.clone(),
        etag: args.etag.clone().unwrap_or_default(),
        force: args.force.force,
        force_reason: args.force.reason(),
    });
    let response = args.server.registry().await?.delete_subject(request).await;
    response.map_err(refused(format!("delete subject {}", args.subject)))?;
    writeln!(io::stderr(), "deleted {}", printable(&args.subject))?;
    Ok(())
}

/// Runs `deprecate`.
pub async fn deprecate(args: DeprecateArgs) -> anyhow::Result<()> {
    let because = args.because.unwrap_or_default();
    set_state("deprecate", args.state, VersionState::Deprecated, because).await
}

/// Runs `retire`.
pub async fn retire(args: StateArgs) -> anyhow::Result<()> {
    set_state("retire", args, VersionState::Retired, String::new()).await
}

/// Runs `activate`.
pub async fn activate(args: StateArgs) -> anyhow::Result<()> {
    set_state("activate", args, VersionState::Active, String::new()).await
}

/// As [`failed`], with exit code 100 if consumers would be left behind.
fn refused(operation: String) -> impl Fn(Status) -> Failure {
    move |status| {
        let failure = failed(operation.clone())(status.clone());
        match refusal::reason(&status).as_str() {
            "CONSUMERS_LEFT_BEHIND" => {
                failure.exit_with(INCOMPATIBLE).with_remedy(CONSUMERS_REMEDY)
            }
            _ => failure,
        }
    }
}

async fn set_state(
    operation: &str,
    args: StateArgs,
    state: VersionState,
    deprecation: String,
) -> anyhow::Result<()> {
    let server = &args.show.server;
    let request = server.request(SetVersionStateRequest {
        subject: args.subject.clone(),
        version: args.version.clone(),
        state: state.into(),
        deprecation,
        force: args.force.force,
        force_reason: args.force.reason(),
    });
    let response = server.registry().await?.set_version_state(request).await;
    let operation = format!("{operation} {} {}", args.subject, args.version);
    let schema = response.map_err(refused(operation))?.into_inner().schema.unwrap_or_default();
    let mut out = io::stdout().lock();
    if args.show.json() {
        writeln!(out, "{}", json::line("Schema", &schema)?)?;
    } else {
        write!(out, "{}", describe(&schema))?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: UpdateArgs,
    }

    #[test]
    fn only_specified_settings_change() {
        let line = ["x", "shop.A", "--owner", "me", "--label", "b=2", "--remove-label", "a"];
        let args = Line::parse_from(line).args;
        let mut subject = Subject { description: "kept".to_owned(), ..Subject::default() };
        subject.labels.insert("a".to_owned(), "1".to_owned());
        assert_eq!(args.apply(&mut subject), ["owner", "labels", "labels"]);
        assert_eq!((subject.owner.as_str(), subject.description.as_str()), ("me", "kept"));
        assert_eq!(
            subject.labels.into_iter().collect::<Vec<_>>(),
            [("b".to_owned(), "2".to_owned())]
        );
    }
}

//! `tidings schema`: what a change of a schema would break, asked before it does; and the registry's versions.

mod can_i_use;
mod check;
mod diff;
mod force;
pub(super) mod get;
mod imports;
pub(super) mod json;
mod machine;
mod manifest;
mod plan;
mod refusal;
pub(super) mod report;
mod settings;
mod snippet;
pub(super) mod source;
mod subject;
mod validate;
mod verify;
mod watch;
mod words;
pub(super) mod yaml;

use clap::Subcommand;

/// Keep the schemas of events, and learn what a change would break before it does.
///
/// A schema says what the payload of an event looks like. The registry keeps every version of it under a subject, which for
/// events is the event's type. A new version is compared with those that are there, and what would break readers or replays
/// is refused, with the place, the reason and what to do instead.
///
/// Nothing is needed to begin with: `tidings schema diff` compares two files.
#[derive(Debug, Subcommand)]
#[command(after_help = LEVELS)]
pub enum SchemaCommand {
    // What they do stands with their arguments.
    Diff(diff::DiffArgs),
    Check(check::CheckArgs),
    Register(check::RegisterArgs),
    #[command(name = "can-i-use")]
    CanIUse(can_i_use::CanIUseArgs),
    Plan(plan::PlanArgs),
    Apply(plan::ApplyArgs),
    Get(get::GetArgs),
    List(get::ListArgs),
    Versions(get::VersionsArgs),
    Deprecate(subject::DeprecateArgs),
    /// Take a version out of use; events that it wrote stay readable by its id.
    #[command(after_help = subject::RETIRE_EXAMPLE)]
    Retire(subject::StateArgs),
    /// Take a version into use again.
    #[command(after_help = subject::ACTIVATE_EXAMPLE)]
    Activate(subject::StateArgs),
    Validate(validate::ValidateArgs),
    Verify(verify::VerifyArgs),
    Update(subject::UpdateArgs),
    Delete(subject::DeleteArgs),
    Watch(watch::WatchArgs),
}

/// What somebody has to know who has never seen a registry.
const LEVELS: &str = "\
Versions mean something:
  PATCH  1.4.0 -> 1.4.1  nobody can notice: documentation, types that no event has in it
  MINOR  1.4.1 -> 1.5.0  what is promised still holds: everybody goes on as before
  MAJOR  1.5.0 -> 2.0.0  somebody would break: it has to be asked for, with --version 2.0.0

What is promised of a subject, its compatibility:
  backward   new code reads old events: replays work. Deploy readers first
  forward    running code reads new events: nobody has to deploy with you. Deploy writers first
  full       both: deploy in any order
  none       nothing
  With -transitive it holds with every version of the major line, without with the newest one only.
  The default is full-transitive: whoever understands ^1.2 understands every 1.x from there on.

Examples:
  tidings schema diff old.proto new.proto
  tidings schema check shop.OrderPlaced order_placed.proto
  tidings schema register shop.OrderPlaced order_placed.proto
  tidings schema plan schemas/ && tidings schema apply schemas/

The registry runs inside tidings serve. One that runs by itself is named with --server, such as
--server http://127.0.0.1:7173.";

/// Runs the command.
pub fn run(command: SchemaCommand) -> anyhow::Result<()> {
    use super::block_on;
    match command {
        SchemaCommand::Diff(args) => diff::run(args),
        SchemaCommand::Check(args) => block_on(check::check(args)),
        SchemaCommand::Register(args) => block_on(check::register(args)),
        SchemaCommand::CanIUse(args) => block_on(can_i_use::run(args)),
        SchemaCommand::Plan(args) => block_on(plan::plan(args)),
        SchemaCommand::Apply(args) => block_on(plan::apply(args)),
        SchemaCommand::Get(args) => block_on(get::get(args)),
        SchemaCommand::List(args) => block_on(get::list(args)),
        SchemaCommand::Versions(args) => block_on(get::versions(args)),
        SchemaCommand::Deprecate(args) => block_on(subject::deprecate(args)),
        SchemaCommand::Retire(args) => block_on(subject::retire(args)),
        SchemaCommand::Activate(args) => block_on(subject::activate(args)),
        SchemaCommand::Validate(args) => block_on(validate::run(args)),
        SchemaCommand::Verify(args) => block_on(verify::run(args)),
        SchemaCommand::Update(args) => block_on(subject::update(args)),
        SchemaCommand::Delete(args) => block_on(subject::delete(args)),
        SchemaCommand::Watch(args) => block_on(watch::run(args)),
    }
}

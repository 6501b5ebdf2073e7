//! `tidings schema`: the effect of a schema change before it is made, and the registry's versions.

mod can_i_use;
mod check;
mod ci;
mod diff;
mod enums;
mod force;
pub(super) mod get;
mod imports;
pub(super) mod json;
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
pub(super) mod yaml;

use clap::Subcommand;

/// Manage the schemas of events, and find out what a change would break before it does.
///
/// A schema describes the payload of an event. The registry keeps every version of it under a
/// subject; for events this is the event type. A new version is compared with the existing ones. A
/// change that would break readers or replays is rejected, with its location, the reason and a
/// suggestion.
///
/// `tidings schema diff` compares two files and needs no server.
#[derive(Debug, Subcommand)]
#[command(after_help = LEVELS)]
pub enum SchemaCommand {
    // Their help texts are on their argument types.
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
    /// Retire a version; events that were written with it stay readable by its id.
    #[command(after_help = subject::RETIRE_EXAMPLE)]
    Retire(subject::StateArgs),
    /// Activate a version again.
    #[command(after_help = subject::ACTIVATE_EXAMPLE)]
    Activate(subject::StateArgs),
    Validate(validate::ValidateArgs),
    Verify(verify::VerifyArgs),
    Update(subject::UpdateArgs),
    Delete(subject::DeleteArgs),
    Watch(watch::WatchArgs),
}

/// An introduction for readers without experience with schema registries.
const LEVELS: &str = "\
Meaning of versions:
  PATCH  1.4.0 -> 1.4.1  no effect on data: documentation, types that no event contains
  MINOR  1.4.1 -> 1.5.0  compatible: readers and writers continue unchanged
  MAJOR  1.5.0 -> 2.0.0  breaking: it must be requested, with --version 2.0.0

Compatibility, a setting of each subject:
  backward   new code reads old events: replays work. Deploy readers first
  forward    running code reads new events: readers need no deployment. Deploy writers first
  full       both: deploy in any order
  none       no guarantee
  With -transitive it applies to every version of the major line, otherwise to the newest only.
  The default is full-transitive: a reader that accepts ^1.2 can read every 1.x from 1.2 on.

Examples:
  tidings schema diff old.proto new.proto
  tidings schema check shop.OrderPlaced order_placed.proto
  tidings schema register shop.OrderPlaced order_placed.proto
  tidings schema plan schemas/ && tidings schema apply schemas/

The registry runs inside tidings serve. For a standalone registry, give its address, such as
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

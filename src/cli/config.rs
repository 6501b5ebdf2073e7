//! `tidings config`.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::{Args, Subcommand};
use tidings::json::Object;

use super::{printer::table, serve::SettingArgs};

/// Show the server's configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting with its value and origin
    Show(ShowArgs),
}

/// Show the settings that `tidings serve` would use with the same flags.
#[derive(Debug, Args)]
#[command(after_help = "\
A table on a terminal, JSON lines in a pipe.

Examples:
  tidings config show
  tidings config show --config tidings.toml | jq 'select(.origin != \"default\")'")]
pub struct ShowArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Runs the command.
pub fn run(command: ConfigCommand) -> anyhow::Result<()> {
    let ConfigCommand::Show(args) = command;
    let resolved = args.settings.resolve()?;
    let mut out = BufWriter::new(io::stdout().lock());
    if io::stdout().is_terminal() {
        let rows = resolved.entries().map(|(setting, value, origin)| {
            [setting.name.to_owned(), value, origin.to_string(), setting.doc.to_owned()]
        });
        writeln!(out, "{}", table(["SETTING", "VALUE", "ORIGIN", "DESCRIPTION"], rows))?;
    } else {
        for (setting, value, origin) in resolved.entries() {
            let mut line = Object::new();
            line.text("name", setting.name);
            line.text("value", &value);
            line.text("origin", &origin.to_string());
            line.text("variable", &setting.variable());
            line.text("description", setting.doc);
            writeln!(out, "{}", line.finish())?;
        }
    }
    out.flush()?;
    Ok(())
}

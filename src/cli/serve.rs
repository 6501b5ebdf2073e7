//! `tidings serve`, and the flags of its settings, which `tidings config show` has too.

use std::{fs, io, io::Read};

use clap::{Arg, ArgMatches, Args, FromArgMatches};
use tidings::{
    config::{self, Config, Resolved, SETTINGS, Sources},
    server, telemetry,
};

use super::failure::Failure;

/// Run the server.
#[derive(Debug, Args)]
#[command(after_help = "\
Every setting is a flag, a variable (--data-dir is TIDINGS_DATA_DIR) and a key of a TOML file (data-dir = \"...\").
Flags win over variables, variables over the file. `tidings config show` shows each value and its origin.

Examples:
  tidings serve
  tidings serve --data-dir /var/lib/tidings --listen 0.0.0.0:7171
  tidings serve --config tidings.toml --log-format json")]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Runs the server until it is stopped.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = args.settings.resolve()?.config;
    telemetry::init_log(&config.log_filter, config.log_format)?;
    server::run(config).map_err(|error| {
        let exit_code = error.exit_code();
        Failure::new(chain(&error)).exit_with(exit_code).with_remedy(remedy(exit_code)).into()
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let link = error.to_string();
        // The message of a transparent error is that of its source.
        if !text.contains(&link) {
            text = format!("{text}: {link}");
        }
        cause = error.source();
    }
    text
}

fn remedy(exit_code: u8) -> &'static str {
    match exit_code {
        3 | 4 => "keep a copy of the data directory as it is, then restore the newest backup",
        5 => "run a version of tidings at least as new as the one that wrote the data directory",
        6 => "stop the other server, or give this one another --data-dir",
        7 => "check the disk, its space and its permissions; then start again",
        _ => {
            "use another --listen or --admin-listen if the address is in use; \
             see tidings config show"
        }
    }
}

/// The flags of [`SETTINGS`], generated from the table.
#[derive(Debug, Clone, Default)]
pub struct SettingArgs {
    file: Option<String>,
    flags: Vec<(String, String)>,
}

const CONFIG: &str = "config";

impl Args for SettingArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file =
            Arg::new(CONFIG).long(CONFIG).value_name("FILE").env("TIDINGS_CONFIG").help(format!(
                "TOML file with settings, or - for standard input; default: {} \
                 in your configuration folder, if it exists",
                config::default_file_name().display()
            ));
        let defaults = Config::default();
        SETTINGS.iter().fold(command.arg(file), |command, setting| {
            let range = setting.range().map(|range| format!("; {range}")).unwrap_or_default();
            let mut arg = Arg::new(setting.name)
                .long(setting.name)
                .value_name(setting.unit())
                // Scripts append their flags to those of a wrapper: the last one wins.
                .overrides_with(setting.name)
                .help(format!("{} [default: {}{range}]", setting.doc, setting.show(&defaults)));
            if setting.is_switch() {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<String>(CONFIG).cloned();
        self.flags = SETTINGS
            .iter()
            .filter_map(|setting| {
                let value = matches.get_one::<String>(setting.name)?;
                Some((setting.name.to_owned(), value.clone()))
            })
            .collect();
        Ok(())
    }
}

impl SettingArgs {
    /// Resolves the settings from the command line, the environment and the configuration file.
    pub fn resolve(self) -> anyhow::Result<Resolved> {
        let sources = Sources { file: self.read_file()?, flags: self.flags, ..Sources::default() };
        Ok(config::resolve(&sources.with_environment())?)
    }

    fn read_file(&self) -> anyhow::Result<Option<(String, String)>> {
        let unreadable = |name: &str, error: io::Error| {
            Failure::usage(format!("configuration file {name}: {error}"))
                .with_remedy("--config with a readable file, or - for standard input")
        };
        let name = match &self.file {
            Some(name) if name == "-" => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).map_err(|error| unreadable(name, error))?;
                return Ok(Some(("-".to_owned(), text)));
            }
            Some(name) => name.clone(),
            None => match config::default_file() {
                Some(path) => path.to_string_lossy().into_owned(),
                None => return Ok(None),
            },
        };
        let text = fs::read_to_string(&name).map_err(|error| unreadable(&name, error))?;
        Ok(Some((name, text)))
    }
}

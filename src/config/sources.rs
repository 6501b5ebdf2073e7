//! Where a configuration comes from: defaults, a file, variables and flags, put over each other with all faults told
//! at once.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use super::{Config, ENV_PREFIX, OTHER_VARIABLES, SETTINGS, Setting};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file of this name.
    File(String),
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Everything that somebody said about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Name and text of a TOML file.
    pub file: Option<(String, String)>,
    /// Variables; those without our prefix are ignored.
    pub variables: Vec<(String, String)>,
    /// Flags, without the dashes.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The environment of this process.
    pub fn with_environment(mut self) -> Self {
        self.variables = env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        self.variables.sort();
        self
    }
}

/// A configuration that remembers where its values came from.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    /// One per row of [`SETTINGS`].
    origins: Vec<Origin>,
}

impl Resolved {
    /// Every setting with its value and origin.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Setting, String, &Origin)> {
        SETTINGS
            .iter()
            .zip(&self.origins)
            .map(|(setting, origin)| (setting, setting.show(&self.config), origin))
    }
}

/// Something in the configuration that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting, or what was written in its place.
    pub field: String,
    /// The value given, where there was one.
    pub value: Option<String>,
    /// Who said so.
    pub origin: Origin,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        write!(f, " ({}): {}", self.origin, self.message)
    }
}

/// All that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

/// Puts the sources over the defaults.
///
/// # Errors
/// All faults of all sources: names that do not exist, values that are malformed or out of bounds, values that do
/// not go together.
pub fn resolve(sources: &Sources) -> Result<Resolved, Faults> {
    let mut draft = Draft {
        config: Config::default(),
        origins: vec![Origin::Default; SETTINGS.len()],
        faults: Vec::new(),
    };
    if let Some((name, text)) = &sources.file {
        draft.read_file(name, text);
    }
    for (name, value) in &sources.variables {
        draft.read_variable(name, value);
    }
    for (name, value) in &sources.flags {
        draft.put(name, value, Origin::Flag(name.clone()));
    }
    // What does not go together is only worth saying about values that are fine by themselves.
    if draft.faults.is_empty() {
        draft.check_together();
    }
    if draft.faults.is_empty() {
        Ok(Resolved { config: draft.config, origins: draft.origins })
    } else {
        Err(Faults(draft.faults))
    }
}

/// A configuration while it is being put together.
struct Draft {
    config: Config,
    origins: Vec<Origin>,
    faults: Vec<Fault>,
}

impl Draft {
    fn read_file(&mut self, name: &str, text: &str) {
        let origin = Origin::File(name.to_owned());
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| {
                    1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
                });
                self.faults.push(Fault {
                    field: format!("line {line}"),
                    value: None,
                    origin,
                    message: format!("no TOML: {}", error.message()),
                });
                return;
            }
        };
        for (key, value) in table {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(switch) => switch.to_string(),
                toml::Value::Array(items) if items.iter().all(toml::Value::is_str) => {
                    let items: Vec<_> = items.iter().filter_map(toml::Value::as_str).collect();
                    items.join(",")
                }
                other => {
                    self.faults.push(Fault {
                        field: key,
                        value: None,
                        origin: origin.clone(),
                        message: format!(
                            "expected a string, a number or true or false, found {}",
                            other.type_str()
                        ),
                    });
                    continue;
                }
            };
            self.put(&key, &text, origin.clone());
        }
    }

    fn read_variable(&mut self, name: &str, value: &str) {
        if !name.starts_with(ENV_PREFIX) || OTHER_VARIABLES.contains(&name) {
            return;
        }
        let origin = Origin::Variable(name.to_owned());
        match SETTINGS.iter().position(|setting| setting.variable() == name) {
            Some(index) => self.put_at(index, value, origin),
            None => {
                let known = SETTINGS
                    .iter()
                    .map(Setting::variable)
                    .chain(OTHER_VARIABLES.iter().map(|name| (*name).to_owned()));
                self.faults.push(unknown(name, value, origin, known));
            }
        }
    }

    fn put(&mut self, name: &str, value: &str, origin: Origin) {
        match SETTINGS.iter().position(|setting| setting.name == name) {
            Some(index) => self.put_at(index, value, origin),
            None => {
                let known = SETTINGS.iter().map(|setting| setting.name.to_owned());
                self.faults.push(unknown(name, value, origin, known));
            }
        }
    }

    fn put_at(&mut self, index: usize, value: &str, origin: Origin) {
        match SETTINGS[index].set(&mut self.config, value) {
            Ok(()) => self.origins[index] = origin,
            Err(message) => self.faults.push(Fault {
                field: SETTINGS[index].name.to_owned(),
                value: Some(value.to_owned()),
                origin,
                message,
            }),
        }
    }

    fn check_together(&mut self) {
        let Config { max_event_bytes, max_batch_bytes, in_flight_bytes, .. } = self.config;
        if max_event_bytes > max_batch_bytes {
            self.fault_between("max-batch-bytes", "max-event-bytes", "an event would fit no batch");
        }
        if max_batch_bytes > in_flight_bytes {
            self.fault_between("in-flight-bytes", "max-batch-bytes", "a batch would wait for ever");
        }
        if self.config.admin_listen == Some(self.config.listen) && self.config.listen.port() != 0 {
            self.fault(
                "admin-listen",
                "is the address that serves gRPC; take another or \"off\"".to_owned(),
            );
        }
    }

    fn fault_between(&mut self, small: &str, large: &str, because: &str) {
        let limit = SETTINGS
            .iter()
            .find(|setting| setting.name == large)
            .map(|setting| setting.show(&self.config))
            .unwrap_or_default();
        self.fault(small, format!("must be at least {large}, which is {limit}: {because}"));
    }

    fn fault(&mut self, name: &str, message: String) {
        for (setting, origin) in SETTINGS.iter().zip(&self.origins) {
            if setting.name == name {
                self.faults.push(Fault {
                    field: name.to_owned(),
                    value: Some(setting.show(&self.config)),
                    origin: origin.clone(),
                    message: message.clone(),
                });
            }
        }
    }
}

fn unknown(name: &str, value: &str, origin: Origin, known: impl Iterator<Item = String>) -> Fault {
    let message = match nearest(name, known) {
        Some(nearest) => format!("no such setting; did you mean {nearest}?"),
        None => "no such setting; `tidings config show` lists them".to_owned(),
    };
    Fault { field: name.to_owned(), value: Some(value.to_owned()), origin, message }
}

/// The known name that is most like this one, if any is like it at all.
pub fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The file that is read when none is named: `tidings/config.toml` in the user's folder, where there is one.
pub fn default_file() -> Option<PathBuf> {
    dirs::config_dir()
        .map(|dir| dir.join("tidings").join("config.toml"))
        .filter(|path| path.is_file())
}

/// Where the default file would be looked for, for help texts.
pub fn default_file_name() -> &'static Path {
    Path::new("tidings/config.toml")
}

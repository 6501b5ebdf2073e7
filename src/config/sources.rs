//! Merges the sources of a configuration: defaults, a file, variables and flags. All faults are
//! reported together.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use super::{Config, ENV_PREFIX, OTHER_VARIABLES, SETTINGS, Setting};

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// The configuration file of this name.
    File(String),
    /// An environment variable.
    Variable(String),
    /// A command-line flag.
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

/// All sources of a configuration but the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Name and text of a TOML file.
    pub file: Option<(String, String)>,
    /// Environment variables. Those without the prefix are ignored.
    pub variables: Vec<(String, String)>,
    /// Flags, without the dashes.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// Adds the environment of this process.
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

/// A configuration with the source of each value.
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

/// A fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting, or the name used instead of one.
    pub field: String,
    /// The value, if there is one.
    pub value: Option<String>,
    /// The source of the fault.
    pub origin: Origin,
    /// The description of the fault.
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

/// All faults of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

/// Merges the sources over the defaults.
///
/// # Errors
/// Returns all faults of all sources: unknown names, values that are malformed or out of range, and
/// values that contradict each other.
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
        draft.set(name, value, Origin::Flag(name.clone()));
    }
    // Contradictions are only checked between valid values.
    if draft.faults.is_empty() {
        draft.check_combinations();
    }
    if draft.faults.is_empty() {
        Ok(Resolved { config: draft.config, origins: draft.origins })
    } else {
        Err(Faults(draft.faults))
    }
}

/// A configuration while its sources are merged.
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
                    message: format!("not TOML: {}", error.message()),
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
            self.set(&key, &text, origin.clone());
        }
    }

    fn read_variable(&mut self, name: &str, value: &str) {
        if !name.starts_with(ENV_PREFIX) || OTHER_VARIABLES.contains(&name) {
            return;
        }
        let origin = Origin::Variable(name.to_owned());
        match SETTINGS.iter().position(|setting| setting.variable() == name) {
            Some(index) => self.set_at(index, value, origin),
            None => {
                let known = SETTINGS
                    .iter()
                    .map(Setting::variable)
                    .chain(OTHER_VARIABLES.iter().map(|name| (*name).to_owned()));
                self.faults.push(unknown(name, value, origin, known));
            }
        }
    }

    fn set(&mut self, name: &str, value: &str, origin: Origin) {
        match SETTINGS.iter().position(|setting| setting.name == name) {
            Some(index) => self.set_at(index, value, origin),
            None => {
                let known = SETTINGS.iter().map(|setting| setting.name.to_owned());
                self.faults.push(unknown(name, value, origin, known));
            }
        }
    }

    fn set_at(&mut self, index: usize, value: &str, origin: Origin) {
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

    fn check_combinations(&mut self) {
        let Config { max_event_bytes, max_batch_bytes, in_flight_bytes, .. } = self.config;
        if max_event_bytes > max_batch_bytes {
            self.fault_between(
                "max-batch-bytes",
                "max-event-bytes",
                "otherwise the largest event would not fit into a batch",
            );
        }
        if max_batch_bytes > in_flight_bytes {
            self.fault_between(
                "in-flight-bytes",
                "max-batch-bytes",
                "otherwise the largest batch would wait forever",
            );
        }
        if self.config.admin_listen == Some(self.config.listen) && self.config.listen.port() != 0 {
            self.fault(
                "admin-listen",
                "is the address that serves gRPC; use another address or \"off\"".to_owned(),
            );
        }
    }

    fn fault_between(&mut self, lower: &str, higher: &str, reason: &str) {
        let limit = SETTINGS
            .iter()
            .find(|setting| setting.name == higher)
            .map(|setting| setting.show(&self.config))
            .unwrap_or_default();
        self.fault(lower, format!("must be at least {higher}, which is {limit}: {reason}"));
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

/// The known name most similar to this one, if one is similar enough.
pub fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The file that is read if none is specified: `tidings/config.toml` in the configuration directory
/// of the user, if it exists.
pub fn default_file() -> Option<PathBuf> {
    dirs::config_dir()
        .map(|dir| dir.join("tidings").join("config.toml"))
        .filter(|path| path.is_file())
}

/// The path of the default file, for help texts.
pub fn default_file_name() -> &'static Path {
    Path::new("tidings/config.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Sources {
        Sources { file: Some(("test.toml".to_owned(), text.to_owned())), ..Sources::default() }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn messages(sources: &Sources) -> Vec<String> {
        resolve(sources).unwrap_err().0.iter().map(Fault::to_string).collect()
    }

    fn origin_of(resolved: &Resolved, name: &str) -> Origin {
        resolved.entries().find(|(setting, ..)| setting.name == name).unwrap().2.clone()
    }

    #[test]
    fn defaults_pass_their_own_checks_and_can_be_set_again() {
        let defaults = resolve(&Sources::default()).unwrap();
        assert_eq!(defaults.config, Config::default());
        let flags = defaults
            .entries()
            .map(|(setting, value, _)| (setting.name.to_owned(), value))
            .collect();
        let again = resolve(&Sources { flags, ..Sources::default() }).unwrap();
        assert_eq!(again.config, defaults.config);
    }

    #[test]
    fn flags_win_over_variables_over_file_over_defaults() {
        let mut sources = file("tail-bytes = \"1MiB\"\nwal-bytes = \"2MiB\"\nmax-connections = 3");
        sources.variables = pairs(&[("TIDINGS_TAIL_BYTES", "4MiB"), ("TIDINGS_WAL_BYTES", "5MiB")]);
        sources.flags = pairs(&[("tail-bytes", "6MiB")]);
        let resolved = resolve(&sources).unwrap();
        assert_eq!(resolved.config.tail_bytes, 6 << 20);
        assert_eq!(resolved.config.wal_bytes, 5 << 20);
        assert_eq!(resolved.config.max_connections, 3);
        assert_eq!(origin_of(&resolved, "tail-bytes"), Origin::Flag("tail-bytes".to_owned()));
        assert_eq!(
            origin_of(&resolved, "wal-bytes"),
            Origin::Variable("TIDINGS_WAL_BYTES".to_owned())
        );
        assert_eq!(origin_of(&resolved, "max-connections"), Origin::File("test.toml".to_owned()));
        assert_eq!(origin_of(&resolved, "listen"), Origin::Default);
    }

    #[test]
    fn unknown_names_are_rejected_with_the_nearest() {
        let mut sources = file("data_dir = \"x\"\nnothing-like-it = 1");
        sources.variables = pairs(&[
            ("TIDINGS_LISTN", "127.0.0.1:1"),
            ("TIDINGS_SERVER", "http://elsewhere"),
            ("HOME", "/"),
        ]);
        assert_eq!(
            messages(&sources),
            [
                "data_dir = \"x\" (file test.toml): no such setting; did you mean data-dir?",
                "nothing-like-it = \"1\" (file test.toml): no such setting; `tidings config show` lists them",
                "TIDINGS_LISTN = \"127.0.0.1:1\" (variable TIDINGS_LISTN): no such setting; \
                 did you mean TIDINGS_LISTEN?",
            ]
        );
    }

    #[test]
    fn all_faults_are_reported_with_value_and_limit() {
        let mut sources =
            file("max-event-bytes = \"5MiB\"\nheartbeat-interval = \"2m\"\nlisten = [1]");
        sources.flags =
            pairs(&[("log-format", "xml"), ("worker-threads", "0"), ("listen", "here")]);
        assert_eq!(
            messages(&sources),
            [
                "heartbeat-interval = \"2m\" (file test.toml): must be at most 1m",
                "listen (file test.toml): expected a string, a number or true or false, found array",
                "max-event-bytes = \"5MiB\" (file test.toml): must be at most 3MiB",
                "log-format = \"xml\" (flag --log-format): expected text or json",
                "worker-threads = \"0\" (flag --worker-threads): must be at least 1",
                "listen = \"here\" (flag --listen): expected an IP address and a port, \
                 such as 127.0.0.1:7171",
            ]
        );
    }

    #[test]
    fn contradicting_values_are_rejected() {
        let sources = Sources {
            flags: pairs(&[("max-batch-bytes", "64KiB"), ("admin-listen", "127.0.0.1:7171")]),
            ..Sources::default()
        };
        assert_eq!(
            messages(&sources),
            [
                "max-batch-bytes = \"64KiB\" (flag --max-batch-bytes): must be at least \
                 max-event-bytes, which is 1MiB: otherwise the largest event would not fit into a batch",
                "admin-listen = \"127.0.0.1:7171\" (flag --admin-listen): is the address that \
                 serves gRPC; use another address or \"off\"",
            ]
        );
    }

    #[test]
    fn broken_toml_names_the_line() {
        let messages = messages(&file("listen = \"127.0.0.1:1\"\nwal-bytes = \n"));
        assert_eq!(messages.len(), 1);
        assert!(messages[0].starts_with("line 2 (file test.toml): not TOML: "), "{messages:?}");
    }

    #[test]
    fn a_list_may_be_a_toml_array() {
        let sources = file("cors-origins = [\"https://a.example\", \"http://b.example:8080\"]");
        let origins = resolve(&sources).unwrap().config.cors_origins;
        assert_eq!(origins.to_string(), "https://a.example,http://b.example:8080");
    }

    #[test]
    fn off_and_true_are_parsed() {
        let sources =
            file("admin-listen = \"off\"\nauto-create-topics = true\nreflection = \"off\"");
        let config = resolve(&sources).unwrap().config;
        assert_eq!(config.admin_listen, None);
        assert!(!config.reflection);
        assert!(config.auto_create_topics);
    }
}

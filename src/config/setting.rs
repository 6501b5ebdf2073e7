//! A setting: its name, help text and type, and how its values are parsed and shown.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use tracing_subscriber::EnvFilter;

use super::{
    Config, ENV_PREFIX, LogFormat, Origins, RegistrySource,
    units::{GIB, KIB, MIB, TIB},
};

/// A setting: a row of [`SETTINGS`](super::SETTINGS).
pub struct Setting {
    /// Key in the file and name of the flag. The variable is `TIDINGS_` and the name in upper case.
    pub name: &'static str,
    /// Its help text.
    pub doc: &'static str,
    pub(super) slot: Slot,
}

/// The field of a setting, with its type and range.
pub(super) enum Slot {
    Path(fn(&mut Config) -> &mut PathBuf),
    Address(fn(&mut Config) -> &mut SocketAddr),
    AddressOrOff(fn(&mut Config) -> &mut Option<SocketAddr>),
    Origins(fn(&mut Config) -> &mut Origins),
    Registry(fn(&mut Config) -> &mut RegistrySource),
    Switch(fn(&mut Config) -> &mut bool),
    OnOrOff(fn(&mut Config) -> &mut bool),
    Size(fn(&mut Config) -> &mut usize, RangeInclusive<u64>),
    Space(fn(&mut Config) -> &mut u64, RangeInclusive<u64>),
    Count(fn(&mut Config) -> &mut usize, RangeInclusive<u64>),
    SmallCount(fn(&mut Config) -> &mut u32, RangeInclusive<u64>),
    Time(fn(&mut Config) -> &mut Duration, RangeInclusive<Duration>),
    Filter(fn(&mut Config) -> &mut String),
    Format(fn(&mut Config) -> &mut LogFormat),
}

impl Setting {
    /// The name of its environment variable.
    pub fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.replace('-', "_").to_uppercase())
    }

    /// The form of its values, for help texts.
    pub fn unit(&self) -> &'static str {
        match self.slot {
            Slot::Path(_) => "DIR",
            Slot::Address(_) => "ADDR",
            Slot::AddressOrOff(_) => "ADDR|off",
            Slot::Origins(_) => "ORIGIN,...|*|off",
            Slot::Registry(_) => "embedded|URL|off",
            Slot::Switch(_) => "true|false",
            Slot::OnOrOff(_) => "on|off",
            Slot::Size(..) | Slot::Space(..) => "SIZE",
            Slot::Count(..) | Slot::SmallCount(..) => "N",
            Slot::Time(..) => "DURATION",
            Slot::Filter(_) => "FILTER",
            Slot::Format(_) => "text|json",
        }
    }

    /// Whether its flag may have no value.
    pub fn is_switch(&self) -> bool {
        matches!(self.slot, Slot::Switch(_))
    }

    /// The range of its values, if it has one.
    pub fn range(&self) -> Option<String> {
        match &self.slot {
            Slot::Size(_, range) | Slot::Space(_, range) => {
                Some(format!("{} to {}", show_size(*range.start()), show_size(*range.end())))
            }
            Slot::Count(_, range) | Slot::SmallCount(_, range) => {
                Some(format!("{} to {}", range.start(), range.end()))
            }
            Slot::Time(_, range) => {
                Some(format!("{} to {}", show_time(*range.start()), show_time(*range.end())))
            }
            Slot::Path(_)
            | Slot::Address(_)
            | Slot::AddressOrOff(_)
            | Slot::Origins(_)
            | Slot::Registry(_)
            | Slot::Switch(_)
            | Slot::OnOrOff(_)
            | Slot::Filter(_)
            | Slot::Format(_) => None,
        }
    }

    /// Its value in a configuration, in the form in which it can be set.
    pub fn show(&self, config: &Config) -> String {
        // The slots return mutable references. A copy at startup is cheap enough.
        let config = &mut config.clone();
        match &self.slot {
            Slot::Path(field) => field(config).display().to_string(),
            Slot::Address(field) => field(config).to_string(),
            Slot::AddressOrOff(field) => {
                field(config).map_or_else(|| "off".to_owned(), |address| address.to_string())
            }
            Slot::Origins(field) => field(config).to_string(),
            Slot::Registry(field) => match field(config) {
                RegistrySource::Embedded => "embedded".to_owned(),
                RegistrySource::Remote(address) => address.clone(),
                RegistrySource::Off => "off".to_owned(),
            },
            Slot::Switch(field) => field(config).to_string(),
            Slot::OnOrOff(field) => if *field(config) { "on" } else { "off" }.to_owned(),
            Slot::Size(field, _) => show_size(*field(config) as u64),
            Slot::Space(field, _) => show_size(*field(config)),
            Slot::Count(field, _) => field(config).to_string(),
            Slot::SmallCount(field, _) => field(config).to_string(),
            Slot::Time(field, _) => show_time(*field(config)),
            Slot::Filter(field) => field(config).clone(),
            Slot::Format(field) => match field(config) {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
        }
    }

    /// Parses a value and sets it.
    ///
    /// # Errors
    /// Returns a description of valid values.
    pub(super) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match &self.slot {
            Slot::Path(field) => {
                if text.is_empty() {
                    return Err("expected a directory".to_owned());
                }
                *field(config) = PathBuf::from(text);
            }
            Slot::Address(field) => *field(config) = parse_address(text)?,
            Slot::AddressOrOff(field) => {
                *field(config) = if text == "off" {
                    None
                } else {
                    Some(
                        parse_address(text)
                            .map_err(|expected| format!("{expected}, or \"off\""))?,
                    )
                };
            }
            Slot::Origins(field) => *field(config) = Origins::parse(text)?,
            Slot::Registry(field) => {
                *field(config) = match text {
                    "embedded" => RegistrySource::Embedded,
                    "off" => RegistrySource::Off,
                    _ if text.starts_with("http://") => RegistrySource::Remote(text.to_owned()),
                    _ => {
                        return Err(
                            "expected embedded, off, or an address such as http://127.0.0.1:7173"
                                .to_owned(),
                        );
                    }
                };
            }
            Slot::Switch(field) => {
                *field(config) = match text {
                    "true" => true,
                    "false" => false,
                    _ => return Err("expected true or false".to_owned()),
                };
            }
            Slot::OnOrOff(field) => {
                *field(config) = match text {
                    "on" => true,
                    "off" => false,
                    _ => return Err("expected on or off".to_owned()),
                };
            }
            Slot::Size(field, range) => {
                *field(config) = narrow(check_range(parse_size(text)?, range, show_size)?)?
            }
            Slot::Space(field, range) => {
                *field(config) = check_range(parse_size(text)?, range, show_size)?
            }
            Slot::Count(field, range) => {
                *field(config) =
                    narrow(check_range(parse_count(text)?, range, |n| n.to_string())?)?;
            }
            Slot::SmallCount(field, range) => {
                *field(config) =
                    narrow(check_range(parse_count(text)?, range, |n| n.to_string())?)?;
            }
            Slot::Time(field, range) => {
                let time = humantime::parse_duration(text)
                    .map_err(|_| "expected a duration such as 10s or 500ms".to_owned())?;
                *field(config) = check_range(time, range, show_time)?;
            }
            Slot::Filter(field) => {
                EnvFilter::builder()
                    .parse(text)
                    .map_err(|error| format!("not a log filter: {error}"))?;
                *field(config) = text.to_owned();
            }
            Slot::Format(field) => {
                *field(config) = match text {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err("expected text or json".to_owned()),
                };
            }
        }
        Ok(())
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:7171".to_owned())
}

fn parse_size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "expected a size such as 64MiB or a number of bytes".to_owned())
}

fn parse_count(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| "expected a whole number".to_owned())
}

fn check_range<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<T, String> {
    if value < *range.start() {
        Err(format!("must be at least {}", show(*range.start())))
    } else if value > *range.end() {
        Err(format!("must be at most {}", show(*range.end())))
    } else {
        Ok(value)
    }
}

fn narrow<T: TryFrom<u64>>(value: u64) -> Result<T, String> {
    T::try_from(value).map_err(|_| "exceeds the number range of this machine".to_owned())
}

/// The largest unit that represents the size exactly.
fn show_size(bytes: u64) -> String {
    for (unit, name) in [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

fn show_time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

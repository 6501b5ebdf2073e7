//! Whose pages may call from a browser.

use std::fmt;

use http::{HeaderValue, Uri};

/// Origins that browsers are told to let through (CORS).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// None: pages of other origins cannot read what is answered.
    #[default]
    Off,
    /// Every page there is.
    Any,
    /// These, as browsers write them.
    Listed(Vec<String>),
}

impl Origins {
    /// Reads `off` or nothing, `*`, or origins with commas between them.
    ///
    /// # Errors
    /// What it should have been.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" | "off" => return Ok(Self::Off),
            "*" => return Ok(Self::Any),
            _ => {}
        }
        let mut origins = Vec::new();
        for origin in text.split(',').map(str::trim) {
            check(origin)?;
            if !origins.iter().any(|known| known == origin) {
                origins.push(origin.to_owned());
            }
        }
        Ok(Self::Listed(origins))
    }

    /// Whether pages of this host may call, whatever their scheme and port.
    pub fn has_host(&self, host: &str) -> bool {
        match self {
            Self::Off => false,
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|origin| {
                let uri = origin.parse::<Uri>();
                uri.is_ok_and(|it| it.host().is_some_and(|it| it.eq_ignore_ascii_case(host)))
            }),
        }
    }

    /// The listed ones as the values of a header.
    pub fn headers(origins: &[String]) -> impl Iterator<Item = HeaderValue> {
        // All are visible ASCII: they were read.
        origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())
    }
}

/// Whether a browser would write an origin so; what it never writes would never match.
fn check(origin: &str) -> Result<(), String> {
    const EXAMPLE: &str = "such as https://app.example or http://localhost:5173";
    if origin.is_empty() {
        return Err(format!("has an empty entry: expected origins, {EXAMPLE}"));
    }
    if origin == "*" {
        return Err("has * beside others: * alone is every origin".to_owned());
    }
    if origin.contains('*') {
        return Err(format!("{origin:?} is a pattern: name every origin, or * for all"));
    }
    if origin != origin.to_lowercase() || !origin.is_ascii() {
        return Err(format!("{origin:?}: browsers send origins in lower-case ASCII letters"));
    }
    let Some((scheme, rest)) = origin.split_once("://") else {
        return Err(format!("{origin:?} has no scheme: expected an origin, {EXAMPLE}"));
    };
    if rest.contains(['/', '?', '#', '@']) {
        return Err(format!(
            "{origin:?} has more than scheme, host and port: expected an origin, {EXAMPLE}"
        ));
    }
    let uri: Uri = origin
        .parse()
        .map_err(|error| format!("{origin:?} is no origin ({error}): expected one {EXAMPLE}"))?;
    let default = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    if uri.port_u16().is_some() && uri.port_u16() == default {
        return Err(format!(
            "{origin:?}: browsers leave out the port that {scheme} has by default"
        ));
    }
    // What stands between brackets is an address of IPv6, and has colons of its own.
    let names_port = rest.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
    if uri.host().is_none_or(str::is_empty) || names_port && uri.port_u16().is_none() {
        return Err(format!(
            "{origin:?} has no host or no such port: expected an origin, {EXAMPLE}"
        ));
    }
    Ok(())
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Any => f.write_str("*"),
            Self::Listed(origins) => f.write_str(&origins.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_send_them() {
        assert_eq!(Origins::parse(""), Ok(Origins::Off));
        assert_eq!(Origins::parse("off"), Ok(Origins::Off));
        assert_eq!(Origins::parse("*"), Ok(Origins::Any));
        let listed = "https://a.example,http://localhost:5173,http://[::1]:80 ,https://a.example";
        let Err(why) = Origins::parse(listed) else { panic!("port 80 is never sent") };
        assert!(why.contains("leave out the port"), "{why}");
        let listed = Origins::parse("https://a.example, http://localhost:5173,https://a.example");
        assert_eq!(listed.unwrap().to_string(), "https://a.example,http://localhost:5173");
        assert!(Origins::parse("http://a.example:8080").unwrap().has_host("A.example"));
        assert!(!Origins::parse("http://a.example:8080").unwrap().has_host("b.example"));
        let extension = Origins::parse("chrome-extension://abcdef");
        assert_eq!(extension.unwrap().to_string(), "chrome-extension://abcdef");
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for (wrong, because) in [
            ("a.example", "no scheme"),
            ("https://a.example/", "more than scheme"),
            ("https://a.example/app", "more than scheme"),
            ("https://user@a.example", "more than scheme"),
            ("https://A.example", "lower-case"),
            ("https://*.example", "pattern"),
            ("https://a.example,*", "* beside others"),
            ("https://a.example,", "empty entry"),
            ("https://a.example:443", "leave out the port"),
            ("https://", "origin"),
            ("https://a b", "origin"),
            ("https://a.example:99999", "origin"),
        ] {
            let why = Origins::parse(wrong).unwrap_err();
            assert!(why.contains(because), "{wrong}: {why}");
        }
    }
}

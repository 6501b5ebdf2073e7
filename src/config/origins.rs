//! The origins whose pages may call from a browser.

use std::fmt;

use http::{HeaderValue, Uri};

/// Origins that are allowed by CORS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// None: pages of other origins cannot read responses.
    #[default]
    Off,
    /// Every origin.
    Any,
    /// These origins, in the form that browsers send.
    Listed(Vec<String>),
}

impl Origins {
    /// Parses `off`, an empty text, `*`, or origins separated by commas.
    ///
    /// # Errors
    /// Returns a description of the expected form.
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

    /// Whether an allowed origin has this host, with any scheme and port.
    pub fn has_host(&self, host: &str) -> bool {
        match self {
            Self::Off => false,
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|origin| {
                let uri = origin.parse::<Uri>();
                uri.is_ok_and(|uri| {
                    uri.host().is_some_and(|known| known.eq_ignore_ascii_case(host))
                })
            }),
        }
    }

    /// Listed origins as header values.
    pub fn headers(origins: &[String]) -> impl Iterator<Item = HeaderValue> {
        // All are visible ASCII: parsing checks it.
        origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())
    }
}

/// Checks that a browser would send an origin in this form. Another form would never match.
fn check(origin: &str) -> Result<(), String> {
    const EXAMPLE: &str = "such as https://app.example or http://localhost:5173";
    if origin.is_empty() {
        return Err(format!("has an empty entry: expected origins, {EXAMPLE}"));
    }
    if origin == "*" {
        return Err("has * next to other entries: * alone means every origin".to_owned());
    }
    if origin.contains('*') {
        return Err(format!("{origin:?} is a pattern: list every origin, or use * for all"));
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
    let uri: Uri = origin.parse().map_err(|error| {
        format!("{origin:?} is not an origin ({error}): expected one {EXAMPLE}")
    })?;
    let default = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    if uri.port_u16().is_some() && uri.port_u16() == default {
        return Err(format!("{origin:?}: browsers omit the default port of {scheme}"));
    }
    // An IPv6 address in brackets contains colons.
    let names_port = rest.rsplit(']').next().is_some_and(|after| after.contains(':'));
    if uri.host().is_none_or(str::is_empty) || names_port && uri.port_u16().is_none() {
        return Err(format!(
            "{origin:?} has no host or an invalid port: expected an origin, {EXAMPLE}"
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
    fn origins_are_parsed_as_browsers_send_them() {
        assert_eq!(Origins::parse(""), Ok(Origins::Off));
        assert_eq!(Origins::parse("off"), Ok(Origins::Off));
        assert_eq!(Origins::parse("*"), Ok(Origins::Any));
        let listed = "https://a.example,http://localhost:5173,http://[::1]:80 ,https://a.example";
        let Err(error) = Origins::parse(listed) else { panic!("port 80 is never sent") };
        assert!(error.contains("omit the default port"), "{error}");
        let listed = Origins::parse("https://a.example, http://localhost:5173,https://a.example");
        assert_eq!(listed.unwrap().to_string(), "https://a.example,http://localhost:5173");
        assert!(Origins::parse("http://a.example:8080").unwrap().has_host("A.example"));
        assert!(!Origins::parse("http://a.example:8080").unwrap().has_host("b.example"));
        let extension = Origins::parse("chrome-extension://abcdef");
        assert_eq!(extension.unwrap().to_string(), "chrome-extension://abcdef");
    }

    #[test]
    fn forms_that_no_browser_sends_are_rejected() {
        for (origin, expected) in [
            ("a.example", "no scheme"),
            ("https://a.example/", "more than scheme"),
            ("https://a.example/app", "more than scheme"),
            ("https://user@a.example", "more than scheme"),
            ("https://A.example", "lower-case"),
            ("https://*.example", "pattern"),
            ("https://a.example,*", "* next to other entries"),
            ("https://a.example,", "empty entry"),
            ("https://a.example:443", "omit the default port"),
            ("https://", "origin"),
            ("https://a b", "origin"),
            ("https://a.example:99999", "origin"),
        ] {
            let error = Origins::parse(origin).unwrap_err();
            assert!(error.contains(expected), "{origin}: {error}");
        }
    }
}

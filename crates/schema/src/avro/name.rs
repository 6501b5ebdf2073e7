//! Names of types and fields.

use std::fmt;

/// The full name of a record, enum or fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    full: String,
}

/// The rule that an invalid name breaks.
const RULE: &str = "begins with a letter or _, and goes on with letters, digits and _";

impl Name {
    /// Qualifies a name with a namespace. A name with a dot is already full, and an empty namespace
    /// is none.
    ///
    /// # Errors
    /// Returns the reason if it is not a name.
    pub fn new(name: &str, namespace: &str) -> Result<Self, String> {
        let full = match name.strip_prefix('.') {
            // Some writers spell the empty namespace as a leading dot.
            Some(bare) if !bare.contains('.') => bare.to_owned(),
            _ if name.contains('.') || namespace.is_empty() => name.to_owned(),
            _ => format!("{namespace}.{name}"),
        };
        if let Some(bad) = full.split('.').find(|part| !is_identifier(part)) {
            let of = if bad == full { String::new() } else { format!(", in {full:?},") };
            return Err(format!("{bad:?}{of} is not a name: each part of a name {RULE}"));
        }
        Ok(Self { full })
    }

    /// The name with its namespace.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// The name without its namespace. Resolution matches names by it.
    pub fn short(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or(&self.full)
    }

    /// The namespace; empty if it has none.
    pub fn namespace(&self) -> &str {
        self.full.rsplit_once('.').map_or("", |(namespace, _)| namespace)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// Checks the name of a field or a symbol.
///
/// # Errors
/// Returns the reason if it is not a name.
pub fn check_identifier(text: &str) -> Result<(), String> {
    if is_identifier(text) { Ok(()) } else { Err(format!("{text:?} is not a name: a name {RULE}")) }
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_namespace_inherit_it() {
        for (name, namespace, full) in [
            ("Order", "", "Order"),
            ("Order", "shop", "shop.Order"),
            ("eu.Order", "shop", "eu.Order"),
            (".Order", "shop", "Order"),
        ] {
            assert_eq!(Name::new(name, namespace).unwrap().full(), full);
        }
        let name = Name::new("a.b.C", "").unwrap();
        assert_eq!((name.short(), name.namespace()), ("C", "a.b"));
        for bad in ["", "1a", "a-b", "a..b", "a.", ".", "ä"] {
            assert!(Name::new(bad, "").is_err(), "{bad}");
        }
    }
}

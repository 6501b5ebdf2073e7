//! Names of types and fields.

use std::fmt;

/// The full name of a record, enum or fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    full: String,
}

/// What is wrong with a name.
const RULE: &str = "begins with a letter or _, and goes on with letters, digits and _";

impl Name {
    /// A name in a namespace. A name with a dot is a full one already, and a namespace of "" is none.
    ///
    /// # Errors
    /// Where it is not a name.
    pub fn new(name: &str, namespace: &str) -> Result<Self, String> {
        let full = match name.strip_prefix('.') {
            // Some writers spell the empty namespace as a leading dot.
            Some(bare) if !bare.contains('.') => bare.to_owned(),
            _ if name.contains('.') || namespace.is_empty() => name.to_owned(),
            _ => format!("{namespace}.{name}"),
        };
        if let Some(bad) = full.split('.').find(|part| !is_word(part)) {
            let of = if bad == full { String::new() } else { format!(", in {full:?},") };
            return Err(format!("{bad:?}{of} is not a name: each part of a name {RULE}"));
        }
        Ok(Self { full })
    }

    /// With its namespace.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// Without its namespace: what names are matched by.
    pub fn short(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or(&self.full)
    }

    /// Its namespace; empty where it has none.
    pub fn namespace(&self) -> &str {
        self.full.rsplit_once('.').map_or("", |(namespace, _)| namespace)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// Whether it may be the name of a field or a symbol.
///
/// # Errors
/// Where it may not.
pub fn check_word(text: &str) -> Result<(), String> {
    if is_word(text) { Ok(()) } else { Err(format!("{text:?} is not a name: a name {RULE}")) }
}

fn is_word(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_the_namespace_that_they_lack() {
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

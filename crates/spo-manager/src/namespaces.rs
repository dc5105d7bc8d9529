//! Pure. Which namespaces the manager looks at (contract 03, 2.4).
//!
//! Only what has a namespace can be restricted: the pods. Profiles and node statuses have none.

use std::collections::BTreeSet;
use std::fmt;

/// The namespaces whose pods count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// Every one.
    All,
    /// These: the operator's own is always among them.
    Only(BTreeSet<String>),
}

impl Namespaces {
    /// Reads a list separated by commas. One that names nothing means all of them.
    ///
    /// Names are compared as a whole: upstream takes `spo` for a part of `spo-test` and then does
    /// not see its own daemons.
    pub(crate) fn parse(restriction: Option<&str>, own: &str) -> Self {
        let names = restriction.unwrap_or_default().split(',').map(str::trim);
        let mut names: BTreeSet<String> = names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            return Self::All;
        }
        names.insert(own.to_owned());
        Self::Only(names)
    }

    /// Whether a namespace is one of them.
    pub(crate) fn contain(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(namespace),
        }
    }
}

/// The log lines of upstream, which people look for.
impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "watching all namespaces",
            Self::Only(names) if names.len() == 1 => "watching single namespace",
            Self::Only(_) => "watching multiple namespaces",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_exact_and_our_own_namespace_is_always_one() {
        let all = "watching all namespaces";
        let single = "watching single namespace";
        let multiple = "watching multiple namespaces";
        for (restriction, expected, line) in [
            (None, &[][..], all),
            (Some(""), &[], all),
            (Some(" , "), &[], all),
            (Some("spo"), &["spo"], single),
            (Some("spo-test"), &["spo", "spo-test"], multiple),
            (Some(" b, a ,,b"), &["a", "b", "spo"], multiple),
        ] {
            let found = Namespaces::parse(restriction, "spo");
            let names = match &found {
                Namespaces::All => Vec::new(),
                Namespaces::Only(names) => names.iter().map(String::as_str).collect(),
            };
            assert_eq!(names, expected, "{restriction:?}");
            assert_eq!(found.to_string(), line, "{restriction:?}");
        }
    }
}

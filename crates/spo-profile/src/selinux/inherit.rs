//! Pure. Whether the SelinuxProfiles which a profile inherits can be inherited.
//!
//! Each of them declares the type `process`, by way of `container`, and a block can have it only
//! once. So a profile inherits one other at most, and profiles form chains.

use spo_api::selinux_profile::{InheritKind, SelinuxProfileSpec};

use super::limits::Limits;
use super::name::{BadName, BlockName};

/// What a profile inherits can not be inherited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// There is no such profile.
    #[error(
        "spec.inherit: couldn't find inherit reference SelinuxProfile/{0}: there is no such \
         profile; create it, or remove the entry"
    )]
    Missing(String),
    /// A profile inherits itself, directly or not.
    #[error("spec.inherit: {0} is a cycle; remove an entry of it")]
    Cycle(String),
    /// Two profiles are inherited.
    #[error(
        "spec.inherit: SelinuxProfiles {0:?} and {1:?} can not both be inherited, because both \
         declare the type process; let one of them inherit the other"
    )]
    Two(String, String),
    /// The name of a profile that can never be installed.
    #[error("spec.inherit: SelinuxProfile {name:?} can not be inherited")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        source: BadName,
    },
    /// The name means two policies.
    #[error(
        "spec.inherit: SelinuxProfile {0:?} has the name of a policy of the node, which is in \
         allowedSystemProfiles; inherit it with kind System, or give the profile another name"
    )]
    System(String),
}

/// The SelinuxProfile that a profile inherits.
///
/// # Errors
/// There is more than one.
pub fn parent(spec: &SelinuxProfileSpec) -> Result<Option<&str>, Unresolved> {
    let mut names = spec
        .inherit
        .iter()
        .filter(|inherit| inherit.kind == InheritKind::SelinuxProfile)
        .map(|inherit| inherit.name.as_str());
    let Some(first) = names.next() else {
        return Ok(None);
    };
    match names.find(|name| *name != first) {
        Some(second) => Err(Unresolved::Two(first.to_owned(), second.to_owned())),
        None => Ok(Some(first)),
    }
}

/// Follows what the profile `name` inherits to the end and returns the names, the nearest first.
/// `parent_of` says what a profile inherits; outside, whether it exists.
///
/// # Errors
/// The chain has no good end. What is wrong further up is for the profiles there to say, unless it
/// leads back.
pub fn resolve(
    name: &str,
    spec: &SelinuxProfileSpec,
    limits: &Limits,
    parent_of: &dyn Fn(&str) -> Option<Option<String>>,
) -> Result<Vec<String>, Unresolved> {
    let mut chain: Vec<String> = Vec::new();
    let mut next = parent(spec)?.map(str::to_owned);
    while let Some(current) = next {
        if current == name || chain.contains(&current) {
            let names = std::iter::once(name).chain(chain.iter().map(String::as_str));
            let mut names: Vec<&str> = names.collect();
            names.push(&current);
            return Err(Unresolved::Cycle(names.join(" -> ")));
        }
        if limits.permits_system(&current) {
            return Err(Unresolved::System(current));
        }
        if let Err(source) = BlockName::parse(&current) {
            let name = current;
            return Err(Unresolved::Name { name, source });
        }
        let Some(parent) = parent_of(&current) else {
            return Err(Unresolved::Missing(current));
        };
        chain.push(current);
        next = parent;
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spo_api::selinux_profile::Inherit;

    fn spec(parents: &[&str]) -> SelinuxProfileSpec {
        let of = |name: &&str| Inherit {
            kind: InheritKind::SelinuxProfile,
            name: (*name).to_owned(),
        };
        SelinuxProfileSpec {
            inherit: parents.iter().map(of).collect(),
            ..SelinuxProfileSpec::default()
        }
    }

    fn check(parents: &[&str], known: &[(&str, Option<&str>)], expected: Result<&[&str], &str>) {
        let parent_of = |name: &str| {
            let found = known.iter().find(|(known, _)| *known == name);
            found.map(|(_, parent)| parent.map(str::to_owned))
        };
        let said = resolve("web", &spec(parents), &Limits::default(), &parent_of);
        match (&said, expected) {
            (Ok(chain), Ok(names)) => assert_eq!(chain, names),
            (Err(error), Err(text)) if error.to_string().contains(text) => {}
            _ => panic!("{said:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn chains_are_followed() {
        check(&[], &[], Ok(&[]));
        check(&["a"], &[("a", Some("b")), ("b", None)], Ok(&["a", "b"]));
        check(&["a", "a"], &[("a", None)], Ok(&["a"]));
    }

    #[test]
    fn a_chain_without_an_end_is_refused() {
        check(&["web"], &[], Err("web -> web is a cycle"));
        let known = [("a", Some("b")), ("b", Some("web"))];
        check(&["a"], &known, Err("web -> a -> b -> web is a cycle"));
        let known = [("a", Some("b")), ("b", Some("a"))];
        check(&["a"], &known, Err("web -> a -> b -> a is a cycle"));
        check(
            &["a"],
            &[],
            Err("couldn't find inherit reference SelinuxProfile/a: "),
        );
        check(&["a", "b"], &[], Err("\"a\" and \"b\" can not both"));
        check(
            &["a.b"],
            &[("a.b", None)],
            Err("\"a.b\" can not be inherited"),
        );
        check(
            &["container"],
            &[],
            Err("\"container\" has the name of a policy"),
        );
    }
}

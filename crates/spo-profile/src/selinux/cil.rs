//! Pure. A SelinuxProfile as a policy in CIL (contract 02a, 3.6).
//!
//! The bytes are canonical: profiles that say the same give the same text. A list without
//! permissions gives no rule, a policy named twice is inherited once.

use std::collections::{BTreeMap, BTreeSet};

use spo_api::seccomp_profile::DesiredState;
use spo_api::selinux_profile::{Allow, Inherit, InheritKind, Mode, SELF, SelinuxProfileSpec};

use super::limits::{ALL, Denied, Limits};
use super::name::BlockName;
use super::word::{is_class, is_identifier, is_permission, is_type};

pub mod parse;

/// The policy that declares the type `process`. Another profile brings it along.
const CONTAINER: &str = "container";

/// Why a profile has no policy. Each text begins with the field and holds what upstream says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A policy of the node that is not to be inherited.
    #[error(
        "spec.inherit[{index}].name: system profile {name:?} not in \
         SecurityProfilesOperatorDaemon's allow list: system profile not allowed; add it to \
         spec.selinux.options.allowedSystemProfiles there, or inherit another"
    )]
    System {
        /// Which entry.
        index: usize,
        /// What it names.
        name: String,
    },
    /// Something that is not the name of a block.
    #[error(
        "spec.inherit[{index}].name: {name:?} is not the name of an SELinux policy block: such a \
         name begins with a letter and holds only letters, digits, '-' and '_'"
    )]
    Inherit {
        /// Which entry.
        index: usize,
        /// What it names.
        name: String,
    },
    /// A type that no policy can hold.
    #[error(
        "spec.allow[{0:?}]: '{safe}' didn't match expected characters: invalid label key; name a \
         type of the node, or @self", safe = .0.escape_debug()
    )]
    Label(String),
    /// A class that no policy can hold.
    #[error(
        "spec.allow[{label:?}][{class:?}]: '{safe}' didn't match expected characters: invalid \
         object class; name a class of the kernel, for example tcp_socket",
        safe = class.escape_debug()
    )]
    Class {
        /// The key of the rule.
        label: String,
        /// The class.
        class: String,
    },
    /// A permission that no policy can hold.
    #[error(
        "spec.allow[{label:?}][{class:?}]: '{safe}' didn't match expected characters: invalid \
         permission; name a permission of the class, for example read",
        safe = permission.escape_debug()
    )]
    Permission {
        /// The key of the rule.
        label: String,
        /// The class.
        class: String,
        /// The permission.
        permission: String,
    },
    /// What the administrator denies.
    #[error(
        "spec.allow[{label:?}][{class:?}]: invalid semantic rule for type {label}, class {class}: \
         {what} {name} is denied; remove it, or let an administrator permit it with \
         spec.selinux.options.allowed{list} and denied{list} of the SecurityProfilesOperatorDaemon",
        list = what.list()
    )]
    Denied {
        /// The key of the rule.
        label: String,
        /// The class.
        class: String,
        /// What of it is denied.
        what: Denied,
        /// Its name.
        name: String,
    },
    /// Every permission, with some of them denied.
    #[error(
        "spec.allow[{label:?}][{class:?}]: invalid semantic rule for type {label}, class {class}: \
         permission all is denied, because it stands for every permission of the class, also for \
         those which are denied; list the permissions"
    )]
    All {
        /// The key of the rule.
        label: String,
        /// The class.
        class: String,
    },
}

/// Renders a profile. That the profiles which it inherits exist is for
/// [`resolve`](super::inherit::resolve) to say.
///
/// # Errors
/// The profile names something that can not or may not stand in a policy.
pub fn render(
    name: &BlockName,
    spec: &SelinuxProfileSpec,
    limits: &Limits,
) -> Result<String, Refusal> {
    let mut text = format!("(block {name}\n");
    for block in blocks(spec, limits)? {
        text.push_str("(blockinherit ");
        text.push_str(block);
        text.push_str(")\n");
    }
    if spec.mode == Mode::Permissive {
        text.push_str("(typepermissive process)\n");
    }
    let own = name.usage();
    for (label, classes) in &spec.allow {
        let target = match label.as_str() {
            SELF => own.as_str(),
            label if is_type(label) => label,
            _ => return Err(Refusal::Label(label.clone())),
        };
        write_rules(&mut text, label, target, classes, limits)?;
    }
    text.push_str(")\n");
    Ok(text)
}

/// What to inherit, in order.
fn blocks<'a>(spec: &'a SelinuxProfileSpec, limits: &Limits) -> Result<Vec<&'a str>, Refusal> {
    let (mut system, mut profiles) = (Vec::new(), Vec::new());
    for (index, inherit) in spec.inherit.iter().enumerate() {
        let name = inherit.name.as_str();
        let blocks = match inherit.kind {
            InheritKind::System if !limits.permits_system(name) => {
                let name = name.to_owned();
                return Err(Refusal::System { index, name });
            }
            InheritKind::System => &mut system,
            InheritKind::SelinuxProfile => &mut profiles,
        };
        if !is_identifier(name) {
            let name = name.to_owned();
            return Err(Refusal::Inherit { index, name });
        }
        if name != CONTAINER && !blocks.contains(&name) {
            blocks.push(name);
        }
    }
    let first = profiles.is_empty().then_some(CONTAINER);
    Ok(first.into_iter().chain(system).chain(profiles).collect())
}

/// The rules of one target, class by class.
fn write_rules(
    text: &mut String,
    label: &str,
    target: &str,
    classes: &BTreeMap<String, Vec<String>>,
    limits: &Limits,
) -> Result<(), Refusal> {
    for (class, permissions) in classes {
        check(label, class, permissions, limits)?;
        let permissions: BTreeSet<&str> = permissions.iter().map(String::as_str).collect();
        if permissions.is_empty() {
            continue;
        }
        text.push_str("(allow process ");
        text.push_str(target);
        text.push_str(" ( ");
        text.push_str(class);
        text.push_str(" ( ");
        for permission in permissions {
            text.push_str(permission);
            text.push(' ');
        }
        text.push_str(")))\n");
    }
    Ok(())
}

/// Whether a rule can and may stand in a policy.
fn check(label: &str, class: &str, permissions: &[String], limits: &Limits) -> Result<(), Refusal> {
    let rule = || (label.to_owned(), class.to_owned());
    if !is_class(class) {
        let (label, class) = rule();
        return Err(Refusal::Class { label, class });
    }
    if let Some(permission) = permissions.iter().find(|name| !is_permission(name)) {
        let (label, class) = rule();
        return Err(Refusal::Permission {
            label,
            class,
            permission: permission.clone(),
        });
    }
    let named = [(Denied::Type, label), (Denied::Class, class)].into_iter();
    let permissions = permissions
        .iter()
        .map(|name| (Denied::Permission, name.as_str()));
    let mut denied = named
        .chain(permissions)
        .filter(|(what, name)| limits.denies(*what, name));
    let Some((what, name)) = denied.next() else {
        return Ok(());
    };
    let (label, class) = rule();
    Err(if what == Denied::Permission && name == ALL {
        Refusal::All { label, class }
    } else {
        Refusal::Denied {
            label,
            class,
            what,
            name: name.to_owned(),
        }
    })
}

/// The profile whose text is the same, in the one form in which [`parse`](parse::parse) returns it.
/// The state is not part of the text.
pub fn canonical(name: &BlockName, spec: &SelinuxProfileSpec) -> SelinuxProfileSpec {
    let mut inherit: Vec<Inherit> = Vec::new();
    let (system, profiles): (Vec<&Inherit>, Vec<&Inherit>) = spec
        .inherit
        .iter()
        .filter(|inherit| inherit.name != CONTAINER)
        .partition(|inherit| inherit.kind == InheritKind::System);
    if profiles.is_empty() {
        inherit.push(Inherit {
            kind: InheritKind::System,
            name: CONTAINER.to_owned(),
        });
    }
    for next in system.into_iter().chain(profiles) {
        if !inherit.contains(next) {
            inherit.push(next.clone());
        }
    }
    let mut allow = Allow::new();
    for (label, classes) in &spec.allow {
        let label = if *label == name.usage() { SELF } else { label };
        for (class, permissions) in classes {
            grant(
                &mut allow,
                label,
                class,
                permissions.iter().map(String::as_str),
            );
        }
    }
    SelinuxProfileSpec {
        state: DesiredState::default(),
        mode: spec.mode,
        inherit,
        allow,
    }
}

/// Adds permissions to a list, which stays sorted.
fn grant<'a>(
    allow: &mut Allow,
    label: &str,
    class: &str,
    permissions: impl Iterator<Item = &'a str>,
) {
    for permission in permissions {
        let classes = allow.entry(label.to_owned()).or_default();
        let granted = classes.entry(class.to_owned()).or_default();
        if let Err(place) = granted.binary_search_by(|known| known.as_str().cmp(permission)) {
            granted.insert(place, permission.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;

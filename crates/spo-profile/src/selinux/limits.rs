//! Pure. What the administrator permits SelinuxProfiles to name: `spec.selinux.options` of the
//! SecurityProfilesOperatorDaemon.
//!
//! The denied types, classes and permissions are the built-in ones without those of the lists
//! `allowed…`, with those of the lists `denied…`. Names are compared as they are called outside all
//! blocks: `.shadow_t` is `shadow_t`. Attributes and aliases of the node's policy are not known
//! here; who must keep them from profiles lists them.
//!
//! The permission `all` is denied as long as any is, because it stands for all of them.

use std::collections::BTreeSet;

use spo_api::spod::SelinuxOptions;

use super::word::global;

const TYPES: [&str; 4] = ["kernel_t", "kmem_t", "security_t", "shadow_t"];
const CLASSES: [&str; 4] = ["capability", "capability2", "security", "system"];
const PERMISSIONS: [&str; 8] = [
    "load_policy",
    "mac_admin",
    "mounton",
    "relabelfrom",
    "relabelto",
    "setbool",
    "setenforce",
    "setsecparam",
];

/// Every permission of a class.
pub(super) const ALL: &str = "all";

/// What profiles may not name, and what they may inherit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    system: BTreeSet<String>,
    types: BTreeSet<String>,
    classes: BTreeSet<String>,
    permissions: BTreeSet<String>,
}

/// A kind of names that can be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The target of a rule.
    Type,
    /// The class of its object.
    Class,
    /// What is done to it.
    Permission,
}

impl Denied {
    /// The end of the names of the two lists.
    pub(super) fn list(self) -> &'static str {
        match self {
            Denied::Type => "Types",
            Denied::Class => "Classes",
            Denied::Permission => "Permissions",
        }
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Denied::Type => "type",
            Denied::Class => "class",
            Denied::Permission => "permission",
        })
    }
}

impl Limits {
    /// The limits that these options set.
    pub fn of(options: &SelinuxOptions) -> Self {
        Self {
            system: options.allowed_system_profiles.iter().cloned().collect(),
            types: effective(&TYPES, &options.allowed_types, &options.denied_types),
            classes: effective(&CLASSES, &options.allowed_classes, &options.denied_classes),
            permissions: effective(
                &PERMISSIONS,
                &options.allowed_permissions,
                &options.denied_permissions,
            ),
        }
    }

    /// Whether a profile may inherit this policy of the node.
    pub fn permits_system(&self, name: &str) -> bool {
        self.system.contains(name)
    }

    /// The policies of the node that profiles may inherit.
    pub fn system_profiles(&self) -> impl Iterator<Item = &str> {
        self.system.iter().map(String::as_str)
    }

    /// Whether a name is denied.
    pub fn denies(&self, what: Denied, name: &str) -> bool {
        let name = global(name);
        match what {
            Denied::Type => self.types.contains(name),
            Denied::Class => self.classes.contains(name),
            Denied::Permission if name == ALL => !self.permissions.is_empty(),
            Denied::Permission => self.permissions.contains(name),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(&SelinuxOptions::default())
    }
}

fn effective(built_in: &[&str], allowed: &[String], denied: &[String]) -> BTreeSet<String> {
    let same = |name: &str| allowed.iter().any(|allowed| global(allowed) == name);
    let kept = built_in.iter().copied().filter(|name| !same(name));
    let denied = denied.iter().map(|name| global(name));
    kept.chain(denied).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_built_in_names_are_denied() {
        let limits = Limits::default();
        let all = |what, names: &[&str]| names.iter().all(|name| limits.denies(what, name));
        assert!(all(Denied::Type, &TYPES));
        assert!(all(Denied::Class, &CLASSES));
        assert!(all(Denied::Permission, &PERMISSIONS));
        assert!(limits.denies(Denied::Type, ".shadow_t"));
        assert!(limits.denies(Denied::Class, ".capability"));
        assert!(!limits.denies(Denied::Type, "http_port_t"));
        assert!(!limits.denies(Denied::Type, "capability"));
        assert!(limits.permits_system("container"));
        assert!(!limits.permits_system("net_container"));
    }

    #[test]
    fn denied_wins_over_allowed() {
        let limits = Limits::of(&SelinuxOptions {
            allowed_types: names(&["shadow_t", ".kmem_t"]),
            denied_types: names(&["shadow_t", ".etc_t"]),
            allowed_classes: names(&["capability"]),
            ..SelinuxOptions::default()
        });
        for (name, denied) in [
            ("shadow_t", true),
            ("kmem_t", false),
            ("etc_t", true),
            (".etc_t", true),
            ("kernel_t", true),
        ] {
            assert_eq!(limits.denies(Denied::Type, name), denied, "{name}");
        }
        assert!(!limits.denies(Denied::Class, "capability"));
        assert!(limits.denies(Denied::Class, "capability2"));
    }

    #[test]
    fn all_is_what_is_in_it() {
        let limits = |denied: &[&str]| {
            Limits::of(&SelinuxOptions {
                allowed_permissions: names(&PERMISSIONS),
                denied_permissions: names(denied),
                ..SelinuxOptions::default()
            })
        };
        assert!(Limits::default().denies(Denied::Permission, ALL));
        assert!(limits(&["write"]).denies(Denied::Permission, ALL));
        assert!(!limits(&[]).denies(Denied::Permission, ALL));
    }
}

//! Pure. The kinds of profile, and in what they differ for the manager.

use std::fmt;

use kube::core::{ApiResource, GroupVersionKind};
use spo_api::GROUP;
use spo_api::name::ProfileName;
use spo_profile::layout;
use spo_profile::selinux::name::BlockName;

/// A kind of profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Seccomp,
    Selinux,
    RawSelinux,
    AppArmor,
}

/// What a kind is called, here and there.
struct Names {
    kind: &'static str,
    plural: &'static str,
    /// In the object that describes a node.
    mechanism: &'static str,
    /// In a sentence.
    prose: &'static str,
    /// The source of its events: the name of upstream's controller (contract 02a, 2.1, 3.1, 4.1).
    component: &'static str,
    /// The reason of the event that tells of its installation (contract 02a, 2.11, 3.3, 4.3).
    installed: &'static str,
    /// How the message of that event begins.
    installed_on: &'static str,
    /// The reason of the event that tells that no node can have it.
    unsupported: &'static str,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [
        Kind::Seccomp,
        Kind::Selinux,
        Kind::RawSelinux,
        Kind::AppArmor,
    ];

    fn names(self) -> &'static Names {
        match self {
            Kind::Seccomp => &Names {
                kind: "SeccompProfile",
                plural: "seccompprofiles",
                mechanism: "Seccomp",
                prose: "seccomp",
                component: "profile",
                installed: "SavedSeccompProfile",
                installed_on: "Successfully saved profile to disk on",
                unsupported: "SeccompNotSupportedOnNode",
            },
            Kind::Selinux => &Names {
                kind: "SelinuxProfile",
                plural: "selinuxprofiles",
                mechanism: "SELinux",
                prose: "SELinux",
                component: "selinuxprofile",
                installed: "SavedSelinuxPolicy",
                installed_on: "Successfully saved profile to disk on",
                unsupported: "SelinuxNotSupportedOnNode",
            },
            Kind::RawSelinux => &Names {
                kind: "RawSelinuxProfile",
                plural: "rawselinuxprofiles",
                mechanism: "SELinux",
                prose: "SELinux",
                component: "rawselinuxprofile",
                installed: "SavedSelinuxPolicy",
                installed_on: "Successfully saved profile to disk on",
                unsupported: "SelinuxNotSupportedOnNode",
            },
            Kind::AppArmor => &Names {
                kind: "AppArmorProfile",
                plural: "apparmorprofiles",
                mechanism: "AppArmor",
                prose: "AppArmor",
                component: "apparmorprofile",
                installed: "LoadedAppArmorProfile",
                installed_on: "Successfully loaded profile into node",
                unsupported: "AppArmorNotSupportedOnNode",
            },
        }
    }

    /// The kind of objects of that name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.names().kind
    }

    /// The name of its mechanism in the object that describes a node.
    pub(crate) fn mechanism(self) -> &'static str {
        self.names().mechanism
    }

    /// The mechanism in a sentence.
    pub(crate) fn prose(self) -> &'static str {
        self.names().prose
    }

    /// The source of its events.
    pub(crate) fn component(self) -> &'static str {
        self.names().component
    }

    /// The reason of the event that tells of its installation, and how the message begins.
    pub(crate) fn installed(self) -> (&'static str, &'static str) {
        (self.names().installed, self.names().installed_on)
    }

    /// The reason of the event that tells that no node can have it.
    pub(crate) fn unsupported(self) -> &'static str {
        self.names().unsupported
    }

    pub(crate) fn resource(self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(GROUP, "v1", self.as_str());
        ApiResource::from_gvk_with_plural(&gvk, self.names().plural)
    }

    /// Whether a node that has described itself without a word about the mechanism offers it.
    /// Seccomp is as old as these descriptions; the others came later, and so did what serves them.
    pub(crate) fn is_offered_silently(self) -> bool {
        self == Kind::Seccomp
    }

    /// Whether the SPOD may ask that profiles which are not allowed are deleted (decision 5).
    pub(crate) fn may_be_deleted(self) -> bool {
        self == Kind::Seccomp
    }

    /// What a pod names to use the profile (contract 01, 7.1); `None` if there can be none of that
    /// name.
    pub(crate) fn used_by(self, name: &str) -> Option<Use> {
        let name = ProfileName::parse(name).ok()?;
        Some(match self {
            Kind::Seccomp => Use::SeccompFile(layout::seccomp_file(&name).ok()?),
            Kind::Selinux | Kind::RawSelinux => {
                Use::SelinuxType(BlockName::parse(name.as_str()).ok()?)
            }
            Kind::AppArmor => Use::AppArmor(name.to_string()),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProfileId {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl ProfileId {
    pub(crate) fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
        }
    }

    /// What a pod names to use it.
    pub(crate) fn used_by(&self) -> Option<Use> {
        self.kind.used_by(&self.name)
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// What a pod names that may be a profile of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// A file in the operator directory.
    SeccompFile(String),
    /// The type of the processes of a block.
    SelinuxType(BlockName),
    /// A profile in the kernel.
    AppArmor(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_what_the_types_are() {
        use kube::Resource;
        use spo_api::apparmor_profile::AppArmorProfile;
        use spo_api::raw_selinux_profile::RawSelinuxProfile;
        use spo_api::seccomp_profile::SeccompProfile;
        use spo_api::selinux_profile::SelinuxProfile;
        fn check<K: Resource<DynamicType = ()>>(kind: Kind) {
            assert_eq!(kind.resource(), ApiResource::erase::<K>(&()));
            assert_eq!(Kind::of(kind.as_str()), Some(kind));
        }
        check::<SeccompProfile>(Kind::Seccomp);
        check::<SelinuxProfile>(Kind::Selinux);
        check::<RawSelinuxProfile>(Kind::RawSelinux);
        check::<AppArmorProfile>(Kind::AppArmor);
        assert_eq!(Kind::of("Node"), None);
    }

    #[test]
    fn pods_use_a_profile_by_a_name_that_follows_from_its_own() {
        let web = Use::SelinuxType(BlockName::parse("web").unwrap());
        for (kind, expected) in [
            (Kind::Seccomp, Use::SeccompFile("web.json".to_owned())),
            (Kind::Selinux, web.clone()),
            (Kind::RawSelinux, web),
            (Kind::AppArmor, Use::AppArmor("web".to_owned())),
        ] {
            assert_eq!(kind.used_by("web"), Some(expected));
            assert_eq!(kind.used_by("../web"), None);
        }
        // The file would be the operator's own.
        assert_eq!(Kind::Seccomp.used_by("kubelet-config"), None);
        // CIL has no such name.
        assert_eq!(Kind::Selinux.used_by("a.b"), None);
    }
}

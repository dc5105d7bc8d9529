//! Pure. What is known of the cluster, so that no request waits for the API server: of profiles the
//! name, the state and what a pod writes to use them, of bindings what they say.

use std::collections::BTreeSet;

use kube::runtime::watcher::Event;
use spo_api::node_status::ProfileState;
use spo_api::profile::ProfileKind;
use spo_api::spod::SelinuxOptions;
use spo_kube::table::Table;

use crate::admission::binding::rule::Rule;

/// What the watches have shown.
#[derive(Debug)]
pub struct Cache {
    spod: String,
    seccomp_profiles: Table<String, Profile>,
    selinux_profiles: Table<String, Profile>,
    apparmor_profiles: Table<String, Profile>,
    raw_profiles: Table<String, ()>,
    spods: Table<String, Vec<String>>,
    /// By namespace and name.
    bindings: Table<(String, String), Result<Rule, String>>,
    /// What a configuration says that says nothing.
    default: Vec<String>,
}

/// A profile that can be bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// What its status sums up to, if it has one.
    pub state: Option<ProfileState>,
    /// What a pod writes to use it, if its status says so.
    pub value: Option<String>,
}

/// A ProfileBinding.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Where it is.
    pub namespace: String,
    /// What it is called there.
    pub name: String,
    /// What it says, or why that can not be read; `None` if it is not to be applied any more.
    pub rule: Option<Result<Rule, String>>,
}

/// An event of a watch, reduced to what is kept.
#[derive(Debug)]
pub enum Seen {
    /// A profile of a kind that can be bound, and its name.
    Profile(ProfileKind, Event<(String, Profile)>),
    /// The name of a RawSelinuxProfile.
    RawProfile(Event<String>),
    /// The name of a configuration, and its `allowedSystemProfiles`.
    Spod(Event<(String, Vec<String>)>),
    /// A ProfileBinding.
    Binding(Event<Binding>),
}

impl Cache {
    /// Empty, and not synced. `spod` is the name of the object with the operator's configuration.
    pub fn new(spod: &str) -> Self {
        Self {
            spod: spod.to_owned(),
            seccomp_profiles: Table::default(),
            selinux_profiles: Table::default(),
            apparmor_profiles: Table::default(),
            raw_profiles: Table::default(),
            spods: Table::default(),
            bindings: Table::default(),
            default: SelinuxOptions::default().allowed_system_profiles,
        }
    }

    /// Takes an event in.
    pub fn observe(&mut self, seen: Seen) {
        match seen {
            Seen::Profile(kind, event) => {
                let profiles = match kind {
                    ProfileKind::SeccompProfile => &mut self.seccomp_profiles,
                    ProfileKind::SelinuxProfile => &mut self.selinux_profiles,
                    ProfileKind::AppArmorProfile => &mut self.apparmor_profiles,
                };
                profiles.observe(event, |(name, profile)| (name, Some(profile)));
            }
            Seen::RawProfile(event) => {
                self.raw_profiles.observe(event, |name| (name, Some(())));
            }
            Seen::Spod(event) => {
                self.spods
                    .observe(event, |(name, allowed)| (name, Some(allowed)));
            }
            Seen::Binding(event) => {
                self.bindings.observe(event, |binding| {
                    ((binding.namespace, binding.name), binding.rule)
                });
            }
        }
    }

    /// Whether absence means absence.
    pub fn synced(&self) -> bool {
        self.seccomp_profiles.synced()
            && self.selinux_profiles.synced()
            && self.apparmor_profiles.synced()
            && self.raw_profiles.synced()
            && self.spods.synced()
            && self.bindings.synced()
    }

    /// The bindings of a namespace, by name.
    pub fn bindings(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = (&str, Result<&Rule, &str>)> + use<'_> {
        let start = (namespace.to_owned(), String::new());
        let namespace = namespace.to_owned();
        self.bindings
            .range_from(start)
            .take_while(move |((of, _), _)| *of == namespace)
            .map(|((_, name), rule)| (name.as_str(), rule.as_ref().map_err(String::as_str)))
    }

    /// A profile that can be bound.
    pub fn profile(&self, kind: ProfileKind, name: &str) -> Option<&Profile> {
        let profiles = match kind {
            ProfileKind::SeccompProfile => &self.seccomp_profiles,
            ProfileKind::SelinuxProfile => &self.selinux_profiles,
            ProfileKind::AppArmorProfile => &self.apparmor_profiles,
        };
        profiles.get(name)
    }

    /// Whether a raw policy may inherit this block (decision 1).
    pub fn may_inherit(&self, name: &str) -> bool {
        self.selinux_profiles.get(name).is_some()
            || self.raw_profiles.get(name).is_some()
            || self
                .allowed_system_profiles()
                .iter()
                .any(|allowed| allowed == name)
    }

    /// Every block that a raw policy may inherit.
    pub fn inheritable(&self) -> BTreeSet<&str> {
        let profiles = self.selinux_profiles.iter().map(|(name, _)| name);
        profiles
            .chain(self.raw_profiles.iter().map(|(name, ())| name))
            .chain(self.allowed_system_profiles())
            .map(String::as_str)
            .collect()
    }

    fn allowed_system_profiles(&self) -> &[String] {
        self.spods.get(&self.spod).unwrap_or(&self.default)
    }
}

#[cfg(test)]
impl Seen {
    /// The end of the first listing of everything.
    pub(crate) fn all_listed() -> [Self; 6] {
        [
            Self::Profile(ProfileKind::SeccompProfile, Event::InitDone),
            Self::Profile(ProfileKind::SelinuxProfile, Event::InitDone),
            Self::Profile(ProfileKind::AppArmorProfile, Event::InitDone),
            Self::RawProfile(Event::InitDone),
            Self::Spod(Event::InitDone),
            Self::Binding(Event::InitDone),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_means_absence_when_all_is_listed() {
        let mut cache = Cache::new("spod");
        for seen in Seen::all_listed() {
            assert!(!cache.synced());
            cache.observe(seen);
        }
        assert!(cache.synced());
    }

    #[test]
    fn the_configuration_decides_what_the_system_offers() {
        let mut cache = Cache::new("spod");
        let names = |cache: &Cache| {
            cache
                .inheritable()
                .into_iter()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names(&cache), "container");
        let said = |name: &str, allowed: &[&str]| {
            let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
            Seen::Spod(Event::Apply((name.to_owned(), allowed)))
        };
        cache.observe(said("other", &["x"]));
        cache.observe(said("spod", &[]));
        assert_eq!(names(&cache), "");
        cache.observe(said("spod", &["net_container", "a"]));
        cache.observe(Seen::RawProfile(Event::Apply("raw".to_owned())));
        for kind in [ProfileKind::SelinuxProfile, ProfileKind::SeccompProfile] {
            let name = if kind == ProfileKind::SelinuxProfile {
                "a"
            } else {
                "seccomp"
            };
            let profile = (name.to_owned(), Profile::default());
            cache.observe(Seen::Profile(kind, Event::Apply(profile)));
        }
        assert_eq!(names(&cache), "a net_container raw");
        assert!(cache.may_inherit("raw") && cache.may_inherit("net_container"));
        assert!(!cache.may_inherit("container"));
        cache.observe(Seen::RawProfile(Event::Delete("raw".to_owned())));
        assert!(!cache.may_inherit("raw"));
    }
}

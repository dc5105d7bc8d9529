//! Pure. What is known of the cluster, so that no request waits for the API server: names only.

use std::collections::BTreeSet;

use kube::runtime::watcher::Event;
use spo_api::spod::SelinuxOptions;
use spo_kube::table::Table;

/// What the watches have shown.
#[derive(Debug)]
pub struct Cache {
    spod: String,
    profiles: Table<String, ()>,
    raw_profiles: Table<String, ()>,
    spods: Table<String, Vec<String>>,
    /// What a configuration says that says nothing.
    default: Vec<String>,
}

/// An event of a watch, reduced to what is kept.
#[derive(Debug)]
pub enum Seen {
    /// The name of a SelinuxProfile.
    Profile(Event<String>),
    /// The name of a RawSelinuxProfile.
    RawProfile(Event<String>),
    /// The name of a configuration, and its `allowedSystemProfiles`.
    Spod(Event<(String, Vec<String>)>),
}

impl Cache {
    /// Empty, and not synced. `spod` is the name of the object with the operator's configuration.
    pub fn new(spod: &str) -> Self {
        Self {
            spod: spod.to_owned(),
            profiles: Table::default(),
            raw_profiles: Table::default(),
            spods: Table::default(),
            default: SelinuxOptions::default().allowed_system_profiles,
        }
    }

    /// Takes an event in.
    pub fn observe(&mut self, seen: Seen) {
        match seen {
            Seen::Profile(event) => {
                self.profiles.observe(event, |name| (name, Some(())));
            }
            Seen::RawProfile(event) => {
                self.raw_profiles.observe(event, |name| (name, Some(())));
            }
            Seen::Spod(event) => {
                self.spods
                    .observe(event, |(name, allowed)| (name, Some(allowed)));
            }
        }
    }

    /// Whether absence means absence.
    pub fn synced(&self) -> bool {
        self.profiles.synced() && self.raw_profiles.synced() && self.spods.synced()
    }

    /// Whether a raw policy may inherit this block (decision 1).
    pub fn may_inherit(&self, name: &str) -> bool {
        self.profiles.get(name).is_some()
            || self.raw_profiles.get(name).is_some()
            || self
                .allowed_system_profiles()
                .iter()
                .any(|allowed| allowed == name)
    }

    /// Every block that a raw policy may inherit.
    pub fn inheritable(&self) -> BTreeSet<&str> {
        let profiles = self.profiles.iter().chain(self.raw_profiles.iter());
        let profiles = profiles.map(|(name, ())| name);
        profiles
            .chain(self.allowed_system_profiles())
            .map(String::as_str)
            .collect()
    }

    fn allowed_system_profiles(&self) -> &[String] {
        self.spods.get(&self.spod).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_means_absence_when_all_is_listed() {
        let mut cache = Cache::new("spod");
        for seen in [
            Seen::Profile(Event::InitDone),
            Seen::Spod(Event::InitDone),
            Seen::RawProfile(Event::InitDone),
        ] {
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
        cache.observe(Seen::Profile(Event::Apply("a".to_owned())));
        assert_eq!(names(&cache), "a net_container raw");
        assert!(cache.may_inherit("raw") && cache.may_inherit("net_container"));
        assert!(!cache.may_inherit("container"));
        cache.observe(Seen::RawProfile(Event::Delete("raw".to_owned())));
        assert!(!cache.may_inherit("raw"));
    }
}

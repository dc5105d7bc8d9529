//! Pure. What the daemon knows about AppArmorProfiles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use spo_api::apparmor_profile::held::{HeldAppArmorProfile, PackedSpec};
use spo_api::meta;
use spo_host::apparmor::kernel::{Digest, Loaded};
use spo_kube::table::{Change, Table};
use spo_profile::layout;

use crate::profile::{Deletion, Subject, Touched};
use crate::reports::Reports;

/// The kind that this controller installs.
pub(super) const KIND: &str = "AppArmorProfile";

/// A profile, as far as a node acts on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) uid: String,
    pub(super) generation: Option<i64>,
    pub(super) deletion: Deletion,
    pub(super) partial: bool,
    pub(super) in_use: bool,
    pub(super) spec: Arc<PackedSpec>,
}

/// What the watches have shown.
pub(super) struct Index {
    profiles: Table<String, Row>,
    /// Whether there is a watch of profiles. Without one, none is expected here.
    watched: bool,
    pub(super) reports: Reports,
    /// What the kernel had loaded when it was last looked at.
    loaded: BTreeMap<String, Loaded>,
}

/// A profile of this kind.
pub(super) fn subject(name: impl Into<String>) -> Subject {
    Subject {
        kind: KIND.to_owned(),
        name: name.into(),
    }
}

impl Index {
    /// Nothing yet. `watched` says whether profiles will be shown.
    pub(super) fn new(watched: bool) -> Self {
        Self {
            profiles: Table::default(),
            watched,
            reports: Reports::of(&[KIND]),
            loaded: BTreeMap::new(),
        }
    }

    /// Takes an event about profiles in.
    pub(super) fn observe_profile(&mut self, event: Event<HeldAppArmorProfile>) -> Touched {
        let changes = self.profiles.observe(event, row);
        let mut touched = Touched::none();
        for change in changes {
            match change {
                Change::Synced => touched.all = true,
                Change::Gone(name, _) => {
                    touched.profiles.insert(subject(name));
                }
                Change::Set(name, old) => {
                    if old.as_ref() != self.profiles.get(&name) {
                        touched.profiles.insert(subject(name));
                    }
                }
            }
        }
        touched
    }

    /// Takes a look at the kernel in. `remembered` is the digest of what was loaded from here under
    /// a name, if something was.
    pub(super) fn observe_kernel(
        &mut self,
        now: BTreeMap<String, Loaded>,
        remembered: impl Fn(&str) -> Option<Option<Digest>>,
    ) -> Touched {
        let mut touched = Touched::none();
        for profile in self.all_names() {
            let name = &profile.name;
            let (before, now) = (self.loaded.get(name), now.get(name));
            // What we load ourselves changes the kernel, too.
            let expected = match (remembered(name), now) {
                (Some(digest), Some(now)) => now.digest.is_some() && now.digest == digest,
                _ => false,
            };
            if before != now && !expected {
                touched.profiles.insert(profile);
            }
        }
        self.loaded = now;
        touched
    }

    /// The profile that a file belongs to.
    pub(super) fn claimant(&self, file: &str) -> Option<Subject> {
        // Names of objects have no character that a file could not have.
        let found = self.profiles.get(&file.to_owned()).is_some();
        found.then(|| subject(file))
    }

    /// All files that profiles claim.
    pub(super) fn claimed_files(&self) -> BTreeSet<String> {
        let names = self.profiles.iter().map(|(name, _)| name);
        names
            .filter_map(|name| layout::apparmor_file(name).ok())
            .collect()
    }

    /// Whether absence means absence: all watches have listed once.
    pub(super) fn synced(&self) -> bool {
        (!self.watched || self.profiles.synced()) && self.reports.synced()
    }

    pub(super) fn profile(&self, name: &str) -> Option<&Row> {
        self.profiles.get(name)
    }

    pub(super) fn count(&self) -> usize {
        self.profiles.iter().count()
    }

    /// Profiles which exist or about which this node has reported.
    pub(super) fn all_names(&self) -> BTreeSet<Subject> {
        let profiles = self.profiles.iter().map(|(name, _)| subject(name));
        profiles.chain(self.reports.subjects().cloned()).collect()
    }
}

fn row(profile: HeldAppArmorProfile) -> (String, Option<Row>) {
    let HeldAppArmorProfile {
        metadata,
        spec,
        status,
    } = profile;
    let status = status.unwrap_or_default();
    let row = Row {
        uid: metadata.uid.unwrap_or_default(),
        generation: metadata.generation,
        deletion: Deletion::of(metadata.deletion_timestamp.as_ref(), &status.conditions),
        partial: metadata
            .labels
            .is_some_and(|labels| labels.contains_key(meta::LABEL_PARTIAL)),
        in_use: status.active_workloads_count.unwrap_or_default() > 0,
        spec: Arc::new(spec),
    };
    (metadata.name.unwrap_or_default(), Some(row))
}

#[cfg(test)]
mod tests;

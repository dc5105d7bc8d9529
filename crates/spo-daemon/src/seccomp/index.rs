//! Pure. What the daemon knows about SeccompProfiles: small, and grown by nothing but profiles.
//!
//! Fed by watches; tells which profiles an event touches. Pods and what other nodes report are not
//! in it, on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::watcher::Event;

use spo_api::seccomp_profile::held::{HeldSeccompProfile, PackedSpec};
use spo_api::spod::held::HeldSpod;
use spo_api::{meta, name::ProfileName};
use spo_kube::table::{Change, Table};
use spo_profile::layout;
use spo_profile::seccomp::check::Restrictions;

use crate::profile::{Deletion, Subject, Touched};
use crate::reports::Reports;

/// The kind that this controller installs.
pub(super) const KIND: &str = "SeccompProfile";

/// A profile, as far as a node acts on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) uid: String,
    /// Seconds since the epoch.
    pub(super) created: Option<i64>,
    pub(super) generation: Option<i64>,
    pub(super) deletion: Deletion,
    pub(super) partial: bool,
    pub(super) in_use: bool,
    pub(super) base: Option<String>,
    pub(super) spec: Arc<PackedSpec>,
}

/// What the watches have shown.
pub(super) struct Index {
    profiles: Table<String, Row>,
    pub(super) reports: Reports,
    spods: Table<String, Arc<Restrictions>>,
    /// Which profiles extend a base directly. A base need not exist.
    children: BTreeMap<String, BTreeSet<String>>,
    /// Which profiles claim a file.
    claims: BTreeMap<String, BTreeSet<String>>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            profiles: Table::default(),
            reports: Reports::of(&[KIND]),
            spods: Table::default(),
            children: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }
}

/// A profile of this kind.
pub(super) fn subject(name: impl Into<String>) -> Subject {
    Subject {
        kind: KIND.to_owned(),
        name: name.into(),
    }
}

impl Index {
    /// Takes an event about profiles in.
    pub(super) fn observe_profile(&mut self, event: Event<HeldSeccompProfile>) -> Touched {
        let changes = self.profiles.observe(event, row);
        let mut touched = Touched::none();
        for change in changes {
            match change {
                Change::Synced => touched.all = true,
                Change::Gone(name, old) => {
                    self.link(&name, Some(&old), None);
                    self.touch(&name, &mut touched.profiles);
                }
                Change::Set(name, old) => {
                    let new = self.profiles.get(&name).cloned();
                    if old == new {
                        continue;
                    }
                    self.link(&name, old.as_ref(), new.as_ref());
                    self.touch(&name, &mut touched.profiles);
                }
            }
        }
        touched
    }

    /// Takes an event about the operator's configuration in.
    pub(super) fn observe_spod(&mut self, event: Event<HeldSpod>, name: &str) -> Touched {
        let before = self.restrictions(name);
        let changes = self.spods.observe(event, |spod| {
            let row = Arc::new(restrictions(&spod));
            (spod.name_any(), Some(row))
        });
        let synced = changes.contains(&Change::Synced);
        if synced || before != self.restrictions(name) {
            Touched::all()
        } else {
            Touched::none()
        }
    }

    /// Whether absence means absence: all watches have listed once.
    pub(super) fn synced(&self) -> bool {
        self.profiles.synced() && self.reports.synced() && self.spods.synced()
    }

    pub(super) fn profile(&self, name: &str) -> Option<&Row> {
        self.profiles.get(name)
    }

    pub(super) fn profile_names(&self) -> impl Iterator<Item = &String> {
        self.profiles.iter().map(|(name, _)| name)
    }

    /// Profiles which exist or about which this node has reported.
    pub(super) fn all_names(&self) -> BTreeSet<Subject> {
        let reported = self.reports.subjects().cloned();
        self.profile_names().map(subject).chain(reported).collect()
    }

    /// What profiles may contain.
    pub(super) fn restrictions(&self, spod: &str) -> Arc<Restrictions> {
        match self.spods.get(spod) {
            Some(restrictions) => Arc::clone(restrictions),
            None => Arc::new(Restrictions::unrestricted()),
        }
    }

    /// The specs on the chain of base profiles that starts at `name`, by name. Cut where it loops.
    pub(super) fn chain(&self, name: &str) -> BTreeMap<String, Arc<PackedSpec>> {
        let mut chain = BTreeMap::new();
        let mut next = self.profiles.get(name).and_then(|row| row.base.clone());
        while let Some(base) = next {
            let Some(row) = self.profiles.get(&base) else {
                break;
            };
            if chain.insert(base, Arc::clone(&row.spec)).is_some() {
                break;
            }
            next = row.base.clone();
        }
        chain
    }

    /// Profiles which claim a file.
    pub(super) fn claimants(&self, file: &str) -> impl Iterator<Item = &String> {
        self.claims.get(file).into_iter().flatten()
    }

    /// All files that profiles claim.
    pub(super) fn claimed_files(&self) -> BTreeSet<String> {
        self.claims.keys().cloned().collect()
    }

    /// The profile to which the file of `name` belongs, if it is another one: the oldest claimant,
    /// by name among those of one second.
    pub(super) fn rival(&self, name: &str) -> Option<String> {
        let file = file_of(name)?;
        let age = |name: &String| {
            let row = self.profiles.get(name);
            (row.and_then(|row| row.created), name.clone())
        };
        let owner = self.claimants(&file).min_by_key(|claimant| age(claimant))?;
        (owner != name).then(|| owner.clone())
    }

    /// A profile, the ones which extend it, directly or not, and the ones which claim its file.
    fn touch(&self, name: &str, touched: &mut BTreeSet<Subject>) {
        let mut next = vec![name.to_owned()];
        while let Some(name) = next.pop() {
            if !touched.insert(subject(name.clone())) {
                continue;
            }
            next.extend(self.children.get(&name).into_iter().flatten().cloned());
        }
        if let Some(file) = file_of(name) {
            touched.extend(self.claimants(&file).map(subject));
        }
    }

    fn link(&mut self, name: &str, old: Option<&Row>, new: Option<&Row>) {
        relink(
            &mut self.children,
            name,
            old.and_then(|row| row.base.clone()),
            new.and_then(|row| row.base.clone()),
        );
        let file = file_of(name);
        relink(&mut self.claims, name, old.and(file.clone()), new.and(file));
    }
}

fn relink(
    links: &mut BTreeMap<String, BTreeSet<String>>,
    name: &str,
    old: Option<String>,
    new: Option<String>,
) {
    if let Some(old) = old
        && let Some(names) = links.get_mut(&old)
    {
        names.remove(name);
        if names.is_empty() {
            links.remove(&old);
        }
    }
    if let Some(new) = new {
        links.entry(new).or_default().insert(name.to_owned());
    }
}

/// The file that a profile of this name has.
fn file_of(name: &str) -> Option<String> {
    let name = ProfileName::parse(name).ok()?;
    layout::seccomp_file(&name).ok()
}

fn row(profile: HeldSeccompProfile) -> (String, Option<Row>) {
    let HeldSeccompProfile {
        metadata,
        spec,
        status,
    } = profile;
    let status = status.unwrap_or_default();
    let deletion = Deletion::of(metadata.deletion_timestamp.as_ref(), &status.conditions);
    let base = spec.unpack().ok().and_then(|spec| spec.base_profile_name);
    let row = Row {
        uid: metadata.uid.unwrap_or_default(),
        created: metadata.creation_timestamp.map(|time| time.0.as_second()),
        generation: metadata.generation,
        deletion,
        partial: metadata
            .labels
            .is_some_and(|labels| labels.contains_key(meta::LABEL_PARTIAL)),
        in_use: status.active_workloads_count.unwrap_or_default() > 0,
        base: base.filter(|base| !base.is_empty() && !base.starts_with("oci://")),
        spec: Arc::new(spec),
    };
    (metadata.name.unwrap_or_default(), Some(row))
}

fn restrictions(spod: &HeldSpod) -> Restrictions {
    let security = spod.security();
    Restrictions {
        allowed_syscalls: security.allowed_syscalls.into_iter().collect(),
        allowed_actions: security.allowed_seccomp_actions.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;

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
use spo_api::{condition, meta, name::ProfileName};
use spo_kube::table::{Change, Table};
use spo_profile::layout;
use spo_profile::seccomp::check::Restrictions;

use super::plan::Deletion;
use crate::node_status::HeldNodeStatus;
use crate::profile::Report;

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

/// A node status of ours.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatusRow {
    pub(super) owner_uid: String,
    pub(super) report: Option<Report>,
    version: u64,
}

/// What the watches have shown.
#[derive(Default)]
pub(super) struct Index {
    profiles: Table<String, Row>,
    /// By profile and name of the status.
    statuses: Table<(String, String), StatusRow>,
    spods: Table<String, Arc<Restrictions>>,
    /// Which profiles extend a base directly. A base need not exist.
    children: BTreeMap<String, BTreeSet<String>>,
    /// Which profiles claim a file.
    claims: BTreeMap<String, BTreeSet<String>>,
    /// The version at which a node status was deleted last.
    last_deletion: u64,
}

/// Which profiles an event touches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Touched {
    pub(super) profiles: BTreeSet<String>,
    /// All of them.
    pub(super) all: bool,
}

impl Touched {
    fn none() -> Self {
        Self::default()
    }

    fn all() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
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
                    self.touch(&name, &mut touched);
                }
                Change::Set(name, old) => {
                    let new = self.profiles.get(&name).cloned();
                    if old == new {
                        continue;
                    }
                    self.link(&name, old.as_ref(), new.as_ref());
                    self.touch(&name, &mut touched);
                }
            }
        }
        touched
    }

    /// Takes an event about the node statuses of this node in.
    pub(super) fn observe_status(&mut self, event: Event<HeldNodeStatus>) -> Touched {
        if let Event::Apply(status) | Event::InitApply(status) = &event
            && let Some((subject, _)) = status.subject()
            && let Some(known) = self.statuses.get(&(subject.name, status.name_any()))
            && known.version > version(status)
        {
            // Our own write is newer than this echo of the one before.
            return Touched::none();
        }
        if let Event::Delete(status) = &event {
            self.last_deletion = self.last_deletion.max(version(status));
        }
        let changes = self.statuses.observe(event, status_row);
        let mut touched = Touched::none();
        for change in changes {
            match change {
                Change::Synced => touched.all = true,
                Change::Gone((profile, _), _) => {
                    touched.profiles.insert(profile);
                }
                Change::Set(key, old) => {
                    let new = self.statuses.get(&key);
                    let says = |row: &StatusRow| (row.owner_uid.clone(), row.report.clone());
                    if old.as_ref().map(says) != new.map(says) {
                        touched.profiles.insert(key.0);
                    }
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

    /// Puts in what a write of ours has returned, unless the watch may have shown more since: a
    /// deletion must not be undone here.
    pub(super) fn reported(&mut self, status: HeldNodeStatus) {
        let ((profile, name), Some(row)) = status_row(status) else {
            return;
        };
        let key = (profile, name);
        let known = self
            .statuses
            .get(&key)
            .map_or(self.last_deletion, |known| known.version);
        if row.version > known {
            // The change needs no look: it is what was planned.
            let _change = self.statuses.set(key, row);
        }
    }

    /// Puts in that a node status of ours was deleted.
    pub(super) fn withdrawn(&mut self, profile: &str, name: &str) {
        let _change = self.statuses.remove((profile.to_owned(), name.to_owned()));
    }

    /// Whether absence means absence: all watches have listed once.
    pub(super) fn synced(&self) -> bool {
        self.profiles.synced() && self.statuses.synced() && self.spods.synced()
    }

    pub(super) fn profile(&self, name: &str) -> Option<&Row> {
        self.profiles.get(name)
    }

    pub(super) fn profile_names(&self) -> impl Iterator<Item = &String> {
        self.profiles.iter().map(|(name, _)| name)
    }

    /// Profiles which exist or about which this node has reported.
    pub(super) fn all_names(&self) -> BTreeSet<String> {
        let reported = self.statuses.iter().map(|((profile, _), _)| profile);
        self.profile_names().chain(reported).cloned().collect()
    }

    /// The node statuses about a profile, with their names.
    pub(super) fn statuses<'a>(
        &'a self,
        profile: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a StatusRow)> {
        // Few: a table of one node's statuses, ordered by profile.
        self.statuses
            .range_from((profile.to_owned(), String::new()))
            .map_while(move |((of, name), row)| (of == profile).then_some((name.as_str(), row)))
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
    fn touch(&self, name: &str, touched: &mut Touched) {
        let mut next = vec![name.to_owned()];
        while let Some(name) = next.pop() {
            if let Some(children) = self.children.get(&name) {
                next.extend(
                    children
                        .iter()
                        .filter(|c| !touched.profiles.contains(*c))
                        .cloned(),
                );
            }
            touched.profiles.insert(name);
        }
        if let Some(file) = file_of(name) {
            touched.profiles.extend(self.claimants(&file).cloned());
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
    let in_use = status
        .conditions
        .iter()
        .find(|c| c.type_ == condition::IN_USE);
    let deletion = match (
        &metadata.deletion_timestamp,
        in_use.map(|c| c.status.as_str()),
    ) {
        (None, _) => Deletion::No,
        (Some(_), Some("False")) => Deletion::Released,
        (Some(_), Some("True")) => Deletion::HeldBack,
        (Some(_), _) => Deletion::Undecided,
    };
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

fn status_row(status: HeldNodeStatus) -> ((String, String), Option<StatusRow>) {
    let name = status.name_any();
    match status.subject() {
        Some((subject, uid)) if subject.kind == KIND => {
            let row = StatusRow {
                owner_uid: uid.to_owned(),
                report: status.report(),
                version: version(&status),
            };
            ((subject.name, name), Some(row))
        }
        // About another kind, or the node itself.
        _ => ((String::new(), name), None),
    }
}

/// Resource versions are ordered numbers (KEP-5504).
fn version(status: &HeldNodeStatus) -> u64 {
    status
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
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

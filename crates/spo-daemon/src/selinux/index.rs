//! Pure. What the daemon knows about SelinuxProfiles and RawSelinuxProfiles.
//!
//! Fed by watches; tells which profiles an event touches. Profiles of both kinds share the names of
//! files and of policy blocks, so that one index holds both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::core::ObjectMeta;
use kube::runtime::watcher::Event;

use spo_api::meta;
use spo_api::node_status::ProfileState;
use spo_api::raw_selinux_profile::RawSelinuxProfileSpec;
use spo_api::selinux_profile::held::{HeldRawSelinuxProfile, HeldSelinuxProfile, Packed};
use spo_api::selinux_profile::{InheritKind, SelinuxProfileSpec, SelinuxProfileStatus};
use spo_api::spod::SelinuxSpec;
use spo_api::spod::held::HeldSpod;
use spo_kube::table::{Change, Table};
use spo_profile::selinux::limits::Limits;
use spo_profile::selinux::name::BlockName;
use spo_profile::selinux::raw;

use crate::profile::{Deletion, Subject, Touched};
use crate::reports::Reports;

/// The kind whose policy is generated.
pub(super) const PROFILE: &str = "SelinuxProfile";
/// The kind whose policy is text.
pub(super) const RAW: &str = "RawSelinuxProfile";

/// What a profile says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Spec {
    Profile(Packed<SelinuxProfileSpec>),
    Raw(Packed<RawSelinuxProfileSpec>),
}

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
    /// The blocks that it inherits which can be those of other profiles.
    pub(super) parents: Vec<String>,
    pub(super) spec: Arc<Spec>,
}

/// What an administrator permits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rules {
    pub(super) limits: Limits,
    /// Whether RawSelinuxProfiles are installed.
    pub(super) raw: bool,
}

impl Rules {
    fn of(spec: &SelinuxSpec) -> Self {
        Self {
            limits: Limits::of(&spec.options),
            raw: spec.enable_raw_selinux_profiles.unwrap_or(true),
        }
    }
}

/// What the watches have shown.
pub(super) struct Index {
    profiles: Table<Subject, Row>,
    raws: Table<Subject, Row>,
    pub(super) reports: Reports,
    spods: Table<String, Arc<Rules>>,
    /// Which profiles inherit a block. It need not exist.
    children: BTreeMap<String, BTreeSet<Subject>>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            profiles: Table::default(),
            raws: Table::default(),
            reports: Reports::of(&[PROFILE, RAW]),
            spods: Table::default(),
            children: BTreeMap::new(),
        }
    }
}

/// A profile of one of the kinds.
pub(super) fn subject(kind: &str, name: impl Into<String>) -> Subject {
    Subject {
        kind: kind.to_owned(),
        name: name.into(),
    }
}

impl Index {
    /// Takes an event about SelinuxProfiles in.
    pub(super) fn observe_profile(&mut self, event: Event<HeldSelinuxProfile>) -> Touched {
        let changes = self.profiles.observe(event, |held| {
            let spec = held.spec.unpack();
            let parents = spec.iter().flat_map(|spec| &spec.inherit);
            let parents = parents
                .filter(|inherit| inherit.kind == InheritKind::SelinuxProfile)
                .map(|inherit| inherit.name.clone());
            let parents = parents.collect();
            let spec = Spec::Profile(held.spec);
            row(PROFILE, held.metadata, held.status, parents, spec)
        });
        self.take(changes)
    }

    /// Takes an event about RawSelinuxProfiles in.
    pub(super) fn observe_raw(&mut self, event: Event<HeldRawSelinuxProfile>) -> Touched {
        let changes = self.raws.observe(event, |held| {
            let policy = held.spec.unpack().ok().and_then(|spec| spec.policy);
            let parents = raw::inherits(policy.as_deref().unwrap_or_default());
            let spec = Spec::Raw(held.spec);
            row(RAW, held.metadata, held.status, parents, spec)
        });
        self.take(changes)
    }

    fn take(&mut self, changes: Vec<Change<Subject, Row>>) -> Touched {
        let mut touched = Touched::none();
        for change in changes {
            match change {
                Change::Synced => touched.all = true,
                Change::Gone(subject, old) => {
                    self.link(&subject, &old.parents, &[]);
                    self.touch(&subject.name, &mut touched.profiles);
                    // Whose policy it was part of may be removed now.
                    for parent in &old.parents {
                        self.touch_name(parent, &mut touched.profiles);
                    }
                    touched.profiles.insert(subject);
                }
                Change::Set(subject, old) => {
                    let new = self.row(&subject).cloned();
                    if old == new {
                        continue;
                    }
                    let parents = |row: Option<Row>| row.map(|row| row.parents).unwrap_or_default();
                    let (old, new) = (parents(old), parents(new));
                    self.link(&subject, &old, &new);
                    self.touch(&subject.name, &mut touched.profiles);
                    for parent in &old {
                        self.touch_name(parent, &mut touched.profiles);
                    }
                }
            }
        }
        touched
    }

    /// Takes an event about the operator's configuration in.
    pub(super) fn observe_spod(&mut self, event: Event<HeldSpod>, name: &str) -> Touched {
        let before = self.rules(name);
        let changes = self.spods.observe(event, |spod| {
            let rules = Arc::new(Rules::of(&spod.selinux_rules()));
            (spod.name_any(), Some(rules))
        });
        if changes.contains(&Change::Synced) || before != self.rules(name) {
            Touched::all()
        } else {
            Touched::none()
        }
    }

    /// Whether absence means absence: all watches have listed once.
    pub(super) fn synced(&self) -> bool {
        self.profiles.synced() && self.raws.synced() && self.reports.synced() && self.spods.synced()
    }

    /// The profile, if it exists.
    pub(super) fn row(&self, subject: &Subject) -> Option<&Row> {
        match subject.kind.as_str() {
            PROFILE => self.profiles.get(subject),
            RAW => self.raws.get(subject),
            _ => None,
        }
    }

    /// All profiles that exist.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        let rows = self.profiles.iter().chain(self.raws.iter());
        rows.map(|(subject, _)| subject)
    }

    /// Profiles which exist or about which this node has reported.
    pub(super) fn all(&self) -> BTreeSet<Subject> {
        self.subjects()
            .chain(self.reports.subjects())
            .cloned()
            .collect()
    }

    /// What profiles may contain. Without a configuration, as if nothing were said there.
    pub(super) fn rules(&self, spod: &str) -> Arc<Rules> {
        match self.spods.get(spod) {
            Some(rules) => Arc::clone(rules),
            None => Arc::new(Rules::of(&SelinuxSpec::default())),
        }
    }

    /// The profiles of a name, of both kinds.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = (Subject, &Row)> {
        [PROFILE, RAW].into_iter().filter_map(move |kind| {
            let subject = subject(kind, name);
            self.row(&subject).map(|row| (subject, row))
        })
    }

    /// The profile to which the file of `of` belongs, if it is another one: the oldest of that name.
    pub(super) fn rival(&self, of: &Subject) -> Option<Subject> {
        let claimants = self.named(&of.name);
        let (owner, _) = claimants.min_by_key(|(subject, row)| (row.created, subject.clone()))?;
        (owner != *of).then_some(owner)
    }

    /// What a SelinuxProfile inherits; outside, whether it exists.
    pub(super) fn parent_of(&self, name: &str) -> Option<Option<String>> {
        let row = self.profiles.get(&subject(PROFILE, name))?;
        Some(row.parents.first().cloned())
    }

    /// A parent that this node does not say to be installed, among those that are profiles.
    pub(super) fn waits_for(&self, row: &Row, node: &str) -> Option<Subject> {
        let parents = row.parents.iter();
        let mut parents = parents.flat_map(|name| self.named(name));
        let waiting = parents.find(|(parent, row)| {
            let reported = self.reports.about(parent, Some(&row.uid), node);
            let state = reported.report.map(|report| report.state);
            !matches!(
                state,
                // A block that is about to be changed or removed is still there.
                Some(ProfileState::Installed | ProfileState::Terminating)
            )
        });
        waiting.map(|(parent, _)| parent)
    }

    /// Profiles that inherit the block of this name.
    pub(super) fn children(&self, name: &str) -> impl Iterator<Item = &Subject> {
        self.children.get(name).into_iter().flatten()
    }

    /// A child that is, or may be, part of the policy of this node.
    pub(super) fn installed_child(&self, name: &str, node: &str) -> Option<Subject> {
        let installed = |child: &&Subject| {
            let uid = self.row(child).map(|row| row.uid.as_str());
            let reported = self.reports.about(child, uid, node);
            reported.report.is_some_and(|report| {
                matches!(
                    report.state,
                    ProfileState::Installed | ProfileState::InProgress | ProfileState::Terminating
                )
            })
        };
        self.children(name).find(installed).cloned()
    }

    /// What a change of a profile touches: those of its name, and those that inherit it.
    fn touch(&self, name: &str, touched: &mut BTreeSet<Subject>) {
        let mut next = vec![name.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(name) = next.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            self.touch_name(&name, touched);
            next.extend(self.children(&name).map(|child| child.name.clone()));
        }
    }

    /// The profiles of a name.
    pub(super) fn touch_name(&self, name: &str, touched: &mut BTreeSet<Subject>) {
        touched.extend(self.named(name).map(|(subject, _)| subject));
    }

    fn link(&mut self, subject: &Subject, old: &[String], new: &[String]) {
        for parent in old {
            if let Some(children) = self.children.get_mut(parent) {
                children.remove(subject);
                if children.is_empty() {
                    self.children.remove(parent);
                }
            }
        }
        for parent in new {
            let children = self.children.entry(parent.clone()).or_default();
            children.insert(subject.clone());
        }
    }

    /// All files that profiles claim.
    pub(super) fn claimed_files(&self) -> BTreeSet<String> {
        let names = self
            .subjects()
            .filter_map(|subject| BlockName::parse(&subject.name).ok());
        names.map(|name| name.file()).collect()
    }
}

fn row(
    kind: &str,
    metadata: ObjectMeta,
    status: Option<SelinuxProfileStatus>,
    parents: Vec<String>,
    spec: Spec,
) -> (Subject, Option<Row>) {
    let status = status.unwrap_or_default();
    let conditions: &[Condition] = &status.conditions;
    let row = Row {
        uid: metadata.uid.unwrap_or_default(),
        created: metadata.creation_timestamp.map(|time| time.0.as_second()),
        generation: metadata.generation,
        deletion: Deletion::of(metadata.deletion_timestamp.as_ref(), conditions),
        partial: metadata
            .labels
            .is_some_and(|labels| labels.contains_key(meta::LABEL_PARTIAL)),
        in_use: status.active_workloads_count.unwrap_or_default() > 0,
        parents,
        spec: Arc::new(spec),
    };
    (subject(kind, metadata.name.unwrap_or_default()), Some(row))
}

#[cfg(test)]
mod tests;

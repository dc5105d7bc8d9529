//! Pure. What the manager knows: profiles, reports, nodes, and the pods that use a profile.
//!
//! Fed by watches; tells which profiles an event touches, so that no event needs a list of anything.

mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use spo_api::node_status::Mechanism;
use spo_api::spod::held::HeldSpod;
use spo_kube::table::{Change, Table};
use spo_profile::seccomp::render;
use spo_profile::seccomp::resolve::{BaseRef, Progress, Resolver};

use super::held::HeldProfile;
use super::plan::{Inputs, Profile};
use super::sum::{NodeFacts, Report, Standing};
use crate::kind::{Kind, ProfileId, Use};
use crate::object::{Node, NodeReport, Pod};
use row::{PodRow, ProfileRow, ReportRow, SpodRow, hash_of};

/// What a node lacks that has said nothing about a mechanism.
const SILENT: &str = "its daemon does not know of it";

/// What the watches have shown.
pub(super) struct Index {
    /// By kind, because each has a watch of its own, and name.
    profiles: BTreeMap<Kind, Table<String, ProfileRow>>,
    /// By profile and name of the node status.
    reports: Table<(ProfileId, String), ReportRow>,
    /// What nodes say about themselves.
    registrations: Table<String, Vec<Mechanism>>,
    /// Whether a node is up.
    nodes: Table<String, bool>,
    /// By the watch that shows them: each lists on its own, and what its last listing did not show
    /// is gone.
    pods: Vec<Table<(String, String), PodRow>>,
    spods: Table<String, SpodRow>,
    users: BTreeMap<Use, BTreeSet<(String, String)>>,
    children: BTreeMap<ProfileId, BTreeSet<ProfileId>>,
}

/// What an event touches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Touched {
    pub(super) profiles: BTreeSet<ProfileId>,
    pub(super) all: bool,
    /// Nodes which do not exist any more, and left reports.
    pub(super) vanished: BTreeSet<String>,
}

impl Touched {
    fn all_if(all: bool) -> Self {
        Self {
            all,
            ..Self::default()
        }
    }
}

impl Index {
    /// An index to which so many watches show pods, each of them others.
    pub(super) fn with_pods_from(watches: usize) -> Self {
        Self {
            profiles: Kind::ALL.map(|kind| (kind, Table::default())).into(),
            reports: Table::default(),
            registrations: Table::default(),
            nodes: Table::default(),
            pods: (0..watches).map(|_| Table::default()).collect(),
            spods: Table::default(),
            users: BTreeMap::new(),
            children: BTreeMap::new(),
        }
    }

    pub(super) fn observe_profile(&mut self, kind: Kind, event: Event<HeldProfile>) -> Touched {
        if let Event::Apply(profile) = &event
            && let Some(known) = self.profile(kind, &profile.metadata.name)
            && profile.metadata.uid.as_ref() == Some(&known.uid)
            && version(profile.metadata.resource_version.as_deref())
                < version(Some(&known.resource_version))
        {
            // Our own write is newer than this echo of the one before.
            return Touched::default();
        }
        let mut touched = Touched::default();
        let table = self.profiles.entry(kind).or_default();
        for change in table.observe(event, row::profile) {
            let (name, old) = match change {
                Change::Synced => {
                    touched.all = true;
                    continue;
                }
                Change::Gone(name, old) => (name, Some(old)),
                Change::Set(name, old) => (name, old),
            };
            let id = ProfileId { kind, name };
            let new = self.row(&id).cloned();
            if old == new {
                continue;
            }
            let bases = |row: &Option<ProfileRow>| {
                let bases = row.as_ref().map(|row| row.bases.clone());
                bases.unwrap_or_default()
            };
            self.relink(&id, &bases(&old), &bases(&new), &mut touched);
            let spec = |row: &Option<ProfileRow>| row.as_ref().and_then(|row| row.spec.clone());
            if old.is_none() || new.is_none() || spec(&old) != spec(&new) {
                self.touch_children(&id, &mut touched);
            }
            touched.profiles.insert(id);
        }
        touched
    }

    pub(super) fn observe_report(&mut self, event: Event<NodeReport>) -> Touched {
        // The object that describes a node comes through the same watch.
        let nodes = match &event {
            Event::Init => self.registrations.observe(Event::Init, row::registration),
            Event::InitDone => self
                .registrations
                .observe(Event::InitDone, row::registration),
            Event::Apply(report) | Event::InitApply(report) if row::is_about_node(report) => self
                .registrations
                .observe(Event::Apply(report.clone()), row::registration),
            Event::Delete(report) if row::is_about_node(report) => self
                .registrations
                .observe(Event::Delete(report.clone()), row::registration),
            Event::Apply(_) | Event::InitApply(_) | Event::Delete(_) => Vec::new(),
        };
        let mut touched = Touched::default();
        for change in nodes {
            touched.all |= match change {
                Change::Synced | Change::Gone(..) => true,
                Change::Set(node, old) => self.registrations.get(&node) != old.as_ref(),
            };
        }
        for change in self.reports.observe(event, row::report) {
            match change {
                Change::Synced => touched.all = true,
                Change::Gone((profile, _), _) => {
                    touched.profiles.insert(profile);
                }
                Change::Set(key, old) => {
                    if self.reports.get(&key) != old.as_ref() {
                        touched.profiles.insert(key.0);
                    }
                }
            }
        }
        touched
    }

    pub(super) fn observe_node(&mut self, event: Event<Node>) -> Touched {
        let mut touched = Touched::default();
        for change in self
            .nodes
            .observe(event, |node| (node.name_any(), Some(node.is_up())))
        {
            match change {
                Change::Synced => touched.all = true,
                Change::Gone(node, _) => {
                    touched.all = true;
                    touched.vanished.insert(node);
                }
                Change::Set(node, old) => touched.all |= self.nodes.get(&node) != old.as_ref(),
            }
        }
        touched
    }

    /// `watch` is the number of the watch that has shown the event.
    pub(super) fn observe_pod(
        &mut self,
        watch: usize,
        event: Event<Pod>,
        namespace: &str,
    ) -> Touched {
        let mut touched = Touched::default();
        let Some(pods) = self.pods.get_mut(watch) else {
            return touched;
        };
        let changes = pods.observe(event, |pod| row::pod(&pod, namespace));
        for change in changes {
            let (key, old) = match change {
                Change::Synced => {
                    touched.all = true;
                    continue;
                }
                Change::Gone(key, old) => (key, Some(old)),
                Change::Set(key, old) => (key, old),
            };
            let new = self
                .pods
                .get(watch)
                .and_then(|pods| pods.get(&key))
                .cloned();
            if old == new {
                continue;
            }
            touched.all |= old.as_ref().and_then(|pod| pod.daemon_on.as_ref())
                != new.as_ref().and_then(|pod| pod.daemon_on.as_ref());
            let uses = |pod: Option<PodRow>| pod.map(|pod| pod.uses).unwrap_or_default();
            let (old, new) = (uses(old), uses(new));
            for named in old.iter().filter(|named| !new.contains(named)) {
                if let Some(users) = self.users.get_mut(named) {
                    users.remove(&key);
                    if users.is_empty() {
                        self.users.remove(named);
                    }
                }
            }
            for named in &new {
                self.users
                    .entry(named.clone())
                    .or_default()
                    .insert(key.clone());
            }
            for named in old.iter().chain(&new) {
                touched.profiles.extend(self.profiles_of(named));
            }
        }
        touched
    }

    pub(super) fn observe_spod(&mut self, event: Event<HeldSpod>) -> Touched {
        let changes = self.spods.observe(event, |spod| row::spod(&spod));
        Touched::all_if(!changes.is_empty())
    }

    /// Puts in what a write of ours has returned, unless the watch has shown more since: a deletion
    /// or a newer object must not be undone here.
    pub(super) fn written(&mut self, kind: Kind, profile: HeldProfile) -> Touched {
        let known = self.profile(kind, &profile.metadata.name);
        let newer = known.is_some_and(|known| {
            profile.metadata.uid.as_ref() == Some(&known.uid)
                && version(profile.metadata.resource_version.as_deref())
                    > version(Some(&known.resource_version))
        });
        if newer {
            self.observe_profile(kind, Event::Apply(profile))
        } else {
            Touched::default()
        }
    }

    /// Whether absence means absence: all watches have listed once.
    pub(super) fn synced(&self) -> bool {
        self.profiles.values().all(Table::synced)
            && self.reports.synced()
            && self.nodes.synced()
            && self.pods.iter().all(Table::synced)
            && self.spods.synced()
    }

    pub(super) fn ids(&self) -> BTreeSet<ProfileId> {
        let all = self.profiles.iter().flat_map(|(kind, table)| {
            let names = table.iter().map(|(name, _)| name);
            names.map(|name| ProfileId::new(*kind, name))
        });
        all.collect()
    }

    fn row(&self, id: &ProfileId) -> Option<&ProfileRow> {
        self.profiles.get(&id.kind)?.get(&id.name)
    }

    fn profile(&self, kind: Kind, name: &Option<String>) -> Option<&ProfileRow> {
        self.profiles.get(&kind)?.get(name.as_ref()?)
    }

    /// Nodes which do not exist and have left reports.
    pub(super) fn vanished(&self) -> BTreeSet<String> {
        let reported = self.reports.iter().map(|(_, row)| &row.node);
        let registered = self.registrations.iter().map(|(node, _)| node);
        reported
            .chain(registered)
            .filter(|node| self.nodes.get(*node).is_none())
            .cloned()
            .collect()
    }

    /// Whether a node exists.
    pub(super) fn node_exists(&self, node: &str) -> bool {
        self.nodes.get(node).is_some()
    }

    /// The inputs of the plan for a profile; `None` if there is no such profile.
    pub(super) fn inputs(
        &self,
        id: &ProfileId,
        spod: &str,
        waited: Duration,
        now: Time,
    ) -> Option<Inputs> {
        let row = self.row(id)?;
        let users = id.used_by().and_then(|named| self.users.get(&named));
        let users = users
            .into_iter()
            .flatten()
            .map(|(ns, pod)| format!("{ns}/{pod}"))
            .collect();
        let effective_syscalls = self.effective_syscalls(id, row);
        let annotated = match (&effective_syscalls, row.annotation) {
            (Some(text), Some(hash)) => hash_of(text) == hash,
            (Some(_), None) => false,
            // Without a base profile the annotation would only repeat the spec; one that upstream
            // has left is left.
            (None, _) => true,
        };
        let configuration = self.spods.get(spod).cloned().unwrap_or_default();
        Some(Inputs {
            profile: Profile {
                id: id.clone(),
                uid: row.uid.clone(),
                resource_version: row.resource_version.clone(),
                generation: row.generation,
                deleting: row.deleting,
                finalizers: row.finalizers.clone(),
                labeled: row.labeled,
                annotated,
                initial: row.initial,
                status: row.status.clone(),
            },
            nodes: self.node_facts(id, row),
            holders: self.holders(id),
            users,
            heirs: self.heirs(id),
            effective_syscalls,
            switched_off: configuration.switched_off(id.kind, spod),
            delete_not_allowed: configuration.delete_not_allowed && id.kind.may_be_deleted(),
            waited,
            now,
        })
    }

    fn node_facts(&self, id: &ProfileId, row: &ProfileRow) -> Vec<NodeFacts> {
        let mut reports: BTreeMap<&str, Option<&Report>> = BTreeMap::new();
        for (_, report) in self
            .reports_of(id)
            .filter(|(_, said)| said.owner_uid == row.uid)
        {
            let known = reports.entry(&report.node).or_default();
            *known = known.or(report.report.as_ref());
        }
        // Who has registered, runs a daemon, or has reported, and exists.
        let daemons = self
            .pods
            .iter()
            .flat_map(Table::iter)
            .filter_map(|(_, pod)| pod.daemon_on.as_deref());
        let registered = self.registrations.iter().map(|(node, _)| node.as_str());
        let names: BTreeSet<&str> = daemons
            .chain(registered)
            .chain(reports.keys().copied())
            .collect();
        names
            .into_iter()
            .filter_map(|node| {
                Some(NodeFacts {
                    name: node.to_owned(),
                    standing: self.standing(id.kind, node)?,
                    report: reports.get(node).copied().flatten().cloned(),
                })
            })
            .collect()
    }

    /// Whether a node counts for profiles of a kind; `None` if there is no such node.
    fn standing(&self, kind: Kind, node: &str) -> Option<Standing> {
        if !*self.nodes.get(node)? {
            return Some(Standing::Down);
        }
        // One that has not described itself yet is waited for: it may have just been started.
        let Some(mechanisms) = self.registrations.get(node) else {
            return Some(Standing::Expected);
        };
        let described = mechanisms.iter().find(|m| m.name == kind.mechanism());
        Some(match described {
            Some(Mechanism {
                available: true, ..
            }) => Standing::Expected,
            Some(mechanism) => {
                Standing::NotApplicable(mechanism.message.clone().unwrap_or_default())
            }
            None if kind.is_offered_silently() => Standing::Expected,
            None => Standing::NotApplicable(SILENT.to_owned()),
        })
    }

    /// Nodes that are to remove the profile before it goes. One that has stopped to offer the
    /// mechanism can not, and would hold the deletion for ever; what it still has on disk it removes
    /// when it can, like a node that was down.
    fn holders(&self, id: &ProfileId) -> Vec<String> {
        let nodes: BTreeSet<&String> = self.reports_of(id).map(|(_, row)| &row.node).collect();
        nodes
            .into_iter()
            .filter(|node| self.standing(id.kind, node) == Some(Standing::Expected))
            .cloned()
            .collect()
    }

    /// The profiles that need this one to be on the nodes. SELinux can not remove a block that
    /// another one inherits; a seccomp profile holds all that it has from its base. Profiles that
    /// inherit each other in a circle are on no node, and would hold each other for ever.
    fn heirs(&self, id: &ProfileId) -> Vec<String> {
        if !matches!(id.kind, Kind::Selinux | Kind::RawSelinux) {
            return Vec::new();
        }
        let ancestors = self.ancestors(id);
        let children = self.children.get(id).into_iter().flatten();
        children
            .filter(|child| !ancestors.contains(child))
            .map(ToString::to_string)
            .collect()
    }

    /// The profile, and what it builds on, directly or not.
    fn ancestors(&self, id: &ProfileId) -> BTreeSet<ProfileId> {
        let mut found = BTreeSet::new();
        let mut next = vec![id.clone()];
        while let Some(id) = next.pop() {
            if let Some(row) = self.row(&id) {
                next.extend(row.bases.iter().filter(|b| !found.contains(*b)).cloned());
            }
            found.insert(id);
        }
        found
    }

    fn reports_of<'a>(
        &'a self,
        id: &'a ProfileId,
    ) -> impl Iterator<Item = (&'a (ProfileId, String), &'a ReportRow)> {
        self.reports
            .range_from((id.clone(), String::new()))
            .take_while(move |((profile, _), _)| profile == id)
    }

    fn effective_syscalls(&self, id: &ProfileId, row: &ProfileRow) -> Option<String> {
        row.bases.first()?;
        let mut resolver = Resolver::new(&id.name, row.spec.as_ref()?.unpack().ok()?);
        loop {
            match resolver.step() {
                Progress::Done(resolved) => {
                    return Some(render::syscalls_annotation(&resolved.spec.syscalls));
                }
                Progress::Failed(_) => return None,
                Progress::Need(need) => {
                    let BaseRef::Local(base) = need.base() else {
                        return None;
                    };
                    let base = self.row(&ProfileId::new(Kind::Seccomp, base));
                    let base = base.and_then(|row| row.spec.as_ref());
                    let base = base.map(|spec| spec.unpack());
                    resolver = need.answer(base.transpose().ok()?);
                }
            }
        }
    }

    /// The profiles that a pod may mean by what it names.
    fn profiles_of(&self, named: &Use) -> Vec<ProfileId> {
        let candidates = match named {
            Use::SeccompFile(file) => return self.profiles_of_file(file),
            Use::SelinuxType(block) => [Kind::Selinux, Kind::RawSelinux]
                .map(|kind| ProfileId::new(kind, block.as_str()))
                .into(),
            Use::AppArmor(name) => vec![ProfileId::new(Kind::AppArmor, name)],
        };
        let known = candidates.into_iter().filter(|id| self.row(id).is_some());
        known.collect()
    }

    /// The profiles whose file this is. Two names can have the same file (contract 02a, 2.7).
    fn profiles_of_file(&self, file: &str) -> Vec<ProfileId> {
        let stem = file.strip_suffix(".json").unwrap_or(file);
        let ids = [stem, file].map(|name| ProfileId::new(Kind::Seccomp, name));
        let named: BTreeSet<ProfileId> = ids
            .into_iter()
            .filter(|id| self.row(id).is_some())
            .collect();
        // The file of a very long name does not show the name.
        let searched = if named.is_empty() && file.contains('_') {
            let wanted = Some(Use::SeccompFile(file.to_owned()));
            let all = self.profiles.get(&Kind::Seccomp).into_iter();
            all.flat_map(Table::iter)
                .filter(|(name, _)| Kind::Seccomp.used_by(name) == wanted)
                .map(|(name, _)| ProfileId::new(Kind::Seccomp, name))
                .collect()
        } else {
            Vec::new()
        };
        named.into_iter().chain(searched).collect()
    }

    /// What the profiles that build on one say changes with it: their effective system calls.
    fn touch_children(&self, id: &ProfileId, touched: &mut Touched) {
        let mut next = vec![id.clone()];
        while let Some(id) = next.pop() {
            for child in self.children.get(&id).into_iter().flatten() {
                if touched.profiles.insert(child.clone()) {
                    next.push(child.clone());
                }
            }
        }
    }

    /// Notes what a profile builds on. What that was and is gets other heirs.
    fn relink(
        &mut self,
        id: &ProfileId,
        old: &BTreeSet<ProfileId>,
        new: &BTreeSet<ProfileId>,
        touched: &mut Touched,
    ) {
        if old == new {
            return;
        }
        for base in old {
            if let Some(children) = self.children.get_mut(base) {
                children.remove(id);
                if children.is_empty() {
                    self.children.remove(base);
                }
            }
        }
        for base in new {
            let children = self.children.entry(base.clone()).or_default();
            children.insert(id.clone());
        }
        if id.kind == Kind::Seccomp {
            return;
        }
        for base in old.union(new) {
            let ancestors = self.ancestors(base);
            let known = ancestors.into_iter().filter(|id| self.row(id).is_some());
            touched.profiles.extend(known);
        }
    }
}

/// Resource versions are ordered numbers (KEP-5504).
fn version(version: Option<&str>) -> u64 {
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;

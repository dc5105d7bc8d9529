//! Pure. What the manager knows: profiles, reports, nodes, and the pods that use a profile.
//!
//! Fed by watches; tells which profiles an event touches, so that no event needs a list of anything.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use spo_api::meta;
use spo_api::name::ProfileName;
use spo_api::node_status::Mechanism;
use spo_api::seccomp_profile::SeccompProfileStatus;
use spo_api::seccomp_profile::held::{HeldSeccompProfile, PackedSpec};
use spo_api::spod::NotAllowedProfiles;
use spo_api::spod::held::HeldSpod;
use spo_kube::table::{Change, Table};
use spo_profile::layout;
use spo_profile::seccomp::render;
use spo_profile::seccomp::resolve::{BaseRef, Progress, Resolver};

use super::plan::{Inputs, Profile};
use super::sum::{NodeFacts, Report, Standing};
use crate::object::{Node, NodeReport, Pod};

const KIND: &str = "SeccompProfile";
/// The name of a mechanism in the object that describes a node.
const MECHANISM: &str = "Seccomp";

#[derive(Debug, Clone, PartialEq)]
struct ProfileRow {
    uid: String,
    resource_version: String,
    generation: Option<i64>,
    deleting: bool,
    finalizers: Vec<String>,
    labeled: bool,
    /// A hash of the annotation: upstream has written the whole list on every profile.
    annotation: Option<u64>,
    base: Option<String>,
    spec: Arc<PackedSpec>,
    status: SeccompProfileStatus,
}

#[derive(Debug, Clone, PartialEq)]
struct ReportRow {
    node: String,
    owner_uid: String,
    report: Option<Report>,
}

#[derive(Debug, Clone, PartialEq)]
struct PodRow {
    files: Vec<String>,
    daemon_on: Option<String>,
}

/// What the watches have shown.
pub(super) struct Index {
    profiles: Table<String, ProfileRow>,
    /// By profile and name of the node status.
    reports: Table<(String, String), ReportRow>,
    /// What nodes say about themselves.
    registrations: Table<String, Vec<Mechanism>>,
    /// Whether a node is up.
    nodes: Table<String, bool>,
    /// By the watch that shows them: each lists on its own, and what its last listing did not show
    /// is gone.
    pods: Vec<Table<(String, String), PodRow>>,
    /// Whether profiles that are not allowed are deleted.
    spods: Table<String, bool>,
    users: BTreeMap<String, BTreeSet<(String, String)>>,
    children: BTreeMap<String, BTreeSet<String>>,
}

/// What an event touches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Touched {
    pub(super) profiles: BTreeSet<String>,
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
            profiles: Table::default(),
            reports: Table::default(),
            registrations: Table::default(),
            nodes: Table::default(),
            pods: (0..watches).map(|_| Table::default()).collect(),
            spods: Table::default(),
            users: BTreeMap::new(),
            children: BTreeMap::new(),
        }
    }

    pub(super) fn observe_profile(&mut self, event: Event<HeldSeccompProfile>) -> Touched {
        if let Event::Apply(profile) = &event
            && let Some(known) = self.profiles.get(&profile.name_any())
            && profile.metadata.uid.as_ref() == Some(&known.uid)
            && version(profile.resource_version().as_deref())
                < version(Some(&known.resource_version))
        {
            // Our own write is newer than this echo of the one before.
            return Touched::default();
        }
        let mut touched = Touched::default();
        for change in self.profiles.observe(event, profile_row) {
            match change {
                Change::Synced => touched.all = true,
                Change::Gone(name, old) => {
                    self.relink(&name, old.base.as_deref(), None);
                    self.touch_children(&name, &mut touched);
                    touched.profiles.insert(name);
                }
                Change::Set(name, old) => {
                    let new = self.profiles.get(&name).cloned();
                    let Some(new) = new.filter(|new| old.as_ref() != Some(new)) else {
                        continue;
                    };
                    let old_base = old.as_ref().and_then(|old| old.base.as_deref());
                    self.relink(&name, old_base, new.base.as_deref());
                    if old.is_none_or(|old| old.spec != new.spec) {
                        self.touch_children(&name, &mut touched);
                    }
                    touched.profiles.insert(name);
                }
            }
        }
        touched
    }

    pub(super) fn observe_report(&mut self, event: Event<NodeReport>) -> Touched {
        // The object that describes a node comes through the same watch.
        let nodes = match &event {
            Event::Init => self.registrations.observe(Event::Init, registration),
            Event::InitDone => self.registrations.observe(Event::InitDone, registration),
            Event::Apply(report) | Event::InitApply(report) if is_about_node(report) => self
                .registrations
                .observe(Event::Apply(report.clone()), registration),
            Event::Delete(report) if is_about_node(report) => self
                .registrations
                .observe(Event::Delete(report.clone()), registration),
            Event::Apply(_) | Event::InitApply(_) | Event::Delete(_) => Vec::new(),
        };
        let mut touched = Touched::default();
        for change in nodes {
            touched.all |= match change {
                Change::Synced | Change::Gone(..) => true,
                Change::Set(node, old) => self.registrations.get(&node) != old.as_ref(),
            };
        }
        for change in self.reports.observe(event, report_row) {
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
        let changes = pods.observe(event, |pod| pod_row(&pod, namespace));
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
            let files = |pod: Option<PodRow>| pod.map(|pod| pod.files).unwrap_or_default();
            let (old, new) = (files(old), files(new));
            for file in old.iter().filter(|file| !new.contains(file)) {
                if let Some(users) = self.users.get_mut(file) {
                    users.remove(&key);
                    if users.is_empty() {
                        self.users.remove(file);
                    }
                }
            }
            for file in &new {
                self.users
                    .entry(file.clone())
                    .or_default()
                    .insert(key.clone());
            }
            for file in old.iter().chain(&new) {
                touched.profiles.extend(self.profiles_of(file));
            }
        }
        touched
    }

    pub(super) fn observe_spod(&mut self, event: Event<HeldSpod>) -> Touched {
        let changes = self.spods.observe(event, |spod| {
            let policy = spod.security().not_allowed_profiles;
            (
                spod.name_any(),
                Some(policy == Some(NotAllowedProfiles::Delete)),
            )
        });
        Touched::all_if(!changes.is_empty())
    }

    /// Puts in what a write of ours has returned, unless the watch has shown more since: a deletion
    /// or a newer object must not be undone here.
    pub(super) fn written(&mut self, profile: HeldSeccompProfile) -> Touched {
        let known = self.profiles.get(&profile.name_any());
        let newer = known.is_some_and(|known| {
            profile.metadata.uid.as_ref() == Some(&known.uid)
                && version(profile.resource_version().as_deref())
                    > version(Some(&known.resource_version))
        });
        if newer {
            self.observe_profile(Event::Apply(profile))
        } else {
            Touched::default()
        }
    }

    /// Whether absence means absence: all watches have listed once.
    pub(super) fn synced(&self) -> bool {
        self.profiles.synced()
            && self.reports.synced()
            && self.nodes.synced()
            && self.pods.iter().all(Table::synced)
            && self.spods.synced()
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        self.profiles.iter().map(|(name, _)| name.clone()).collect()
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
        name: &str,
        spod: &str,
        waited: Duration,
        now: Time,
    ) -> Option<Inputs> {
        let row = self.profiles.get(name)?;
        let file = file_of(name);
        let users = file.as_ref().and_then(|file| self.users.get(file));
        let users = users
            .into_iter()
            .flatten()
            .map(|(ns, pod)| format!("{ns}/{pod}"))
            .collect();
        let effective_syscalls = self.effective_syscalls(name, row);
        let annotated = match (&effective_syscalls, row.annotation) {
            (Some(text), Some(hash)) => hash_of(text) == hash,
            (Some(_), None) => false,
            // Without a base profile the annotation would only repeat the spec; one that upstream
            // has left is left.
            (None, _) => true,
        };
        Some(Inputs {
            profile: Profile {
                name: name.to_owned(),
                uid: row.uid.clone(),
                resource_version: row.resource_version.clone(),
                generation: row.generation,
                deleting: row.deleting,
                finalizers: row.finalizers.clone(),
                labeled: row.labeled,
                annotated,
                status: row.status.clone(),
            },
            nodes: self.node_facts(name, row),
            holders: self.holders(name),
            users,
            effective_syscalls,
            file,
            delete_not_allowed: self.spods.get(spod).copied().unwrap_or_default(),
            waited,
            now,
        })
    }

    fn node_facts(&self, name: &str, row: &ProfileRow) -> Vec<NodeFacts> {
        let mut reports: BTreeMap<&str, Option<&Report>> = BTreeMap::new();
        for (_, report) in self
            .reports_of(name)
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
                let up = *self.nodes.get(node)?;
                let offers = self.registrations.get(node).is_none_or(|mechanisms| {
                    mechanisms
                        .iter()
                        .all(|m| m.name != MECHANISM || m.available)
                });
                let standing = match (up, offers) {
                    (false, _) => Standing::Down,
                    (true, false) => Standing::NotApplicable,
                    (true, true) => Standing::Expected,
                };
                let report = reports.get(node).copied().flatten().cloned();
                Some(NodeFacts {
                    name: node.to_owned(),
                    standing,
                    report,
                })
            })
            .collect()
    }

    fn holders(&self, name: &str) -> Vec<String> {
        let nodes: BTreeSet<&String> = self.reports_of(name).map(|(_, row)| &row.node).collect();
        nodes
            .into_iter()
            .filter(|node| self.nodes.get(*node) == Some(&true))
            .cloned()
            .collect()
    }

    fn reports_of<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a (String, String), &'a ReportRow)> {
        self.reports
            .range_from((name.to_owned(), String::new()))
            .take_while(move |((profile, _), _)| profile == name)
    }

    fn effective_syscalls(&self, name: &str, row: &ProfileRow) -> Option<String> {
        row.base.as_ref()?;
        let mut resolver = Resolver::new(name, row.spec.unpack().ok()?);
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
                    let base = self.profiles.get(base).map(|row| row.spec.unpack());
                    resolver = need.answer(base.transpose().ok()?);
                }
            }
        }
    }

    /// The profiles whose file this is. Two names can have the same file (contract 02a, 2.7).
    fn profiles_of(&self, file: &str) -> impl Iterator<Item = String> {
        let stem = file.strip_suffix(".json").unwrap_or(file);
        let names = [stem, file].map(str::to_owned).into_iter();
        let named: Vec<String> = names
            .filter(|name| self.profiles.get(name).is_some())
            .collect();
        // The file of a very long name does not show the name.
        let searched = if named.is_empty() && file.contains('_') {
            let all = self.profiles.iter().map(|(name, _)| name);
            all.filter(|name| file_of(name).as_deref() == Some(file))
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        named.into_iter().chain(searched)
    }

    fn touch_children(&self, name: &str, touched: &mut Touched) {
        let mut next = vec![name.to_owned()];
        while let Some(name) = next.pop() {
            for child in self.children.get(&name).into_iter().flatten() {
                if touched.profiles.insert(child.clone()) {
                    next.push(child.clone());
                }
            }
        }
    }

    fn relink(&mut self, name: &str, old: Option<&str>, new: Option<&str>) {
        if let Some(children) = old.and_then(|old| self.children.get_mut(old)) {
            children.remove(name);
        }
        if let Some(new) = new {
            self.children
                .entry(new.to_owned())
                .or_default()
                .insert(name.to_owned());
        }
        self.children.retain(|_, children| !children.is_empty());
    }
}

fn profile_row(profile: HeldSeccompProfile) -> (String, Option<ProfileRow>) {
    let HeldSeccompProfile {
        metadata,
        spec,
        status,
    } = profile;
    let annotations = metadata.annotations.unwrap_or_default();
    let base = spec.unpack().ok().and_then(|spec| spec.base_profile_name);
    let row = ProfileRow {
        uid: metadata.uid.unwrap_or_default(),
        resource_version: metadata.resource_version.unwrap_or_default(),
        generation: metadata.generation,
        deleting: metadata.deletion_timestamp.is_some(),
        finalizers: metadata.finalizers.unwrap_or_default(),
        labeled: metadata
            .labels
            .is_some_and(|l| l.contains_key(meta::LABEL_PROFILE_ID)),
        annotation: annotations
            .get(meta::ANNOTATION_SYSCALLS)
            .map(|text| hash_of(text)),
        base: base.filter(|base| !base.is_empty()),
        spec: Arc::new(spec),
        status: status.unwrap_or_default(),
    };
    (metadata.name.unwrap_or_default(), Some(row))
}

fn is_about_node(report: &NodeReport) -> bool {
    report
        .subject()
        .is_some_and(|(kind, _, _)| kind == meta::KIND_NODE)
}

fn registration(report: NodeReport) -> (String, Option<Vec<Mechanism>>) {
    let node = report.spec.map(|spec| spec.node_name).unwrap_or_default();
    (node, report.status.map(|status| status.mechanisms))
}

fn report_row(report: NodeReport) -> ((String, String), Option<ReportRow>) {
    let name = report.name_any();
    let Some((KIND, profile, uid)) = report.subject() else {
        return ((String::new(), name), None);
    };
    let row = ReportRow {
        node: report
            .spec
            .as_ref()
            .map(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        owner_uid: uid.to_owned(),
        report: report.state().and_then(|state| {
            let status = report.status.as_ref()?;
            Some(Report {
                state,
                reason: status.reason.clone(),
                message: status.message.clone(),
                observed_generation: status.observed_generation,
            })
        }),
    };
    ((profile.to_owned(), name), Some(row))
}

fn pod_row(pod: &Pod, namespace: &str) -> ((String, String), Option<PodRow>) {
    let key = (pod.namespace().unwrap_or_default(), pod.name_any());
    let row = PodRow {
        files: pod.seccomp_files(),
        daemon_on: pod.daemon_on(namespace).map(str::to_owned),
    };
    let relevant = !row.files.is_empty() || row.daemon_on.is_some();
    (key, relevant.then_some(row))
}

fn file_of(name: &str) -> Option<String> {
    layout::seccomp_file(&ProfileName::parse(name).ok()?).ok()
}

/// Resource versions are ordered numbers (KEP-5504).
fn version(version: Option<&str>) -> u64 {
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;

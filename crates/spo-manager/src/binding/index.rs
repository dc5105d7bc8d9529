//! Pure. What the controller knows: every binding, and the pods of the namespaces that have one.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::ObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use serde::Deserialize;
use serde_json::Value;
use spo_api::name::ProfileName;
use spo_api::profile::ProfileKind;
use spo_api::profile_binding::{ProfileBinding, ProfileBindingStatus};
use spo_kube::table::{Change, Table};
use spo_profile::layout;
use spo_profile::selinux::name::BlockName;
use spo_webhook::admission::binding::rule::Rule;

use super::Key;
use super::plan::Inputs;
use super::pod::{self, Pod, PodRow};

/// A binding as it is watched: one that can not be read must not fail the list.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "ProfileBinding")]
pub(super) struct HeldBinding {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Clone, PartialEq)]
struct BindingRow {
    resource_version: String,
    deleting: bool,
    finalizers: Vec<String>,
    active_workloads: Vec<String>,
    /// What it says, and what a pod writes to use the profile. `None` if it can not be read, or
    /// nobody can use it: it has no workloads.
    rule: Option<(Rule, String)>,
}

/// What the watches have shown.
#[derive(Default)]
pub(super) struct Index {
    bindings: Table<(String, String), BindingRow>,
    /// By namespace, for as long as it is watched.
    pods: BTreeMap<String, Table<String, PodRow>>,
}

/// What a change means for a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// It has bindings.
    Pods,
    /// It has none any more.
    Nothing,
}

impl Index {
    /// Takes an event in: what to look at, and whose pods are of interest from now on.
    pub(super) fn observe_binding(
        &mut self,
        event: Event<HeldBinding>,
    ) -> (BTreeSet<Key>, BTreeMap<String, Interest>) {
        let (mut touched, mut interests) = (BTreeSet::new(), BTreeMap::new());
        for change in self.bindings.observe(event, binding_row) {
            let key = match change {
                Change::Synced => continue,
                Change::Gone(key, _) => key,
                Change::Set(key, old) => {
                    if self.bindings.get(&key) != old.as_ref() {
                        touched.insert(Key::new(&key.0, &key.1));
                    }
                    key
                }
            };
            let namespace = key.0;
            let wanted = self.bindings_of(&namespace).next().is_some();
            match (wanted, self.pods.contains_key(&namespace)) {
                (true, false) => {
                    self.pods.insert(namespace.clone(), Table::default());
                    interests.insert(namespace, Interest::Pods);
                }
                (false, true) => {
                    self.pods.remove(&namespace);
                    interests.insert(namespace, Interest::Nothing);
                }
                _ => {}
            }
        }
        (touched, interests)
    }

    /// Takes an event of a namespace in: what to look at.
    pub(super) fn observe_pod(&mut self, namespace: &str, event: Event<Pod>) -> BTreeSet<Key> {
        let mut touched = BTreeSet::new();
        let Some(pods) = self.pods.get_mut(namespace) else {
            return touched;
        };
        let changes = pods.observe(event, pod::row);
        for change in changes {
            let (name, old) = match change {
                Change::Synced => {
                    let all = self.bindings_of(namespace);
                    touched.extend(all.map(|(name, _)| Key::new(namespace, name)));
                    continue;
                }
                Change::Gone(name, old) => (name, Some(old)),
                Change::Set(name, old) => (name, old),
            };
            let new = self.pods.get(namespace).and_then(|pods| pods.get(&name));
            for (binding, row) in self.bindings_of(namespace) {
                if uses(row, old.as_ref()) != uses(row, new) {
                    touched.insert(Key::new(namespace, binding));
                }
            }
        }
        touched
    }

    fn bindings_of<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a BindingRow)> {
        self.bindings
            .range_from((namespace.to_owned(), String::new()))
            .take_while(move |((of, _), _)| of == namespace)
            .map(|((_, name), row)| (name.as_str(), row))
    }

    /// The inputs of the plan for a binding; `None` if there is no such binding, or not all pods of
    /// its namespace have been seen.
    pub(super) fn inputs(&self, key: &Key) -> Option<Inputs> {
        let Key { namespace, name } = key;
        let row = self.bindings.get(&(namespace.clone(), name.clone()))?;
        let pods = self.pods.get(namespace).filter(|pods| pods.synced())?;
        let users = pods.iter().filter(|(_, pod)| uses(row, Some(pod)));
        let users = users.map(|(pod, _)| format!("{namespace}/{pod}"));
        Some(Inputs {
            namespace: namespace.clone(),
            name: name.clone(),
            resource_version: row.resource_version.clone(),
            deleting: row.deleting,
            finalizers: row.finalizers.clone(),
            active_workloads: row.active_workloads.clone(),
            users: users.collect(),
        })
    }
}

fn uses(row: &BindingRow, pod: Option<&PodRow>) -> bool {
    let rule = row.rule.as_ref();
    rule.zip(pod)
        .is_some_and(|((rule, value), pod)| pod.uses(rule, value))
}

fn binding_row(binding: HeldBinding) -> ((String, String), Option<BindingRow>) {
    let key = (binding.namespace().unwrap_or_default(), binding.name_any());
    let HeldBinding {
        metadata,
        spec,
        status,
    } = binding;
    let rule = serde_json::from_value(spec).ok().map(Rule::new);
    let status: Option<ProfileBindingStatus> = serde_json::from_value(status).ok();
    let row = BindingRow {
        resource_version: metadata.resource_version.unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        finalizers: metadata.finalizers.unwrap_or_default(),
        active_workloads: status.unwrap_or_default().active_workloads,
        rule: rule.and_then(|rule| {
            let value = value(&rule)?;
            Some((rule, value))
        }),
    };
    (key, Some(row))
}

/// What a pod writes to use the profile of a binding (contract 01, 7.1). It follows from the name,
/// so that pods count which still run with a profile that is gone.
fn value(rule: &Rule) -> Option<String> {
    let name = ProfileName::parse(&rule.profile).ok()?;
    Some(match rule.kind {
        ProfileKind::SeccompProfile => {
            layout::localhost_profile(&layout::seccomp_file(&name).ok()?)
        }
        ProfileKind::SelinuxProfile => BlockName::parse(name.as_str()).ok()?.usage(),
        ProfileKind::AppArmorProfile => name.to_string(),
    })
}

#[cfg(test)]
mod tests;

//! Pure. The operations that put the chosen profiles into a pod: the few places that change, each
//! with as little as possible.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use spo_api::profile::ProfileKind;

use super::choose::{Bound, Choice};
use super::pod::{Container, Context, KINDS, Pod, field};
use crate::admission::decision::{Operation, pointer};

/// The operations, and what was left as the author of the pod has it.
pub(super) fn patch(pod: &Pod<'_>, choice: &Choice<'_>) -> (Vec<Operation>, Vec<String>) {
    let (mut operations, mut warnings) = (Vec::new(), Vec::new());
    let mut whole = Place::new(&["spec"], pod.context);
    // Options of SELinux in a container replace those of the pod as a whole.
    let mut completed = BTreeSet::new();
    for kind in KINDS {
        let Some(bound) = choice.any.get(&kind) else {
            continue;
        };
        let value = value(kind, bound.value);
        if let Some(own) = pod.context.profile(kind) {
            if *own != own_form(kind, &value) {
                warnings.push(kept(bound, kind, "the pod"));
            }
            continue;
        }
        whole.set(kind, value, Context(None));
        for (index, container) in pod.containers.iter().enumerate() {
            if choice.exact.contains_key(&(index, kind)) {
                continue;
            }
            if container.has_profile(kind) {
                let whose = format!("the container {:?}", container.name);
                warnings.push(kept(bound, kind, &whose));
            } else if container.context.field(kind).is_some() {
                completed.insert((index, kind));
            }
        }
    }
    operations.extend(whole.operations());
    for (index, container) in pod.containers.iter().enumerate() {
        let number = container.index.to_string();
        let mut place = Place::new(&["spec", container.list, &number], container.context);
        for kind in KINDS {
            let exact = choice.exact.get(&(index, kind));
            let any = choice.any.get(&kind);
            let any = any.filter(|_| completed.contains(&(index, kind)));
            let Some(bound) = exact.or(any) else {
                continue;
            };
            place.set(kind, value(kind, bound.value), pod.context);
            if kind == ProfileKind::AppArmorProfile {
                operations.extend(contradiction(container, bound.value));
            }
        }
        operations.extend(place.operations());
    }
    (operations, warnings)
}

fn kept(bound: &Bound<'_>, kind: ProfileKind, whose: &str) -> String {
    let binding = bound.binding;
    format!(
        "ProfileBinding {binding:?} does not replace the {} that {whose} has of its own: an image \
         of \"*\" gives way",
        field(kind)
    )
}

/// The field of a security context. Of the options of SELinux only the type is ours.
fn value(kind: ProfileKind, value: &str) -> Value {
    match kind {
        ProfileKind::SelinuxProfile => json!({ "type": value }),
        ProfileKind::SeccompProfile | ProfileKind::AppArmorProfile => {
            json!({ "type": "Localhost", "localhostProfile": value })
        }
    }
}

/// The part of a field that [`Context::profile`] shows.
fn own_form(kind: ProfileKind, value: &Value) -> Value {
    match kind {
        ProfileKind::SelinuxProfile => value["type"].clone(),
        ProfileKind::SeccompProfile | ProfileKind::AppArmorProfile => value.clone(),
    }
}

/// Takes an annotation away that names another AppArmor profile: the API server refuses a pod whose
/// field and annotation disagree.
fn contradiction(container: &Container<'_>, profile: &str) -> Option<Operation> {
    let (key, said) = container.annotation?;
    let agrees = said
        .as_str()
        .and_then(|said| said.strip_prefix("localhost/"))
        == Some(profile);
    (!agrees).then(|| Operation::Remove {
        path: pointer(&["metadata", "annotations", key]),
    })
}

/// A security context that changes.
struct Place<'a> {
    path: Vec<String>,
    context: Context<'a>,
    /// What is new, by its path in the context.
    changes: Vec<(Vec<&'static str>, Value)>,
}

impl<'a> Place<'a> {
    /// The context of what is at `parent`.
    fn new(parent: &[&str], context: Context<'a>) -> Self {
        let path = parent.iter().chain(&["securityContext"]);
        Self {
            path: path.map(|&part| part.to_owned()).collect(),
            context,
            changes: Vec::new(),
        }
    }

    /// Sets the field of a kind, unless it says that already. `inherited` is what applies where this
    /// context is silent.
    fn set(&mut self, kind: ProfileKind, mut value: Value, inherited: Context<'_>) {
        let old = self.context.field(kind);
        if self.context.profile(kind) == Some(&own_form(kind, &value)) {
            return;
        }
        let field = field(kind);
        if kind != ProfileKind::SelinuxProfile {
            self.changes.push((vec![field], value));
        } else if old.is_some() {
            self.changes
                .push((vec![field, "type"], value["type"].take()));
        } else {
            // The options of the pod, its level for one, must not get lost.
            let mut options = inherited.field(kind).cloned().unwrap_or_else(|| json!({}));
            options["type"] = value["type"].take();
            self.changes.push((vec![field], options));
        }
    }

    fn operations(self) -> Vec<Operation> {
        let Self {
            path,
            context,
            changes,
        } = self;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if context.0.is_some() {
            let add = |(parts, value): (Vec<&str>, Value)| Operation::Add {
                path: pointer(&[path.as_slice(), &parts].concat()),
                value,
            };
            return changes.into_iter().map(add).collect();
        }
        if changes.is_empty() {
            return Vec::new();
        }
        // Where there is no context there is nothing in it: every change is a field of it.
        let fields: Map<String, Value> = changes
            .into_iter()
            .map(|(parts, value)| (parts.concat(), value))
            .collect();
        vec![Operation::Add {
            path: pointer(&path),
            value: Value::Object(fields),
        }]
    }
}

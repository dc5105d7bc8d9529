//! Pure. The parts of a raw pod that a binding looks at, and where they are in it.
//!
//! The pod stays as it came: nothing of it is written anew but what changes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use spo_api::profile::ProfileKind;

/// By which a pod of old clusters names the AppArmor profile of a container.
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A pod.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    pub(super) labels: BTreeMap<String, String>,
    /// Whether it is to run on Windows, which has none of the mechanisms.
    pub(super) windows: bool,
    /// Its own security context.
    pub(super) context: Context<'a>,
    pub(super) containers: Vec<Container<'a>>,
}

/// A container or an init container.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// The member of the spec that it is in.
    pub(super) list: &'static str,
    /// Its place in that.
    pub(super) index: usize,
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    pub(super) context: Context<'a>,
    /// The key and the value of the annotation with its AppArmor profile.
    pub(super) annotation: Option<(&'a str, &'a Value)>,
}

/// A security context, if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a>(pub(super) Option<&'a Map<String, Value>>);

/// The field of a security context that names the profile of a kind.
pub(super) fn field(kind: ProfileKind) -> &'static str {
    match kind {
        ProfileKind::SeccompProfile => "seccompProfile",
        ProfileKind::SelinuxProfile => "seLinuxOptions",
        ProfileKind::AppArmorProfile => "appArmorProfile",
    }
}

impl<'a> Context<'a> {
    /// The field of a kind, whatever it says.
    pub(super) fn field(self, kind: ProfileKind) -> Option<&'a Value> {
        self.0?.get(field(kind)).filter(|value| !value.is_null())
    }

    /// The profile of a kind that is set here. Options of SELinux without a type say nothing about
    /// a profile.
    pub(super) fn profile(self, kind: ProfileKind) -> Option<&'a Value> {
        let value = self.field(kind)?;
        match kind {
            ProfileKind::SelinuxProfile => {
                let kept = |of: &&Value| !of.is_null() && of.as_str() != Some("");
                value.get("type").filter(kept)
            }
            ProfileKind::SeccompProfile | ProfileKind::AppArmorProfile => Some(value),
        }
    }
}

impl Container<'_> {
    /// Whether its author has set a profile of a kind.
    pub(super) fn has_profile(&self, kind: ProfileKind) -> bool {
        let annotated = kind == ProfileKind::AppArmorProfile && self.annotation.is_some();
        annotated || self.context.profile(kind).is_some()
    }
}

impl<'a> Pod<'a> {
    /// Reads a pod; or says what is not as in a pod.
    pub(super) fn read(pod: &'a Value) -> Result<Self, String> {
        let pod = pod.as_object().ok_or("it is not an object")?;
        let metadata = member(pod, "metadata", "metadata")?;
        let within = |name: &str, path: &str| match metadata {
            Some(metadata) => member(metadata, name, path),
            None => Ok(None),
        };
        let annotations = within("annotations", "metadata.annotations")?;
        let labels = within("labels", "metadata.labels")?;
        let labels = labels.into_iter().flatten().filter_map(|(key, value)| {
            let value = value.as_str()?;
            Some((key.clone(), value.to_owned()))
        });
        let spec = member(pod, "spec", "spec")?.ok_or("spec is missing")?;
        let os = member(spec, "os", "spec.os")?;
        let mut containers = Vec::new();
        for list in ["containers", "initContainers"] {
            let items = match spec.get(list) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(items)) => items,
                Some(_) => return Err(format!("spec.{list} is not a list")),
            };
            for (index, item) in items.iter().enumerate() {
                containers.push(container(list, index, item, annotations)?);
            }
        }
        Ok(Self {
            labels: labels.collect(),
            windows: os.and_then(|os| os.get("name")).and_then(Value::as_str) == Some("windows"),
            context: context(spec, "spec")?,
            containers,
        })
    }
}

fn container<'a>(
    list: &'static str,
    index: usize,
    item: &'a Value,
    annotations: Option<&'a Map<String, Value>>,
) -> Result<Container<'a>, String> {
    let path = format!("spec.{list}[{index}]");
    let item = item
        .as_object()
        .ok_or_else(|| format!("{path} is not an object"))?;
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    let annotation = annotations.and_then(|annotations| {
        let (key, value) = annotations.get_key_value(&format!("{APPARMOR_ANNOTATION}{name}"))?;
        Some((key.as_str(), value))
    });
    Ok(Container {
        list,
        index,
        name,
        image: text("image"),
        context: context(item, &path)?,
        annotation,
    })
}

/// The security context in `parent`, with all that a binding looks at in it.
fn context<'a>(parent: &'a Map<String, Value>, path: &str) -> Result<Context<'a>, String> {
    let path = format!("{path}.securityContext");
    let context = member(parent, "securityContext", &path)?;
    for kind in KINDS {
        if let Some(context) = context {
            member(context, field(kind), &format!("{path}.{}", field(kind)))?;
        }
    }
    Ok(Context(context))
}

/// The kinds of profile that can be bound.
pub(super) const KINDS: [ProfileKind; 3] = [
    ProfileKind::SeccompProfile,
    ProfileKind::SelinuxProfile,
    ProfileKind::AppArmorProfile,
];

/// A member that is an object, if it is there.
fn member<'a>(
    parent: &'a Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<&'a Map<String, Value>>, String> {
    match parent.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(format!("{path} is not an object")),
    }
}

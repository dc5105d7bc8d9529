//! Conversion of an object from one served version to another, on the JSON value. Pure.
//!
//! Only the paths which differ between versions are touched, so that explicit empties and what we
//! do not know survive, and metadata is never looked into beyond the name. v1 is in the middle:
//! old versions are brought to v1, and v1 to old ones. Old versions declare all of v1 (`crd.rs`),
//! so nothing has to be hidden in annotations (decision 20).
//!
//! A whole list fails when one of its objects can not be converted. So a value which stands in no
//! table passes unchanged where the other version shows it, and so does a field of a wrong type.
//!
//! Source: contract 01, section 4.

mod legacy;
mod spelling;

use serde_json::Value;

use crate::GROUP;
use crate::node_status::REPORT_VERSION;

/// The version in which objects are stored.
const HUB: &str = "v1";

/// Each kind and the versions which it is served in. `tests/convert.rs` compares it with the CRDs.
const SERVED: [(&str, &[&str]); 8] = [
    ("AppArmorProfile", &[HUB, "v1alpha1"]),
    ("ProfileBinding", &[HUB, "v1alpha1"]),
    ("ProfileRecording", &[HUB, "v1alpha1"]),
    ("RawSelinuxProfile", &[HUB, "v1alpha2"]),
    ("SeccompProfile", &[HUB, "v1beta1"]),
    (
        "SecurityProfileNodeStatus",
        &[HUB, "v1alpha1", REPORT_VERSION],
    ),
    ("SecurityProfilesOperatorDaemon", &[HUB, "v1alpha1"]),
    ("SelinuxProfile", &[HUB, "v1alpha2"]),
];

/// Why an object can not be converted.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It is nothing that the API server would send.
    #[error("{0} of the object is missing or no text")]
    NoType(&'static str),

    /// It is not one of ours, or not in one of our versions.
    #[error(
        "{kind} {name}: there is no conversion from {from} to {to}; {kind} is served in {served}"
    )]
    NotServed {
        /// The kind of the object.
        kind: String,
        /// The name of the object.
        name: String,
        /// The version of the object.
        from: String,
        /// The wanted version.
        to: String,
        /// The versions which there are.
        served: String,
    },

    /// An old field holds a text which the new one has no place for.
    #[error("{kind} {name}: {field} is {value:?}; {fix}")]
    UnknownValue {
        /// The kind of the object.
        kind: String,
        /// The name of the object.
        name: String,
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// What to write instead.
        fix: String,
    },
}

/// The object in another of its served versions, for example
/// `security-profiles-operator.x-k8s.io/v1`.
pub fn convert(mut object: Value, desired_api_version: &str) -> Result<Value, Error> {
    let api_version = text(&object, "apiVersion").ok_or(Error::NoType("apiVersion"))?;
    if api_version == desired_api_version {
        return Ok(object);
    }
    let kind = text(&object, "kind").ok_or(Error::NoType("kind"))?;
    let (Some(from), Some(to)) = (
        served(&kind, &api_version),
        served(&kind, desired_api_version),
    ) else {
        return Err(Error::NotServed {
            name: name(&object),
            from: api_version,
            to: desired_api_version.to_owned(),
            served: versions(&kind).map_or("no version".to_owned(), |all| {
                let all: Vec<String> = all.iter().map(|one| format!("{GROUP}/{one}")).collect();
                all.join(", ")
            }),
            kind,
        });
    };
    if is_old(from) {
        spelling::to_v1(&kind, &mut object);
        legacy::to_v1(&kind, &mut object)?;
    }
    if is_old(to) {
        legacy::from_v1(&kind, &mut object);
        spelling::from_v1(&kind, &mut object);
    }
    object["apiVersion"] = Value::String(desired_api_version.to_owned());
    Ok(object)
}

/// Reports have the shape of v1.
fn is_old(version: &str) -> bool {
    ![HUB, REPORT_VERSION].contains(&version)
}

fn versions(kind: &str) -> Option<&'static [&'static str]> {
    let mut kinds = SERVED.iter();
    kinds.find(|(name, _)| *name == kind).map(|(_, all)| *all)
}

/// The version in `api_version`, if the kind is served in it.
fn served(kind: &str, api_version: &str) -> Option<&'static str> {
    let version = api_version.strip_prefix(GROUP)?.strip_prefix('/')?;
    let mut all = versions(kind)?.iter();
    all.find(|one| **one == version).copied()
}

fn text(object: &Value, member: &str) -> Option<String> {
    object.get(member)?.as_str().map(str::to_owned)
}

/// `namespace/name`, as far as the object has them.
fn name(object: &Value) -> String {
    let metadata = |member: &str| {
        object
            .get("metadata")
            .and_then(|metadata| text(metadata, member))
    };
    let name = metadata("name").unwrap_or_else(|| "without a name".to_owned());
    match metadata("namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    }
}

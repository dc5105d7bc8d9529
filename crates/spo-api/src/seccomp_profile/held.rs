//! A SeccompProfile as it is held in memory: small, and never unreadable.
//!
//! A daemon holds every profile of the cluster, so the spec is kept as its JSON text, a tenth of the
//! size of the parsed one. An object that is not a valid v1 profile (written by an older schema,
//! say) must not fail the list that it is part of: it is held as the reason why not.

use kube::Resource;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::{SeccompProfile, SeccompProfileSpec, SeccompProfileStatus};

/// A SeccompProfile with a packed spec.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "SeccompProfile")]
pub struct HeldSeccompProfile {
    /// The metadata.
    pub metadata: ObjectMeta,
    /// The spec.
    #[serde(default)]
    pub spec: PackedSpec,
    /// The status; one that can not be read is as good as none.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<SeccompProfileStatus>,
}

/// The spec as JSON text, or why it is not a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackedSpec {
    /// The JSON of a [`SeccompProfileSpec`].
    Json(Box<str>),
    /// Why the spec can not be read.
    Unreadable(Box<str>),
}

impl Default for PackedSpec {
    fn default() -> Self {
        PackedSpec::Unreadable("spec is missing".into())
    }
}

impl PackedSpec {
    /// Packs a spec.
    pub fn pack(spec: &SeccompProfileSpec) -> Self {
        match serde_json::to_string(spec) {
            Ok(json) => PackedSpec::Json(json.into()),
            Err(error) => PackedSpec::Unreadable(error.to_string().into()),
        }
    }

    /// The spec, or why there is none.
    pub fn unpack(&self) -> Result<SeccompProfileSpec, String> {
        match self {
            PackedSpec::Json(json) => serde_json::from_str(json).map_err(|error| error.to_string()),
            PackedSpec::Unreadable(reason) => Err(reason.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for PackedSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(match serde_json::from_value::<SeccompProfileSpec>(value) {
            Ok(spec) => Self::pack(&spec),
            Err(error) => PackedSpec::Unreadable(error.to_string().into()),
        })
    }
}

fn lenient<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SeccompProfileStatus>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_object_does_not_fail_its_list() {
        let list = r#"[
            {"metadata":{"name":"good"},"spec":{"defaultAction":"SCMP_ACT_LOG"},"status":{}},
            {"metadata":{"name":"bad"},"spec":{"defaultAction":"SCMP_ACT_PARTY"},"status":"odd"},
            {"metadata":{"name":"none"}}
        ]"#;
        let held: Vec<HeldSeccompProfile> = serde_json::from_str(list).unwrap();
        let unpacked: Vec<_> = held.iter().map(|profile| profile.spec.unpack()).collect();
        assert!(unpacked[0].is_ok());
        assert!(unpacked[1].as_ref().unwrap_err().contains("SCMP_ACT_PARTY"));
        assert_eq!(unpacked[2], Err("spec is missing".to_owned()));
        assert_eq!(held[1].status, None);
    }
}

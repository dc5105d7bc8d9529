//! An AppArmorProfile as a daemon holds it in memory: small, and never unreadable.
//!
//! As for seccomp: an object that is not a valid v1 profile must not fail the list that it is part
//! of, so it is held as the reason why not.

use kube::Resource;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{AppArmorProfile, AppArmorProfileSpec, AppArmorProfileStatus};

/// An AppArmorProfile with a packed spec.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "AppArmorProfile")]
pub struct HeldAppArmorProfile {
    /// The metadata.
    pub metadata: ObjectMeta,
    /// The spec. An absent one is an empty one.
    #[serde(default)]
    pub spec: PackedSpec,
    /// The status; one that can not be read is as good as none.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<AppArmorProfileStatus>,
}

/// The spec as JSON text, or why it is not a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackedSpec {
    /// The JSON of an [`AppArmorProfileSpec`].
    Json(Box<str>),
    /// Why the spec can not be read.
    Unreadable(Box<str>),
}

impl Default for PackedSpec {
    fn default() -> Self {
        Self::Json("{}".into())
    }
}

impl PackedSpec {
    /// The spec, or why there is none.
    pub fn unpack(&self) -> Result<AppArmorProfileSpec, String> {
        match self {
            Self::Json(json) => serde_json::from_str(json).map_err(|error| error.to_string()),
            Self::Unreadable(reason) => Err(reason.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for PackedSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let packed = serde_json::from_value::<AppArmorProfileSpec>(value)
            .and_then(|spec| serde_json::to_string(&spec));
        Ok(match packed {
            Ok(json) => Self::Json(json.into()),
            Err(error) => Self::Unreadable(error.to_string().into()),
        })
    }
}

fn lenient<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<AppArmorProfileStatus>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apparmor_profile::Mode;

    #[test]
    fn an_unreadable_object_does_not_fail_its_list() {
        let list = r#"[
            {"metadata":{"name":"good"},"spec":{"mode":"Complain"},"status":{}},
            {"metadata":{"name":"bad"},"spec":{"mode":"Party"},"status":"odd"},
            {"metadata":{"name":"none"}}
        ]"#;
        let held: Vec<HeldAppArmorProfile> = serde_json::from_str(list).unwrap();
        let unpacked: Vec<_> = held.iter().map(|profile| profile.spec.unpack()).collect();
        assert_eq!(unpacked[0].as_ref().unwrap().mode, Mode::Complain);
        assert!(unpacked[1].as_ref().unwrap_err().contains("Party"));
        assert_eq!(unpacked[2], Ok(AppArmorProfileSpec::default()));
        assert_eq!(held[1].status, None);
    }
}

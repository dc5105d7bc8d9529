//! SelinuxProfiles and RawSelinuxProfiles as they are held in memory: small, and never unreadable.
//!
//! As with SeccompProfiles, the spec is kept as its JSON text, and an object that is not a valid v1
//! profile is held as the reason why not: it must not fail the list that it is part of.

use std::marker::PhantomData;

use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::{SelinuxProfile, SelinuxProfileSpec, SelinuxProfileStatus};
use crate::raw_selinux_profile::{RawSelinuxProfile, RawSelinuxProfileSpec};

/// A SelinuxProfile with a packed spec.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "SelinuxProfile")]
pub struct HeldSelinuxProfile {
    /// The metadata.
    pub metadata: ObjectMeta,
    /// The spec.
    #[serde(default)]
    pub spec: Packed<SelinuxProfileSpec>,
    /// The status; one that can not be read is as good as none.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<SelinuxProfileStatus>,
}

/// A RawSelinuxProfile with a packed spec.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "RawSelinuxProfile")]
pub struct HeldRawSelinuxProfile {
    /// The metadata.
    pub metadata: ObjectMeta,
    /// The spec.
    #[serde(default)]
    pub spec: Packed<RawSelinuxProfileSpec>,
    /// The status; one that can not be read is as good as none.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<SelinuxProfileStatus>,
}

/// A spec as JSON text, or why it is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed<T> {
    json: Result<Box<str>, Box<str>>,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs a spec.
    pub fn pack(spec: &T) -> Self {
        Self {
            json: serde_json::to_string(spec)
                .map(Into::into)
                .map_err(|error| error.to_string().into()),
            of: PhantomData,
        }
    }

    /// The spec, or why there is none.
    ///
    /// # Errors
    /// The object is not a valid v1 profile.
    pub fn unpack(&self) -> Result<T, String> {
        match &self.json {
            Ok(json) => serde_json::from_str(json).map_err(|error| error.to_string()),
            Err(reason) => Err(reason.to_string()),
        }
    }
}

/// An absent spec is an empty one.
impl<T: Serialize + DeserializeOwned + Default> Default for Packed<T> {
    fn default() -> Self {
        Self::pack(&T::default())
    }
}

impl<'de, T: Serialize + DeserializeOwned> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(match serde_json::from_value::<T>(value) {
            Ok(spec) => Self::pack(&spec),
            Err(error) => Self {
                json: Err(error.to_string().into()),
                of: PhantomData,
            },
        })
    }
}

fn lenient<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SelinuxProfileStatus>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_object_does_not_fail_its_list() {
        let list = r#"[
            {"metadata":{"name":"good"},"spec":{"allow":{"a_t":{"file":["read"]}}},"status":{}},
            {"metadata":{"name":"bad"},"spec":{"mode":"Dreaming"},"status":"odd"},
            {"metadata":{"name":"none"}}
        ]"#;
        let held: Vec<HeldSelinuxProfile> = serde_json::from_str(list).unwrap();
        let unpacked: Vec<_> = held.iter().map(|profile| profile.spec.unpack()).collect();
        assert_eq!(unpacked[0].as_ref().unwrap().allow.len(), 1);
        assert!(unpacked[1].as_ref().unwrap_err().contains("Dreaming"));
        assert_eq!(unpacked[2], Ok(SelinuxProfileSpec::default()));
        assert_eq!(held[1].status, None);
        let raw: Vec<HeldRawSelinuxProfile> =
            serde_json::from_str(r#"[{"metadata":{}},{"metadata":{},"spec":{"policy":"(x)"}}]"#)
                .unwrap();
        assert_eq!(raw[0].spec.unpack().unwrap().policy, None);
        assert_eq!(raw[1].spec.unpack().unwrap().policy.as_deref(), Some("(x)"));
    }
}

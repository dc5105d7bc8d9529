//! Pure. Objects as the watches hand them over: the few fields that are kept, and never unreadable
//! because of the others.

use std::borrow::Cow;
use std::marker::PhantomData;

use kube::Resource;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use spo_api::node_status::ProfileState;
use spo_api::profile::ProfileKind;
use spo_api::profile_binding::{ProfileBinding, ProfileBindingSpec};
use spo_api::spod::{SecurityProfilesOperatorDaemon, SelinuxOptions};

use crate::admission::binding::rule::Rule;
use crate::cache::{Binding, Profile};

/// A profile of the kind `K` without what is in it.
#[derive(Deserialize, Clone, Debug)]
#[serde(bound = "")]
pub(super) struct HeldProfile<K> {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<HeldStatus>,
    #[serde(skip)]
    kind: PhantomData<K>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct HeldStatus {
    #[serde(deserialize_with = "lenient")]
    status: Option<ProfileState>,
    localhost_profile: Option<String>,
    usage: Option<String>,
}

/// What can not be read is as good as not there: a profile without a state is not used.
fn lenient<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

impl<K> HeldProfile<K> {
    /// What is kept. A profile that is being deleted is as good as terminating.
    pub(super) fn reduce(self, kind: ProfileKind) -> Profile {
        let HeldStatus {
            status,
            localhost_profile,
            usage,
        } = self.status.unwrap_or_default();
        let deleted = self.metadata.deletion_timestamp.is_some();
        Profile {
            state: if deleted {
                Some(ProfileState::Terminating)
            } else {
                status
            },
            value: match kind {
                ProfileKind::SeccompProfile => localhost_profile,
                ProfileKind::SelinuxProfile => usage,
                ProfileKind::AppArmorProfile => self.metadata.name,
            }
            .filter(|value| !value.is_empty()),
        }
    }
}

impl<K: Resource<DynamicType = ()>> Resource for HeldProfile<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A binding.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "ProfileBinding")]
pub(super) struct HeldBinding {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
}

impl HeldBinding {
    /// What is kept. One that is being deleted waits for its pods to end, and gets no more of them.
    pub(super) fn reduce(self) -> Binding {
        let rule = self.metadata.deletion_timestamp.is_none().then(|| {
            let spec: Result<ProfileBindingSpec, _> = serde_json::from_value(self.spec);
            spec.map(Rule::new)
                .map_err(|error| format!("its spec can not be read: {error}"))
        });
        Binding {
            namespace: self.metadata.namespace.unwrap_or_default(),
            name: self.metadata.name.unwrap_or_default(),
            rule,
        }
    }
}

/// The configuration without what steers others.
///
/// A list that can not be read fails the watch, on purpose: to go on without it would let in what an
/// administrator has forbidden.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "SecurityProfilesOperatorDaemon")]
pub(super) struct HeldSpod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: HeldSpodSpec,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct HeldSpodSpec {
    selinux: Option<HeldSelinux>,
    /// The place of older releases (decision 18).
    selinux_options: Option<SelinuxOptions>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct HeldSelinux {
    options: Option<SelinuxOptions>,
}

impl HeldSpod {
    /// The place of today wins, unless it says what the API server writes there by itself.
    pub(super) fn allowed_system_profiles(self) -> Vec<String> {
        let HeldSpodSpec {
            selinux,
            selinux_options,
        } = self.spec;
        let default = SelinuxOptions::default().allowed_system_profiles;
        let places = [selinux.and_then(|selinux| selinux.options), selinux_options];
        let mut said = places
            .into_iter()
            .flatten()
            .map(|options| options.allowed_system_profiles);
        said.find(|allowed| *allowed != default).unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile(kind: ProfileKind, object: Value) -> Profile {
        let held: HeldProfile<ProfileBinding> = serde_json::from_value(object).unwrap();
        held.reduce(kind)
    }

    #[test]
    fn a_profile_is_its_state_and_how_it_is_used() {
        let check = |kind, state, value: Option<&str>| {
            let status = json!({
                "status": "Installed", "localhostProfile": "operator/p.json",
                "usage": "p.process", "conditions": 1,
            });
            let mut object = json!({"metadata": {"name": "p"}, "spec": 1, "status": status});
            let value = value.map(str::to_owned);
            let expected = |state| Profile {
                state,
                value: value.clone(),
            };
            assert_eq!(profile(kind, object.clone()), expected(state));
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            let terminating = Some(ProfileState::Terminating);
            assert_eq!(profile(kind, object), expected(terminating));
        };
        let installed = Some(ProfileState::Installed);
        check(
            ProfileKind::SeccompProfile,
            installed,
            Some("operator/p.json"),
        );
        check(ProfileKind::SelinuxProfile, installed, Some("p.process"));
        check(ProfileKind::AppArmorProfile, installed, Some("p"));
    }

    #[test]
    fn what_can_not_be_read_is_not_installed() {
        for status in [json!("odd"), json!({"status": "Odd"}), Value::Null] {
            let object = json!({"metadata": {"name": "p"}, "status": status});
            let kind = ProfileKind::SeccompProfile;
            assert_eq!(profile(kind, object), Profile::default());
        }
    }

    #[test]
    fn a_binding_is_what_it_says_until_it_is_deleted() {
        let reduce = |metadata: Value, spec: Value| {
            let object = json!({"metadata": metadata, "spec": spec});
            let held: HeldBinding = serde_json::from_value(object).unwrap();
            held.reduce()
        };
        let spec = json!({"image": "i", "profileRef": {"kind": "SelinuxProfile", "name": "p"}});
        let metadata = json!({"namespace": "n", "name": "b"});
        let Binding {
            namespace,
            name,
            rule,
        } = reduce(metadata.clone(), spec.clone());
        assert_eq!((namespace.as_str(), name.as_str()), ("n", "b"));
        let rule = rule.unwrap().unwrap();
        assert_eq!((rule.image.as_str(), rule.profile.as_str()), ("i", "p"));
        let odd = reduce(metadata.clone(), json!({"image": 1})).rule;
        assert!(odd.unwrap().unwrap_err().contains("can not be read"));
        let mut deleted = metadata;
        deleted["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(reduce(deleted, spec).rule, None);
    }

    #[test]
    fn the_place_of_today_wins_over_the_older_one() {
        let check = |spec: Value, expected: &[&str]| {
            let spod = json!({"metadata": {"name": "spod"}, "spec": spec});
            let spod: HeldSpod = serde_json::from_value(spod).unwrap();
            assert_eq!(spod.allowed_system_profiles(), expected);
        };
        let options = |name: &str| json!({"allowedSystemProfiles": [name]});
        check(json!({}), &["container"]);
        check(json!({"selinux": {"enable": true}}), &["container"]);
        check(json!({"selinux": {"options": {}}}), &["container"]);
        check(
            json!({"selinux": {"options": {"allowedSystemProfiles": []}}}),
            &[],
        );
        check(json!({"selinuxOptions": options("old")}), &["old"]);
        check(
            json!({"selinux": {"options": {}}, "selinuxOptions": options("old")}),
            &["old"],
        );
        check(
            json!({"selinux": {"options": options("new")}, "selinuxOptions": options("old")}),
            &["new"],
        );
    }
}

//! Pure. A pod as far as bindings are concerned: its labels, images, and the profiles it runs with.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use serde::Deserialize;
use spo_api::profile::ProfileKind;
use spo_webhook::admission::binding::rule::Rule;

/// A pod as it is watched.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "v1::Pod")]
pub(crate) struct Pod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    security_context: Option<SecurityContext>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct Status {
    phase: String,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    image: String,
    security_context: Option<SecurityContext>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct SecurityContext {
    seccomp_profile: Option<LocalProfile>,
    se_linux_options: Option<SelinuxOptions>,
    app_armor_profile: Option<LocalProfile>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct LocalProfile {
    r#type: String,
    localhost_profile: Option<String>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct SelinuxOptions {
    r#type: Option<String>,
}

/// What is kept of a pod that runs with profiles which may be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodRow {
    labels: BTreeMap<String, String>,
    /// What holds for containers which say nothing.
    own: Profiles,
    /// By image.
    containers: Vec<(String, Profiles)>,
}

/// What a security context names, by kind. Empty text is what hides the value of the pod and is no
/// profile of a node.
type Profiles = BTreeMap<ProfileKind, String>;

impl SecurityContext {
    fn profiles(self) -> Profiles {
        let local = |profile: LocalProfile| {
            let named = profile
                .localhost_profile
                .filter(|_| profile.r#type == "Localhost");
            named.unwrap_or_default()
        };
        let seccomp = self.seccomp_profile.map(local);
        let apparmor = self.app_armor_profile.map(local);
        let selinux = self
            .se_linux_options
            .map(|options| options.r#type.unwrap_or_default());
        let all = [
            (ProfileKind::SeccompProfile, seccomp),
            (ProfileKind::SelinuxProfile, selinux),
            (ProfileKind::AppArmorProfile, apparmor),
        ];
        all.into_iter()
            .filter_map(|(kind, value)| Some((kind, value?)))
            .collect()
    }
}

/// The name of a pod, and what is kept of it: nothing once it has ended, or if it has no profile.
pub(super) fn row(pod: Pod) -> (String, Option<PodRow>) {
    let name = pod.name_any();
    let ended = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
    let profiles = |context: Option<SecurityContext>| context.unwrap_or_default().profiles();
    let containers = pod
        .spec
        .containers
        .into_iter()
        .chain(pod.spec.init_containers);
    let row = PodRow {
        labels: pod.metadata.labels.unwrap_or_default(),
        own: profiles(pod.spec.security_context),
        containers: containers
            .map(|container| (container.image, profiles(container.security_context)))
            .collect(),
    };
    let relevant = !ended && row.has_profile();
    (name, relevant.then_some(row))
}

impl PodRow {
    fn has_profile(&self) -> bool {
        let contexts = self.containers.iter().map(|(_, profiles)| profiles);
        let mut values = contexts.chain([&self.own]).flatten();
        values.any(|(_, value)| !value.is_empty())
    }

    /// Whether the pod is one that a binding is about, and runs with `value`, which it gives.
    pub(super) fn uses(&self, rule: &Rule, value: &str) -> bool {
        let carries = |profiles: &Profiles| profiles.get(&rule.kind).map(|own| own == value);
        let whole = carries(&self.own) == Some(true);
        let mut containers = self.containers.iter();
        let used = if rule.is_for_any_image() {
            whole || containers.any(|(_, own)| carries(own) == Some(true))
        } else {
            containers.any(|(image, own)| *image == rule.image && carries(own).unwrap_or(whole))
        };
        used && rule.selects(&self.labels) == Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: &Value, phase: &str) -> Option<PodRow> {
        let pod = json!({
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": spec,
            "status": {"phase": phase},
        });
        let (name, row) = row(serde_json::from_value(pod).unwrap());
        assert_eq!(name, "web");
        row
    }

    fn rule(kind: ProfileKind, image: &str, app: Option<&str>) -> Rule {
        let spec = json!({
            "image": image,
            "profileRef": {"kind": kind, "name": "p"},
            "podSelector": app.map(|app| json!({"matchLabels": {"app": app}})),
        });
        Rule::new(serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_pod_uses_what_it_runs_with() {
        let check = |kind, value: &str, context: Value| {
            let other = json!({"image": "other"});
            let inherits = json!({
                "securityContext": context, "containers": [{"image": "foo"}, other],
            });
            let own = json!({
                "containers": [other], "initContainers": [
                    {"image": "foo", "securityContext": context},
                ],
            });
            for spec in [&inherits, &own] {
                let row = pod(spec, "Running").unwrap();
                assert!(row.uses(&rule(kind, "foo", None), value));
                assert!(row.uses(&rule(kind, "*", Some("web")), value));
                assert!(!row.uses(&rule(kind, "foo", None), "x"));
                assert!(!row.uses(&rule(kind, "*", None), "x"));
                assert!(!row.uses(&rule(kind, "foo", Some("db")), value));
                assert!(!row.uses(&rule(kind, "none", None), value));
                assert_eq!(pod(spec, "Succeeded"), None);
                assert_eq!(pod(spec, "Failed"), None);
            }
            let row = pod(&own, "Pending").unwrap();
            assert!(!row.uses(&rule(kind, "other", None), value));
        };
        let local = |profile: &str| json!({"type": "Localhost", "localhostProfile": profile});
        let seccomp = json!({"seccompProfile": local("operator/p.json")});
        check(ProfileKind::SeccompProfile, "operator/p.json", seccomp);
        let selinux = json!({"seLinuxOptions": {"type": "p.process", "level": "s0"}});
        check(ProfileKind::SelinuxProfile, "p.process", selinux);
        let apparmor = json!({"appArmorProfile": local("p")});
        check(ProfileKind::AppArmorProfile, "p", apparmor);
    }

    #[test]
    fn a_container_hides_what_the_pod_has() {
        let hides = |own: Value| {
            let whole = json!({
                "seccompProfile": {"type": "Localhost", "localhostProfile": "v"},
                "seLinuxOptions": {"type": "v"},
            });
            let container = json!({"image": "foo", "securityContext": own});
            let spec = json!({"securityContext": whole, "containers": [container]});
            let row = pod(&spec, "Running").unwrap();
            let hidden = |kind| !row.uses(&rule(kind, "foo", None), "v");
            (
                hidden(ProfileKind::SeccompProfile),
                hidden(ProfileKind::SelinuxProfile),
            )
        };
        assert_eq!(hides(json!({})), (false, false));
        assert_eq!(
            hides(json!({"seccompProfile": {"type": "Unconfined"}})),
            (true, false)
        );
        assert_eq!(
            hides(json!({"seLinuxOptions": {"level": "s0"}})),
            (false, true)
        );
    }

    #[test]
    fn a_pod_without_a_profile_of_the_node_is_not_kept() {
        let context = json!({"seccompProfile": {"type": "RuntimeDefault"}, "seLinuxOptions": {}});
        for spec in [json!({}), json!({"securityContext": context})] {
            assert_eq!(pod(&spec, "Running"), None);
        }
    }
}

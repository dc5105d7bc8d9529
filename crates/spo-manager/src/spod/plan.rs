//! Pure. What to write for one SPOD: the objects it asks for, what it does not ask for any more, and
//! its status.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use spo_api::condition::{self, READY};
use spo_api::spod::effective::{Effective, Moved};
use spo_api::spod::{SecurityProfilesOperatorDaemonStatus, SpodState};
use spo_kube::event::{KubeEvent, Severity};
use spo_kube::step::{Part, Step, Target};
use spo_render::Rendered;

use super::live;
use super::state::{self, Verdict};

/// A kind that the operator renders.
pub(super) struct Kind {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) namespaced: bool,
    /// Served by every cluster, so that it can be watched.
    pub(super) always: bool,
}

const fn kind(
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    always: bool,
) -> Kind {
    Kind {
        api_version,
        kind,
        plural,
        namespaced,
        always,
    }
}

/// Every kind that the operator renders.
pub(super) const KINDS: [Kind; 10] = [
    kind("apps/v1", "DaemonSet", "daemonsets", true, true),
    kind("apps/v1", "Deployment", "deployments", true, true),
    kind("v1", "Service", "services", true, true),
    kind(
        "policy/v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        true,
        true,
    ),
    kind(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        false,
        true,
    ),
    kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        false,
        true,
    ),
    kind(
        "security-profiles-operator.x-k8s.io/v1",
        "SeccompProfile",
        "seccompprofiles",
        false,
        true,
    ),
    kind(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        "servicemonitors",
        true,
        false,
    ),
    kind("cert-manager.io/v1", "Issuer", "issuers", true, false),
    kind(
        "cert-manager.io/v1",
        "Certificate",
        "certificates",
        true,
        false,
    ),
];

impl Kind {
    pub(super) fn resource(&self) -> ApiResource {
        let (group, version) = self
            .api_version
            .split_once('/')
            .unwrap_or(("", self.api_version));
        let gvk = GroupVersionKind::gvk(group, version, self.kind);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) kind: String,
    pub(super) name: String,
}

impl Id {
    pub(super) fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            kind: text(&object["kind"]),
            name: text(&object["metadata"]["name"]),
        }
    }
}

/// A SPOD, as far as the manager acts on it.
#[derive(Debug, Clone)]
pub(super) struct Spod {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) generation: Option<i64>,
    pub(super) status: SecurityProfilesOperatorDaemonStatus,
}

/// What a SPOD comes to.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    /// It can not be put into effect, because of this.
    Impossible(String),
    /// Something is not there yet.
    Waiting(String),
    /// It can: which objects, after which merging of old names.
    Objects {
        rendered: Rendered,
        effective: Box<Effective>,
    },
}

/// Everything that the decision needs.
pub(super) struct Inputs<'a> {
    pub(super) spod: &'a Spod,
    pub(super) meaning: &'a Meaning,
    /// What is in the cluster of the kinds that the operator renders.
    pub(super) live: &'a BTreeMap<Id, Value>,
    pub(super) now: Time,
}

/// The objects to write, in order.
pub(super) fn objects(inputs: &Inputs<'_>) -> Vec<Step> {
    let Meaning::Objects { rendered, .. } = inputs.meaning else {
        return Vec::new();
    };
    let namespace = &inputs.spod.namespace;
    let mut steps = Vec::new();
    let mut wanted = Vec::new();
    for object in &rendered.objects {
        let object = live::stamp(object.clone());
        let id = Id::of(&object);
        let Some(target) = target(&id, namespace) else {
            continue;
        };
        let found = inputs.live.get(&id);
        if !found.is_some_and(|found| live::covers(found, &object)) {
            if let Some(patch) = found.and_then(live::adoption) {
                steps.push(Step::Patch {
                    target: target.clone(),
                    part: Part::Object,
                    patch,
                });
            }
            steps.push(Step::Apply { target, object });
        }
        wanted.push(id);
    }
    for (id, found) in inputs.live {
        if live::is_ours(found) && !wanted.contains(id) && goes_by_itself(id) {
            steps.extend(delete(id, found, namespace));
        }
    }
    steps
}

/// Whether an object is deleted when it is not rendered any more.
///
/// The rest is rendered as long as there is a SPOD, which owns it; but for the webhooks: who deploys
/// them by hand decides about them, also about the ones that we have made.
fn goes_by_itself(id: &Id) -> bool {
    matches!(
        id.kind.as_str(),
        "Issuer" | "Certificate" | "SeccompProfile"
    )
}

/// Deletes what no SPOD asks for any more and no owner in a namespace takes along.
pub(super) fn farewell(live: &BTreeMap<Id, Value>, namespace: &str) -> Vec<Step> {
    let ours = live.iter().filter(|(_, found)| live::is_ours(found));
    let cluster_scoped = ours.filter(|(id, _)| {
        KINDS
            .iter()
            .any(|kind| kind.kind == id.kind && !kind.namespaced)
    });
    cluster_scoped
        .filter_map(|(id, found)| delete(id, found, namespace))
        .collect()
}

fn delete(id: &Id, found: &Value, namespace: &str) -> Option<Step> {
    Some(Step::Delete {
        target: target(id, namespace)?,
        uid: found["metadata"]["uid"].as_str().map(str::to_owned),
    })
}

/// Whether an object is worth to be remembered: it is one that we have made, or may have to take
/// over from upstream.
pub(super) fn concerns_us(id: &Id, object: &Value) -> bool {
    let by_name = match id.kind.as_str() {
        // It has the name of the SPOD.
        "DaemonSet" => true,
        "MutatingWebhookConfiguration" => id.name == "spo-mutating-webhook-configuration",
        "ValidatingWebhookConfiguration" => id.name == "spo-validating-webhook-configuration",
        "Service" => matches!(id.name.as_str(), "webhook-service" | "metrics"),
        "Deployment" | "PodDisruptionBudget" => id.name.starts_with(crate::DEPLOYMENT),
        "SeccompProfile" => id.name == "log-enricher-trace",
        _ => false,
    };
    by_name || live::is_ours(object)
}

/// Whether `step` must not be done as `refused` was refused: it is the same object; or it would make
/// the API server call webhooks whose server nobody runs.
pub(super) fn depends(step: &Step, refused: &Step) -> bool {
    let id = |step: &Step| match step {
        Step::Create { target, .. }
        | Step::Patch { target, .. }
        | Step::Apply { target, .. }
        | Step::Delete { target, .. } => Some(Id {
            kind: target.resource.kind.clone(),
            name: target.name.clone(),
        }),
        Step::DeleteAll { .. } | Step::Publish(_) => None,
    };
    let (Some(of), Some(on)) = (id(step), id(refused)) else {
        return false;
    };
    let calls = of.kind.ends_with("WebhookConfiguration") && matches!(step, Step::Apply { .. });
    let serves = match on.kind.as_str() {
        "Issuer" | "Certificate" | "Deployment" => true,
        "Service" => on.name == "webhook-service",
        _ => false,
    };
    of == on || (calls && serves)
}

fn target(id: &Id, namespace: &str) -> Option<Target> {
    let kind = KINDS.iter().find(|kind| kind.kind == id.kind)?;
    Some(Target {
        resource: kind.resource(),
        namespace: kind.namespaced.then(|| namespace.to_owned()),
        name: id.name.clone(),
    })
}

/// The status to write, if it is not that already; and what to tell users. `failure` is what could
/// not be written.
pub(super) fn status(inputs: &Inputs<'_>, failure: Option<&str>) -> Vec<Step> {
    let spod = inputs.spod;
    let before = spod.status.state;
    let verdict = match (inputs.meaning, failure) {
        (Meaning::Impossible(why), _) => Verdict {
            state: SpodState::Error,
            message: why.clone(),
        },
        (_, Some(failure)) => Verdict {
            state: SpodState::Error,
            message: failure.to_owned(),
        },
        (Meaning::Waiting(what), None) => Verdict {
            state: SpodState::Pending,
            message: what.clone(),
        },
        (Meaning::Objects { rendered, .. }, None) => {
            let find = |kind: &str, name: &str| {
                let id = Id {
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                };
                inputs.live.get(&id)
            };
            let webhook = "security-profiles-operator-webhook";
            let is_rendered = rendered.objects.iter().any(|object| {
                object["kind"] == "Deployment" && object["metadata"]["name"] == webhook
            });
            let deployment = is_rendered.then(|| find("Deployment", webhook));
            state::judge(before, find("DaemonSet", &spod.name), deployment)
        }
    };
    let mut conditions = vec![next(inputs, READY, verdict.ready(), &verdict.message)];
    if let Meaning::Objects {
        rendered,
        effective,
    } = inputs.meaning
    {
        conditions.extend(withheld(inputs, rendered));
        conditions.extend(deprecated(inputs, &effective.moved));
        conditions.extend(any_signer(inputs, effective));
    }
    let status = SecurityProfilesOperatorDaemonStatus {
        state: Some(verdict.state),
        conditions,
    };
    if status == spod.status {
        return Vec::new();
    }
    let mut steps = vec![Step::Patch {
        target: spod_target(spod),
        part: Part::Status,
        patch: json!({ "status": status }),
    }];
    steps.extend(tell(spod, &verdict, failure.is_some()));
    steps
}

fn next(inputs: &Inputs<'_>, kind: &str, now: (&str, &str), message: &str) -> Condition {
    condition::next(
        &inputs.spod.status.conditions,
        kind,
        now,
        message,
        inputs.spod.generation,
        &inputs.now,
    )
}

/// On a SPOD that asks for what this version does not have.
const INCOMPLETE: &str = "Incomplete";
/// On a SPOD that uses names of fields of the 0.10 era.
const DEPRECATED: &str = "DeprecatedFields";
/// On a SPOD that accepts base profiles whoever has signed them (decision 12).
const ANY_SIGNER: &str = "AcceptsAnySigner";

fn withheld(inputs: &Inputs<'_>, rendered: &Rendered) -> Option<Condition> {
    let texts: Vec<String> = rendered
        .withheld
        .iter()
        .map(|withheld| format!("{}: {}", withheld.field, withheld.reason))
        .collect();
    let reason = ("True", "NotInThisVersion");
    (!texts.is_empty()).then(|| next(inputs, INCOMPLETE, reason, &texts.join("; ")))
}

fn deprecated(inputs: &Inputs<'_>, moved: &[Moved]) -> Option<Condition> {
    let texts: Vec<String> = moved
        .iter()
        .map(
            |Moved {
                 flat,
                 grouped,
                 applied,
             }| {
                if *applied {
                    format!("spec.{flat} is taken as spec.{grouped}: write that instead")
                } else {
                    format!("spec.{flat} has no effect: spec.{grouped} says otherwise")
                }
            },
        )
        .collect();
    let reason = ("True", "OldNames");
    (!texts.is_empty()).then(|| next(inputs, DEPRECATED, reason, &texts.join("; ")))
}

fn any_signer(inputs: &Inputs<'_>, effective: &Effective) -> Option<Condition> {
    let security = effective.spec.security.clone().unwrap_or_default();
    let any = |regexp: &str| regexp.is_empty() || regexp == ".*";
    let text = "spec.security.allowedIdentityRegexp and allowedOidcIssuerRegexp accept every signer \
                of base profiles from registries: name the ones you trust";
    let open = !security.disable_oci_artifact_signature_verification
        && any(&security.allowed_identity_regexp)
        && any(&security.allowed_oidc_issuer_regexp);
    open.then(|| next(inputs, ANY_SIGNER, ("True", "NoIdentityNamed"), text))
}

/// Tells once, when it changes.
fn tell(spod: &Spod, verdict: &Verdict, is_failure: bool) -> Option<Step> {
    let same_state = spod.status.state == Some(verdict.state);
    let ready = spod.status.conditions.iter().find(|c| c.type_ == READY);
    if same_state && ready.is_some_and(|ready| ready.message == verdict.message) {
        return None;
    }
    let (severity, reason) = match verdict.state {
        SpodState::Error if is_failure && spod.status.state.is_none() => {
            (Severity::Warning, "CannotCreateSPOD")
        }
        SpodState::Error if is_failure => (Severity::Warning, "CannotUpdateSPOD"),
        SpodState::Error => (Severity::Warning, "InvalidSPOD"),
        SpodState::Running if !same_state => (Severity::Normal, "Running"),
        _ => return None,
    };
    Some(Step::Publish(KubeEvent {
        about: ObjectReference {
            api_version: Some("security-profiles-operator.x-k8s.io/v1".to_owned()),
            kind: Some("SecurityProfilesOperatorDaemon".to_owned()),
            name: Some(spod.name.clone()),
            namespace: Some(spod.namespace.clone()),
            uid: Some(spod.uid.clone()),
            ..ObjectReference::default()
        },
        severity,
        reason: reason.to_owned(),
        message: verdict.message.clone(),
        component: "spod-config",
        node: None,
    }))
}

fn spod_target(spod: &Spod) -> Target {
    let gvk = GroupVersionKind::gvk(spo_api::GROUP, "v1", "SecurityProfilesOperatorDaemon");
    Target {
        resource: ApiResource::from_gvk_with_plural(&gvk, "securityprofilesoperatordaemons"),
        namespace: Some(spod.namespace.clone()),
        name: spod.name.clone(),
    }
}

#[cfg(test)]
mod tests;

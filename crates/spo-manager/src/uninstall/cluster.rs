//! What an uninstallation reads from the cluster. Of our own objects only metadata: their content
//! may be in a version that nobody can convert any more.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use spo_api::meta;
use spo_kube::execute::execute;
use spo_kube::step::{Part, Step, Target};

use super::plan::{Object, Seen, Turn};
use super::{Error, Say};
use crate::crds;
use crate::kind::{Kind, Use};
use crate::object::{Node, Pod};

/// Objects listed at once.
const PAGE: u32 = 500;
/// The pods of the DaemonSet.
const DAEMONS: &str = "app=security-profiles-operator,name=spod";
/// How long a changed definition takes to be acted on, at most.
const SPREAD: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(500);

/// The webhook configurations that the operator or upstream has made. That upstream's second one
/// stays is a known defect: it refuses RawSelinuxProfiles for ever.
const WEBHOOKS: [(&str, &str); 2] = [
    (
        "MutatingWebhookConfiguration",
        "spo-mutating-webhook-configuration",
    ),
    (
        "ValidatingWebhookConfiguration",
        "spo-validating-webhook-configuration",
    ),
];

/// The cluster, and whether it may be changed so that it can be read.
pub(super) struct Cluster<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    /// A dry run changes nothing, not even how objects are converted.
    pub(super) dry_run: bool,
}

impl Cluster<'_> {
    /// Everything.
    pub(super) async fn look(&self, say: Say<'_>) -> Result<Seen, Error> {
        let mut seen = self.look_at_ours(say).await?;
        let mut by_use: BTreeMap<Use, Vec<(String, String)>> = BTreeMap::new();
        for object in seen.of(Turn::First) {
            let named = Kind::of(&object.kind).and_then(|kind| kind.used_by(&object.name));
            if let Some(named) = named {
                let profiles = by_use.entry(named).or_default();
                profiles.push((object.kind.clone(), object.name.clone()));
            }
        }
        if !by_use.is_empty() {
            for pod in list::<Pod>(&Api::all(self.client.clone()), "pods").await? {
                let user = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
                let uses = pod.uses();
                let used = uses.iter().filter_map(|named| by_use.get(named));
                for profile in used.flatten() {
                    let users = seen.users.entry(profile.clone()).or_default();
                    users.push(user.clone());
                }
            }
        }
        Ok(seen)
    }

    /// Everything that is to go, without who uses it.
    pub(super) async fn look_at_ours(&self, say: Say<'_>) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        for name in crds::names() {
            let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
            let found = api.get_opt(&name).await.map_err(read(&name))?;
            let Some(crd) = found else { continue };
            seen.objects.extend(self.objects_of(&crd, say).await?);
            seen.definitions.push(name);
        }
        let sets: Api<PartialObjectMeta<DaemonSet>> = Api::all(self.client.clone());
        let belongs_to_spod = |set: &PartialObjectMeta<DaemonSet>| {
            let mut owners = set.owner_references().iter();
            owners.any(|owner| owner.kind == "SecurityProfilesOperatorDaemon")
        };
        let sets = list(&sets, "DaemonSets").await?;
        let sets = sets.iter().filter(|set| belongs_to_spod(set));
        seen.daemon_sets = sets
            .map(|set| format!("{}/{}", set.namespace().unwrap_or_default(), set.name_any()))
            .collect();
        let nodes = list::<Node>(&Api::all(self.client.clone()), "nodes").await?;
        let nodes = nodes.iter().map(|node| (node.name_any(), node.is_up()));
        seen.nodes = nodes.collect();
        let pods: Api<Pod> = Api::all(self.client.clone());
        for pod in list_labelled(&pods, "pods", DAEMONS).await? {
            let namespace = pod.namespace().unwrap_or_default();
            let node = pod.daemon_on(&namespace);
            if node.is_some_and(|node| seen.nodes.get(node) == Some(&true)) {
                seen.daemons.push(format!("{namespace}/{}", pod.name_any()));
            }
        }
        for webhook in WEBHOOKS {
            let api: Api<DynamicObject> =
                Api::all_with(self.client.clone(), &webhook_target(webhook).resource);
            let found = api.get_metadata_opt(webhook.1).await;
            if found.map_err(read(webhook.1))?.is_some() {
                seen.webhooks.push(webhook);
            }
        }
        Ok(seen)
    }

    async fn objects_of(
        &self,
        crd: &CustomResourceDefinition,
        say: Say<'_>,
    ) -> Result<Vec<Object>, Error> {
        let resource = resource(crd);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let start = tokio::time::Instant::now();
        let mut told = false;
        let listed = loop {
            match listed_in_time(&api).await {
                Err(error) if cannot_convert(&error) && start.elapsed() < SPREAD => {
                    if self.dry_run {
                        return Err(Error::Convert {
                            kind: resource.kind,
                            source: error,
                        });
                    }
                    if !told {
                        told = true;
                        say(&format!(
                            "nobody converts {} any more: switching conversion off in {}, as only \
                             metadata matters from here on",
                            resource.plural,
                            crd.name_any()
                        ));
                        execute(self.client, &without_conversion(&crd.name_any())).await?;
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
                // The definition has gone meanwhile.
                Err(kube::Error::Api(status)) if status.code == 404 => break Vec::new(),
                other => break other.map_err(read(&resource.plural))?,
            }
        };
        let object = |found: PartialObjectMeta<DynamicObject>| {
            let label = |key: &str| found.labels().get(key).cloned();
            Object {
                kind: resource.kind.clone(),
                version: resource.version.clone(),
                plural: resource.plural.clone(),
                namespace: found.namespace(),
                name: found.name_any(),
                resource_version: found.resource_version(),
                finalizers: found.finalizers().to_vec(),
                node: label(meta::LABEL_NODE_NAME),
                profile_id: label(meta::LABEL_PROFILE_ID),
            }
        };
        Ok(listed.into_iter().map(object).collect())
    }

    /// Who renewed the lease of the managers, and when; `None` if there is no lease.
    pub(super) async fn lease(&self) -> Result<Option<String>, Error> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), self.namespace);
        let lease = api.get_opt(crate::LEASE).await.map_err(read("the lease"))?;
        let spec = lease.and_then(|lease| lease.spec);
        let holder = |spec: &k8s_openapi::api::coordination::v1::LeaseSpec| {
            spec.holder_identity.as_ref().is_some_and(|h| !h.is_empty())
        };
        Ok(spec.filter(holder).map(|spec| format!("{spec:?}")))
    }
}

/// The kind in the version in which it is stored.
fn resource(crd: &CustomResourceDefinition) -> ApiResource {
    let version = crd.spec.versions.iter().find(|version| version.storage);
    let version = version.map_or("v1", |version| &version.name);
    let gvk = GroupVersionKind::gvk(&crd.spec.group, version, &crd.spec.names.kind);
    ApiResource::from_gvk_with_plural(&gvk, &crd.spec.names.plural)
}

/// Where an object is.
pub(super) fn target(object: &Object) -> Target {
    let gvk = GroupVersionKind::gvk(spo_api::GROUP, &object.version, &object.kind);
    Target {
        resource: ApiResource::from_gvk_with_plural(&gvk, &object.plural),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    }
}

pub(super) fn webhook_target((kind, name): (&str, &str)) -> Target {
    Target {
        resource: match kind {
            "MutatingWebhookConfiguration" => {
                ApiResource::erase::<MutatingWebhookConfiguration>(&())
            }
            _ => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        },
        namespace: None,
        name: name.to_owned(),
    }
}

pub(super) fn definition_target(name: &str) -> Target {
    Target {
        resource: ApiResource::erase::<CustomResourceDefinition>(&()),
        namespace: None,
        name: name.to_owned(),
    }
}

fn without_conversion(definition: &str) -> Step {
    Step::Patch {
        target: definition_target(definition),
        part: Part::Object,
        patch: json!({ "spec": { "conversion": { "strategy": "None", "webhook": null } } }),
    }
}

/// Whether the API server could not read what is stored, because of the conversion webhook. A cache
/// that it can not fill for that reason is "initializing" for ever.
fn cannot_convert(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let text = &status.message;
    (status.code >= 500 && text.contains("conversion webhook"))
        || text.contains("storage is (re)initializing")
        || (status.code == 504 && text == NO_ANSWER)
}

/// What [`listed_in_time`] says when there is no answer.
const NO_ANSWER: &str = "no answer in time";
/// How long a listing may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// A listing with an end: an API server that waits for a webhook may not answer at all.
async fn listed_in_time(
    api: &Api<DynamicObject>,
) -> Result<Vec<PartialObjectMeta<DynamicObject>>, kube::Error> {
    match tokio::time::timeout(DEADLINE, list_metadata(api)).await {
        Ok(listed) => listed,
        Err(_elapsed) => Err(kube::Error::Api(Box::new(
            kube::core::Status::failure(NO_ANSWER, "Timeout").with_code(504),
        ))),
    }
}

fn read(what: &str) -> impl Fn(kube::Error) -> Error + use<> {
    let what = what.to_owned();
    move |source| Error::Read {
        what: what.clone(),
        source,
    }
}

async fn list<K>(api: &Api<K>, what: &str) -> Result<Vec<K>, Error>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    list_labelled(api, what, "").await
}

async fn list_labelled<K>(api: &Api<K>, what: &str, labels: &str) -> Result<Vec<K>, Error>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(PAGE).labels(labels);
    loop {
        let list = api.list(&page).await.map_err(read(what))?;
        found.extend(list.items);
        match list.metadata.continue_ {
            Some(token) if !token.is_empty() => page.continue_token = Some(token),
            _ => return Ok(found),
        }
    }
}

async fn list_metadata(
    api: &Api<DynamicObject>,
) -> Result<Vec<PartialObjectMeta<DynamicObject>>, kube::Error> {
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list_metadata(&page).await?;
        found.extend(list.items);
        match list.metadata.continue_ {
            Some(token) if !token.is_empty() => page.continue_token = Some(token),
            _ => return Ok(found),
        }
    }
}

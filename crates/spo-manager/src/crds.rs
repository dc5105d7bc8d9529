//! Our CustomResourceDefinitions in the cluster: where they find the conversion webhook, and which
//! versions are still stored.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use spo_api::crd::CONVERSION_SERVICE;
use spo_kube::execute::{Cause, Error as WriteError, execute};
use spo_kube::step::{Part, Step, Target};
use spo_process::chain::chain;
use tracing::{info, warn};

/// What a request to the definitions can end in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read CustomResourceDefinition {name}")]
    Read { name: String, source: kube::Error },
    #[error(
        "there is no CustomResourceDefinition {name}: apply the ones that this version ships with"
    )]
    Missing { name: String },
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The object name of every definition of ours.
pub(crate) fn names() -> Vec<String> {
    let name = |crd: &Value| crd["metadata"]["name"].as_str().map(str::to_owned);
    spo_api::crd::all().iter().filter_map(name).collect()
}

fn resource() -> ApiResource {
    ApiResource::erase::<CustomResourceDefinition>(&())
}

/// Pure. What to change in a definition so that it finds our conversion webhook.
fn stanza(crd: &CustomResourceDefinition, namespace: &str, bundle: &str) -> Option<Value> {
    let wanted = json!({
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": ["v1"],
            "clientConfig": {
                "url": null,
                "caBundle": base64_of(bundle),
                "service": {
                    "name": CONVERSION_SERVICE,
                    "namespace": namespace,
                    "path": "/convert",
                    "port": 443,
                },
            },
        },
    });
    let found = serde_json::to_value(&crd.spec.conversion).unwrap_or_default();
    let mut there = wanted.clone();
    there["webhook"]["clientConfig"]
        .as_object_mut()?
        .remove("url");
    (found != there).then(|| json!({ "spec": { "conversion": wanted } }))
}

/// As JSON shows bytes.
fn base64_of(text: &str) -> Value {
    let bytes = k8s_openapi::ByteString(text.as_bytes().to_vec());
    serde_json::to_value(bytes).unwrap_or_default()
}

/// Points every definition that needs conversion at us. Writes nothing where that is so.
pub(crate) async fn point_at_us(
    client: &Client,
    namespace: &str,
    bundle: &str,
) -> Result<(), Error> {
    for name in spo_api::crd::converted_kinds() {
        let crd = get(client, &name).await?;
        let Some(patch) = stanza(&crd, namespace, bundle) else {
            continue;
        };
        let step = Step::Patch {
            target: target(&name),
            part: Part::Object,
            patch,
        };
        execute(client, &step).await?;
        info!(crd = %name, "the definition points at our conversion webhook");
    }
    Ok(())
}

async fn get(client: &Client, name: &str) -> Result<CustomResourceDefinition, Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found = api.get_opt(name).await.map_err(|source| Error::Read {
        name: name.to_owned(),
        source,
    })?;
    found.ok_or_else(|| Error::Missing {
        name: name.to_owned(),
    })
}

fn target(name: &str) -> Target {
    Target {
        resource: resource(),
        namespace: None,
        name: name.to_owned(),
    }
}

/// The version in which objects are stored.
const STORED: &str = "v1";
/// Objects listed at once.
const PAGE: u32 = 100;

/// Rewrites what an old release has stored in an old version, so that the old version can go one
/// day. What is stored in v1 already costs one look at the definition.
///
/// An empty patch is enough: the API server writes an object whose stored form is not what it would
/// store now. Source: kube-storage-version-migrator, and apiserver `GuaranteedUpdate`.
pub(crate) async fn migrate(client: &Client) -> Result<(), Error> {
    for name in names() {
        let crd = get(client, &name).await?;
        let stored = crd
            .status
            .iter()
            .flat_map(|status| status.stored_versions.iter().flatten());
        if stored.clone().all(|version| version == STORED) {
            continue;
        }
        if migrate_kind(client, &crd).await? {
            let patch = json!({
                "metadata": { "resourceVersion": crd.metadata.resource_version },
                "status": { "storedVersions": [STORED] },
            });
            let step = Step::Patch {
                target: target(&name),
                part: Part::Status,
                patch,
            };
            match execute(client, &step).await {
                Ok(_) => info!(crd = %name, "every object is stored in v1"),
                // Somebody has changed the definition; the next start looks again.
                Err(error) if error.cause() == Cause::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Whether every object could be rewritten.
async fn migrate_kind(client: &Client, crd: &CustomResourceDefinition) -> Result<bool, Error> {
    let names = &crd.spec.names;
    let gvk = GroupVersionKind::gvk(&crd.spec.group, STORED, &names.kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &names.plural);
    let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut page = ListParams::default().limit(PAGE);
    let (mut rewritten, mut refused) = (0_usize, 0_usize);
    loop {
        let list = everywhere.list_metadata(&page).await;
        let list = list.map_err(|source| Error::Read {
            name: crd.name_any(),
            source,
        })?;
        for object in list.items {
            let name = object.name_any();
            let api: Api<DynamicObject> = match object.namespace() {
                Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
                None => everywhere.clone(),
            };
            let nothing = Patch::Merge(json!({}));
            match api
                .patch_metadata(&name, &PatchParams::default(), &nothing)
                .await
            {
                Ok(_) => rewritten += 1,
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    refused += 1;
                    warn!(
                        kind = %names.kind, %name, error = %chain(&error),
                        "cannot rewrite an object that an old release has stored: it stays as it is"
                    );
                }
            }
        }
        match list.metadata.continue_ {
            Some(token) if !token.is_empty() => page.continue_token = Some(token),
            _ => break,
        }
    }
    info!(kind = %names.kind, rewritten, refused, "objects of old releases are rewritten in v1");
    Ok(refused == 0)
}

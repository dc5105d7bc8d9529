//! One reconcile of a SPOD: what it means in this cluster, what is written, and how that went.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Node};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client, Resource as _};
use serde_json::Value;
use spo_api::spod::effective::effective;
use spo_api::spod::{
    SecurityProfilesOperatorDaemon, SecurityProfilesOperatorDaemonSpec, SelinuxBackend,
};
use spo_kube::execute::{Cause, advise, execute};
use spo_kube::queue::Outcome;
use spo_kube::reach;
use spo_kube::step::Step;
use spo_process::chain::chain;
use spo_render::Rendered;
use spo_render::facts::{Certificates, ClusterOwner, Facts, Offers, Owner};
use tracing::{debug, info};

use super::plan::{self, Id, Inputs, KINDS, Meaning, Spod};
use super::selinuxd_image::{self, Choice};
use super::{Context, value};
use crate::platform::{self, Platform, Provider};

/// What is asked of the cluster once in a while.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    platform: Platform,
    /// The uid of our own definition: what has no namespace goes when it goes.
    definition: Option<String>,
    /// Which image of selinuxd fits the nodes, once somebody wants to know.
    selinuxd: Option<Choice>,
}

/// What a piece of work brings back.
pub(super) struct Done {
    pub(super) ended: Result<Outcome, Stop>,
    /// The objects that were written, as they are now.
    pub(super) written: Vec<(Id, Value)>,
    /// The SPOD as it is after its status was written.
    pub(super) spod: Option<Value>,
    pub(super) surroundings: Option<Surroundings>,
}

/// Why a reconcile did not come to its end.
pub(super) enum Stop {
    /// Somebody was faster: the watch will say what to do.
    Overtaken,
    /// There was no answer, which is told elsewhere.
    Unreachable,
    /// All of this went wrong.
    Failed(Vec<String>),
}

impl Stop {
    fn because(error: &(dyn std::error::Error + 'static)) -> Self {
        if reach::is_unreachable(error) {
            reach::lost(error);
            return Self::Unreachable;
        }
        Self::Failed(vec![advise(error)])
    }
}

/// All that one reconcile works on.
pub(super) struct Work {
    pub(super) context: Context,
    pub(super) spod: Option<Value>,
    pub(super) name: String,
    pub(super) live: BTreeMap<Id, Value>,
    pub(super) surroundings: Option<Surroundings>,
    /// Whether our SPOD has not been looked for yet.
    pub(super) first: bool,
}

impl Work {
    /// Asks, plans and writes.
    pub(super) async fn run(mut self) -> Done {
        let mut asked = None;
        if self.surroundings.is_none() {
            match ask(&self.context).await {
                Ok(surroundings) => {
                    asked = Some(surroundings.clone());
                    self.surroundings = Some(surroundings);
                }
                Err(error) => {
                    return Done {
                        ended: Err(Stop::because(&error)),
                        written: Vec::new(),
                        spod: None,
                        surroundings: None,
                    };
                }
            }
        }
        if self.wants_selinuxd()
            && let Some(surroundings) = &mut self.surroundings
            && surroundings.selinuxd.is_none()
        {
            match ask_for_selinuxd(&self.context).await {
                Ok(choice) => surroundings.selinuxd = Some(choice),
                Err(stop) => {
                    return Done {
                        ended: Err(stop),
                        written: Vec::new(),
                        spod: None,
                        surroundings: asked,
                    };
                }
            }
            asked = Some(surroundings.clone());
        }
        let mut written = Written::default();
        Done {
            ended: self.reconcile(&mut written).await,
            written: written.objects,
            spod: written.spod,
            surroundings: asked,
        }
    }

    /// Whether the SPOD comes to an image of selinuxd.
    fn wants_selinuxd(&self) -> bool {
        let spec = self.spod.as_ref().and_then(|spod| spod.get("spec"));
        let Some(Ok(spec)) = spec.cloned().map(serde_json::from_value) else {
            return false;
        };
        let selinux = effective(&spec).spec.selinux.unwrap_or_default();
        let platform = self.surroundings.as_ref().map(|known| &known.platform);
        let on = selinux
            .enable
            .unwrap_or(platform.is_some_and(|platform| platform.openshift));
        on && selinux.backend.unwrap_or_default() == SelinuxBackend::Selinuxd
    }

    async fn reconcile(mut self, written: &mut Written) -> Result<Outcome, Stop> {
        let Context {
            client, namespace, ..
        } = self.context.clone();
        let Some(object) = self.spod.clone() else {
            if self.name != self.context.spod {
                return Ok(Outcome::Settled);
            }
            let steps = match self.first {
                true => vec![self.default_spod()],
                false => plan::farewell(&self.live, &namespace),
            };
            write_objects(&client, &steps, written).await?;
            return Ok(Outcome::Settled);
        };
        let Some(spod) = read(&object, &namespace) else {
            return Err(Stop::Failed(vec![
                "the SPOD has no name or no uid".to_owned(),
            ]));
        };
        if object["metadata"]["deletionTimestamp"].is_string() {
            return Ok(Outcome::Settled);
        }
        // A manager that starts would say of a SPOD that runs that its certificates are missing.
        if !self.context.trust.borrow().looked {
            return Ok(Outcome::Settled);
        }
        self.list_the_rest().await?;
        let meaning = self.meaning(&object, &spod);
        let inputs = Inputs {
            spod: &spod,
            meaning: &meaning,
            live: &self.live,
            now: Time(jiff::Timestamp::now()),
        };
        let ended = write_objects(&client, &plan::objects(&inputs), written).await;
        let mut failures = match &ended {
            Ok(()) => Vec::new(),
            Err(Stop::Failed(failures)) => failures.clone(),
            Err(Stop::Overtaken | Stop::Unreachable) => return ended.map(|()| Outcome::Settled),
        };
        // Who makes the certificates tells the log of it, and tries again.
        failures.extend(self.context.trust.borrow().failure.clone());
        let failure = (!failures.is_empty()).then(|| failures.join("; "));
        // What was just written shows in the next event; the status is about what is known.
        let status = plan::status(&inputs, failure.as_deref());
        let told = write_status(&client, &status, written).await;
        ended?;
        told?;
        Ok(Outcome::Again(platform::FRESH))
    }

    fn default_spod(&self) -> Step {
        let Context {
            namespace,
            spod,
            settings,
            ..
        } = &self.context;
        info!(%spod, "there is no SPOD: making the default one");
        let mut object = spo_render::default_spod(namespace, !settings.webhook);
        object["metadata"]["name"] = spod.clone().into();
        Step::Create {
            target: spo_kube::step::Target {
                resource: kube::core::ApiResource::erase::<SecurityProfilesOperatorDaemon>(&()),
                namespace: Some(namespace.clone()),
                name: spod.clone(),
            },
            object,
        }
    }

    /// Adds the objects of kinds that are not watched, because not every cluster serves them.
    async fn list_the_rest(&mut self) -> Result<(), Stop> {
        let Some(Surroundings { platform, .. }) = &self.surroundings else {
            return Ok(());
        };
        for kind in KINDS.iter().filter(|kind| !kind.always) {
            let served = match kind.kind {
                "ServiceMonitor" => platform.service_monitors,
                _ => platform.cert_manager,
            };
            if !served {
                continue;
            }
            let Context {
                client, namespace, ..
            } = &self.context;
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &kind.resource());
            let listed = api.list(&ListParams::default()).await;
            let listed = listed.map_err(|error| {
                Stop::because(&Error::List {
                    kind: kind.plural,
                    source: error,
                })
            })?;
            for object in listed {
                let mut object = value(object);
                object["kind"] = kind.kind.into();
                object["apiVersion"] = kind.api_version.into();
                self.live.insert(Id::of(&object), object);
            }
        }
        Ok(())
    }

    fn meaning(&self, object: &Value, spod: &Spod) -> Meaning {
        if self.name != self.context.spod {
            return Meaning::Impossible(format!(
                "the operator acts on the SPOD {:?} only: move what this one says there, and delete \
                 this one",
                self.context.spod
            ));
        }
        let spec = object
            .get("spec")
            .cloned()
            .unwrap_or_else(|| Value::Object(Default::default()));
        let spec: SecurityProfilesOperatorDaemonSpec = match serde_json::from_value(spec) {
            Ok(spec) => spec,
            Err(error) => return Meaning::Impossible(format!("spec can not be read: {error}")),
        };
        let effective = effective(&spec);
        match self.facts(spod) {
            Ok(facts) => {
                let rendered: Rendered = spo_render::render(&spod.name, &effective.spec, &facts);
                debug!(objects = rendered.objects.len(), "rendered");
                Meaning::Objects {
                    rendered,
                    effective: Box::new(effective),
                }
            }
            Err(what) => Meaning::Waiting(what),
        }
    }

    /// What rendering depends on besides the SPOD; or what is not there yet.
    fn facts(&self, spod: &Spod) -> Result<Facts, String> {
        let Context {
            namespace,
            settings,
            trust,
            ..
        } = &self.context;
        let own = Id {
            kind: "Deployment".to_owned(),
            name: crate::DEPLOYMENT.to_owned(),
        };
        let container = self
            .live
            .get(&own)
            .map(|own| &own["spec"]["template"]["spec"]["containers"][0])
            .filter(|container| container["image"].is_string())
            .ok_or_else(|| {
                format!(
                    "there is no Deployment {namespace}/{}: its first container says which image to \
                     run",
                    crate::DEPLOYMENT
                )
            })?;
        let text = |value: &Value, or: &str| value.as_str().unwrap_or(or).to_owned();
        let Some(Surroundings {
            platform,
            definition,
            selinuxd,
        }) = &self.surroundings
        else {
            return Err("the cluster has not been asked what it is yet".to_owned());
        };
        let certificates = match platform.provider {
            Provider::SelfManaged => {
                // Webhooks whose server nobody trusts would refuse what they are asked about.
                let ca_bundle = trust.borrow().bundle.clone();
                if ca_bundle.is_none() {
                    return Err("the certificates of the webhooks are not made yet".to_owned());
                }
                Certificates::SelfManaged { ca_bundle }
            }
            Provider::CertManager => Certificates::CertManager,
            Provider::OpenShift => Certificates::OpenShift,
        };
        Ok(Facts {
            namespace: namespace.clone(),
            image: text(&container["image"], ""),
            image_pull_policy: text(&container["imagePullPolicy"], "IfNotPresent"),
            kubelet_dir: settings.kubelet_dir.clone(),
            platform: match platform.openshift {
                true => spo_render::facts::Platform::OpenShift,
                false => spo_render::facts::Platform::Kubernetes,
            },
            certificates,
            selinuxd_image: selinuxd.as_ref().and_then(|choice| choice.image.clone()),
            selinuxd_image_problem: selinuxd.as_ref().and_then(|choice| choice.problem.clone()),
            json_log_volume: None,
            restrict_to_namespace: settings.restrict_to_namespace.clone(),
            enabled_by_env: settings.enabled_by_env,
            service_monitors: platform.service_monitors,
            offers: Offers::THIS_VERSION,
            owner: Some(Owner {
                name: spod.name.clone(),
                uid: spod.uid.clone(),
            }),
            cluster_owner: definition.as_ref().map(|uid| ClusterOwner {
                api_version: CustomResourceDefinition::api_version(&()).into_owned(),
                kind: CustomResourceDefinition::kind(&()).into_owned(),
                name: definition_name(),
                uid: uid.clone(),
            }),
        })
    }
}

fn definition_name() -> String {
    format!(
        "{}.{}",
        SecurityProfilesOperatorDaemon::plural(&()),
        spo_api::GROUP
    )
}

/// What was asked and not answered.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Platform(#[from] platform::Error),
    #[error("cannot read our own CustomResourceDefinition")]
    Definition(#[source] kube::Error),
    #[error(
        "cannot read ConfigMap {} with the mapping to images of selinuxd",
        selinuxd_image::CONFIG_MAP
    )]
    Mapping(#[source] kube::Error),
    #[error("cannot list the nodes to see which image of selinuxd fits them")]
    Nodes(#[source] kube::Error),
    #[error("cannot list {kind}")]
    List {
        kind: &'static str,
        source: kube::Error,
    },
}

async fn ask(context: &Context) -> Result<Surroundings, Error> {
    let Context {
        client,
        namespace,
        settings,
        ..
    } = context;
    let platform = platform::probe(client, namespace, settings.provider).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = definitions
        .get_metadata_opt(&definition_name())
        .await
        .map_err(Error::Definition)?;
    Ok(Surroundings {
        platform,
        definition: definition.and_then(|definition| definition.metadata.uid),
        selinuxd: None,
    })
}

/// How many nodes are asked for at once.
const PAGE: u32 = 500;

/// Which image of selinuxd fits the nodes. What can not be found out is a problem of the choice.
async fn ask_for_selinuxd(context: &Context) -> Result<Choice, Stop> {
    let images = &context.settings.related_images;
    let asked = async {
        let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
        let map = maps
            .get_opt(selinuxd_image::CONFIG_MAP)
            .await
            .map_err(Error::Mapping)?;
        Ok::<_, Error>((map, systems(&context.client).await.map_err(Error::Nodes)?))
    };
    match asked.await {
        Ok((map, systems)) => {
            let data = map.and_then(|map| map.data).unwrap_or_default();
            let mapping = data.get(selinuxd_image::KEY).map(String::as_str);
            Ok(selinuxd_image::choose(mapping, &systems, images))
        }
        Err(error) => match Stop::because(&error) {
            Stop::Failed(texts) => Ok(selinuxd_image::without_mapping(texts.join("; "), images)),
            stop => Err(stop),
        },
    }
}

/// The systems of the nodes on which the daemon runs.
async fn systems(client: &Client) -> Result<Vec<String>, kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    let mut parameters = ListParams::default()
        .labels("kubernetes.io/os=linux")
        .limit(PAGE);
    let mut systems = Vec::new();
    loop {
        let page = api.list(&parameters).await?;
        let more = page.metadata.continue_.filter(|token| !token.is_empty());
        let infos = page
            .items
            .into_iter()
            .filter_map(|node| node.status?.node_info);
        systems.extend(infos.map(|info| info.os_image));
        match more {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(systems),
        }
    }
}

fn read(object: &Value, namespace: &str) -> Option<Spod> {
    let metadata = &object["metadata"];
    let status = object.get("status").cloned().unwrap_or_default();
    Some(Spod {
        name: metadata["name"].as_str()?.to_owned(),
        namespace: namespace.to_owned(),
        uid: metadata["uid"].as_str()?.to_owned(),
        generation: metadata["generation"].as_i64(),
        // One that can not be read is written anew.
        status: serde_json::from_value(status).unwrap_or_default(),
    })
}

/// What a reconcile has written so far.
#[derive(Default)]
struct Written {
    objects: Vec<(Id, Value)>,
    spod: Option<Value>,
}

/// Does the steps in order. One that is refused holds up those that depend on it, and no others.
async fn write_objects(client: &Client, steps: &[Step], written: &mut Written) -> Result<(), Stop> {
    let mut failures = Vec::new();
    let mut refused: Vec<&Step> = Vec::new();
    for step in steps {
        if refused.iter().any(|refused| plan::depends(step, refused)) {
            continue;
        }
        match (execute(client, step).await, step) {
            (Ok(object), Step::Apply { target, .. }) => {
                info!(object = %target, "applied");
                let object = object.map(value).unwrap_or_default();
                let id = Id {
                    kind: target.resource.kind.clone(),
                    name: target.name.clone(),
                };
                written.objects.push((id, object));
            }
            (Ok(_), Step::Delete { target, .. }) => info!(object = %target, "deleted"),
            (Ok(_), _) => {}
            (Err(error), Step::Delete { .. }) if error.cause() == Cause::NotFound => {}
            (Err(error), _) if was_overtaken(step, error.cause()) => {
                debug!(error = %chain(&error), "overtaken");
                return Err(Stop::Overtaken);
            }
            (Err(error), _) => match Stop::because(&error) {
                Stop::Failed(texts) => {
                    failures.extend(texts);
                    refused.push(step);
                }
                // The next ones would have no answer either.
                stop => return Err(stop),
            },
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Stop::Failed(failures)),
    }
}

/// Writes the status, and tells of it if it could be written.
async fn write_status(client: &Client, steps: &[Step], written: &mut Written) -> Result<(), Stop> {
    for step in steps {
        match execute(client, step).await {
            Ok(Some(object)) if matches!(step, Step::Patch { .. }) => {
                written.spod = Some(value(object));
            }
            Ok(_) => {}
            Err(error) if was_overtaken(step, error.cause()) => {
                debug!(error = %chain(&error), "overtaken");
                return Err(Stop::Overtaken);
            }
            Err(error) => return Err(Stop::because(&error)),
        }
    }
    Ok(())
}

/// Whether somebody else was faster, so that the watch will say what to do.
fn was_overtaken(step: &Step, cause: Cause) -> bool {
    match cause {
        Cause::Conflict | Cause::AlreadyExists => true,
        // To apply makes what is not there: it is the kind or the namespace that is missing.
        Cause::NotFound => !matches!(step, Step::Apply { .. }),
        Cause::Unreachable | Cause::Other => false,
    }
}

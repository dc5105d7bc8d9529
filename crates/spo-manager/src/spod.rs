//! The controller of the SPOD: renders what the operator consists of, applies it, keeps it so, and
//! says how far it is.
//!
//! `fetch` is what the watches have shown, and the platform; rendering is `spo-render`; `plan.rs` and
//! `state.rs` decide; [`reconcile`] writes.

mod live;
mod pace;
mod plan;
mod state;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::DynamicObject;
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::Value;
use spo_api::meta::{APP, LABEL_APP};
use spo_api::spod::effective::effective;
use spo_api::spod::{SecurityProfilesOperatorDaemon, SecurityProfilesOperatorDaemonSpec};
use spo_kube::controller::Reconcile;
use spo_kube::execute::{Cause, advise, execute};
use spo_kube::queue::Outcome;
use spo_kube::reach;
use spo_kube::step::Step;
use spo_kube::table::Table;
use spo_kube::watch::watch_dynamic;
use spo_process::chain::chain;
use spo_process::news::News;
use spo_process::tasks::Shutdown;
use spo_render::Rendered;
use spo_render::facts::{Certificates, ClusterOwner, EnabledByEnv, Facts, Offers, Owner};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use crate::platform::{self, Platform, Provider};
use crate::trust::Trust;
use pace::Pace;
use plan::{Id, Inputs, KINDS, Meaning, Spod};

/// What comes together is looked at once: a roll-out is many small changes.
const GATHER: Duration = Duration::from_millis(200);

/// What the controller needs.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) spod: String,
    pub(crate) settings: Settings,
    /// How far the certificates are, if we make them.
    pub(crate) trust: watch::Receiver<Trust>,
}

/// What the manager's own flags and environment say about the objects.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The kubelet's directory on the nodes.
    pub kubelet_dir: String,
    /// The namespaces that the operator looks at, as the daemon is told; all without.
    pub restrict_to_namespace: Option<String>,
    /// Components that the environment switches on whatever the SPOD says.
    pub enabled_by_env: EnabledByEnv,
    /// Who makes certificates, if it is not to be found out.
    pub provider: Option<Provider>,
    /// Whether a default SPOD leaves the webhooks to us.
    pub webhook: bool,
}

/// Runs until shutdown.
pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let events = events(&context);
    let controller = Controller {
        context,
        spods: Table::default(),
        live: KINDS
            .iter()
            .filter(|kind| kind.always)
            .map(|kind| (kind.kind, Table::default()))
            .collect(),
        surroundings: None,
        news: BTreeMap::new(),
        pace: Pace::default(),
        started: false,
        looked: false,
    };
    spo_kube::controller::run(controller, events, 1, shutdown).await;
}

enum Event {
    Spod(watcher::Event<DynamicObject>),
    Live(&'static str, watcher::Event<DynamicObject>),
    Trust,
}

fn events(context: &Context) -> impl Stream<Item = Event> + Send + use<> {
    let Context {
        client, namespace, ..
    } = context;
    let spods = kube::core::ApiResource::erase::<SecurityProfilesOperatorDaemon>(&());
    let api = Api::namespaced_with(client.clone(), namespace, &spods);
    let mut all = vec![
        watch_dynamic(api, &spods, "").map(Event::Spod).boxed(),
        futures::stream::unfold(context.trust.clone(), |mut trust| async {
            trust.changed().await.ok()?;
            Some((Event::Trust, trust))
        })
        .boxed(),
    ];
    for kind in KINDS.iter().filter(|kind| kind.always) {
        let resource = kind.resource();
        let api = match kind.namespaced {
            true => Api::namespaced_with(client.clone(), namespace, &resource),
            false => Api::all_with(client.clone(), &resource),
        };
        let name = kind.kind;
        // What upstream has made of the other kinds has no label.
        let labels = match name {
            "SeccompProfile" => format!("{LABEL_APP}={APP}"),
            _ => String::new(),
        };
        let objects = watch_dynamic(api, &resource, &labels);
        all.push(objects.map(move |event| Event::Live(name, event)).boxed());
    }
    futures::stream::select_all(all)
}

struct Controller {
    context: Context,
    /// Every SPOD of the namespace; we act on the one of our name.
    spods: Table<String, Value>,
    live: BTreeMap<&'static str, Table<Id, Value>>,
    surroundings: Option<(Instant, Surroundings)>,
    /// What went wrong, by SPOD.
    news: BTreeMap<String, News>,
    /// How soon others' changes are undone.
    pace: Pace,
    /// Whether the watches are complete.
    started: bool,
    /// Whether our SPOD has been looked for, and made if there was none.
    looked: bool,
}

/// What is asked of the cluster once in a while.
#[derive(Debug, Clone)]
struct Surroundings {
    platform: Platform,
    /// The uid of our own definition: what has no namespace goes when it goes.
    definition: Option<String>,
}

/// What a piece of work brings back.
struct Done {
    ended: Result<Outcome, Stop>,
    /// The objects that were written, as they are now.
    written: Vec<(Id, Value)>,
    /// The SPOD as it is after its status was written.
    spod: Option<Value>,
    surroundings: Option<Surroundings>,
}

fn value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

impl Reconcile for Controller {
    type Key = String;
    type Event = Event;
    type Done = Done;

    fn observe(&mut self, event: Event) -> Vec<(String, Duration)> {
        let mut keys = Vec::new();
        match event {
            Event::Spod(event) => {
                let changes = self
                    .spods
                    .observe(event, |spod| (spod.name_any(), Some(value(spod))));
                for change in changes {
                    use spo_kube::table::Change;
                    match change {
                        Change::Set(name, before) => {
                            let generation = |spod: &Value| spod["metadata"]["generation"].clone();
                            let now = self.spods.get(&name).map(generation);
                            let same = before.as_ref().map(generation) == now;
                            if !same {
                                self.pace = Pace::default();
                            }
                            // A status, most likely by ourselves.
                            let after = if same { GATHER } else { Duration::ZERO };
                            keys.push((name, after.max(self.pace.gather(Instant::now()))));
                        }
                        Change::Gone(name, _) => keys.push((name, Duration::ZERO)),
                        Change::Synced => {}
                    }
                }
            }
            Event::Live(kind, event) => {
                if let Some(table) = self.live.get_mut(kind) {
                    let row = |object| {
                        let mut object = value(object);
                        // Items of a list do not say what they are.
                        object["kind"] = kind.into();
                        let known = KINDS.iter().find(|known| known.kind == kind);
                        object["apiVersion"] = known.map(|known| known.api_version).into();
                        let id = Id::of(&object);
                        let concerns_us = plan::concerns_us(&id, &object);
                        (id, concerns_us.then_some(object))
                    };
                    if !table.observe(event, row).is_empty() {
                        let after = GATHER.max(self.pace.gather(Instant::now()));
                        keys.push((self.context.spod.clone(), after));
                    }
                }
            }
            Event::Trust => keys.push((self.context.spod.clone(), GATHER)),
        }
        if !self.spods.synced() || !self.live.values().all(Table::synced) {
            return Vec::new();
        }
        if !self.started {
            // What was seen before is looked at now, and our SPOD also if there is none.
            self.started = true;
            keys = self
                .spods
                .iter()
                .map(|(name, _)| (name.clone(), Duration::ZERO))
                .collect();
            keys.push((self.context.spod.clone(), Duration::ZERO));
        }
        keys
    }

    fn start(
        &mut self,
        name: &String,
    ) -> Option<impl Future<Output = Done> + Send + 'static + use<>> {
        let work = Work {
            context: self.context.clone(),
            spod: self.spods.get(name).cloned(),
            name: name.clone(),
            live: self
                .live
                .values()
                .flat_map(Table::iter)
                .map(|(id, object)| (id.clone(), object.clone()))
                .collect(),
            surroundings: self
                .surroundings
                .as_ref()
                .filter(|(asked, _)| asked.elapsed() < platform::FRESH)
                .map(|(_, surroundings)| surroundings.clone()),
            first: !self.looked,
        };
        Some(work.run())
    }

    fn finish(&mut self, name: &String, done: Option<Done>) -> (Outcome, Vec<String>) {
        let Some(Done {
            ended,
            written,
            spod,
            surroundings,
        }) = done
        else {
            return (Outcome::Failed, Vec::new());
        };
        if let Some(surroundings) = surroundings {
            self.surroundings = Some((Instant::now(), surroundings));
        }
        if let Some(spod) = spod
            && let Some(known) = self.spods.get(name)
            && live::is_newer(&spod, known)
        {
            self.spods.set(name.clone(), spod);
        }
        for (id, mut object) in written {
            let (kind, name) = (&id.kind, &id.name);
            if self.pace.wrote(&format!("{kind}/{name}"), Instant::now()) {
                warn!(
                    object = %format_args!("{kind}/{name}"),
                    "somebody else keeps changing this object: their changes are undone every {:?}",
                    pace::SLOW
                );
            }
            // So that the next look does not write it once more before the watch shows it.
            object["kind"] = kind.as_str().into();
            if let Some(table) = self.live.get_mut(kind.as_str())
                && let Some(known) = table.get(&id)
                && live::is_newer(&object, known)
            {
                table.set(id, object);
            }
        }
        let outcome = match ended {
            Ok(outcome) => {
                self.looked = self.looked || *name == self.context.spod;
                if self.news.remove(name).is_some_and(|mut news| news.works()) {
                    info!(spod = %name, "what went wrong before works now");
                }
                outcome
            }
            Err(Stop::Overtaken) => Outcome::Again(GATHER),
            Err(Stop::Unreachable) => Outcome::Failed,
            Err(Stop::Failed(failures)) => {
                let news = self.news.entry(name.clone()).or_default();
                for error in failures {
                    if news.failed(&error) {
                        error!(spod = %name, error, "cannot reconcile the SPOD: trying again");
                    } else {
                        debug!(spod = %name, error, "still cannot reconcile the SPOD");
                    }
                }
                Outcome::Failed
            }
        };
        (outcome, Vec::new())
    }
}

/// Why a reconcile did not come to its end.
enum Stop {
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
struct Work {
    context: Context,
    spod: Option<Value>,
    name: String,
    live: BTreeMap<Id, Value>,
    surroundings: Option<Surroundings>,
    /// Whether our SPOD has not been looked for yet.
    first: bool,
}

impl Work {
    async fn run(mut self) -> Done {
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
        let mut written = Written::default();
        Done {
            ended: self.reconcile(&mut written).await,
            written: written.objects,
            spod: written.spod,
            surroundings: asked,
        }
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
            let listed = api.list(&kube::api::ListParams::default()).await;
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
            selinuxd_image: None,
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
    })
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

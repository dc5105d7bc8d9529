//! The controller of the SPOD: renders what the operator consists of, applies it, keeps it so, and
//! says how far it is.
//!
//! `fetch` is what the watches have shown, and the platform; rendering is `spo-render`; `plan.rs` and
//! `state.rs` decide; `work.rs` writes.

mod live;
mod pace;
mod plan;
mod state;
mod work;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use kube::core::DynamicObject;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use spo_api::meta::{APP, LABEL_APP};
use spo_api::spod::SecurityProfilesOperatorDaemon;
use spo_kube::controller::Reconcile;
use spo_kube::queue::Outcome;
use spo_kube::table::Table;
use spo_kube::watch::watch_dynamic;
use spo_process::news::News;
use spo_process::tasks::Shutdown;
use spo_render::facts::EnabledByEnv;
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use crate::platform::{self, Provider};
use crate::trust::Trust;
use pace::Pace;
use plan::{Id, KINDS};
use work::{Done, Stop, Surroundings, Work};

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

fn value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

impl Reconcile for Controller {
    type Key = String;
    type Event = Event;
    type Done = Done;

    fn name(&self) -> String {
        "spod".to_owned()
    }

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

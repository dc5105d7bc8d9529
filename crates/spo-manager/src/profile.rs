//! The controller of profiles on the cluster side: sums up, protects, adopts, lets go.
//!
//! One for all kinds: it watches nodes, pods and reports once.

mod held;
mod index;
mod plan;
mod sum;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use spo_api::seccomp_profile::held::HeldSeccompProfile;
use spo_api::spod::held::HeldSpod;
use spo_api::{GROUP, meta};
use spo_kube::controller::Reconcile;
use spo_kube::execute::{Cause, execute};
use spo_kube::queue::Outcome;
use spo_kube::step::Step;
use spo_kube::watch::watch;
use spo_process::chain::chain;
use spo_process::news::News;
use spo_process::tasks::Shutdown;
use tracing::{debug, error, info};

use crate::kind::{Kind, ProfileId};
use crate::namespaces::Namespaces;
use crate::object::{Node, NodeReport, Pod};
use held::{HeldAppArmor, HeldProfile, HeldRawSelinux, HeldSelinux};
use index::{Index, Touched};

/// Profiles that are worked on at once, each with one write in flight: the API server is shared.
const CONCURRENCY: usize = 4;
/// How long the effects of one node or pod are gathered before they are written: a deployment that
/// scales up, or a node that joins, is many events.
const GATHER: Duration = Duration::from_millis(500);

/// What the controller needs.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Where the pods are that count.
    pub(crate) namespaces: Namespaces,
    pub(crate) spod: String,
}

/// Runs until shutdown.
pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let pods = pods(&context);
    let index = Index::with_pods_from(pods.len());
    let events = events(&context, pods);
    let controller = Controller {
        context,
        index,
        waiting: BTreeMap::new(),
        failing: BTreeMap::new(),
        started: false,
    };
    spo_kube::controller::run(controller, events, CONCURRENCY, shutdown).await;
}

enum Event {
    Profile(Kind, watcher::Event<HeldProfile>),
    Report(watcher::Event<NodeReport>),
    Node(watcher::Event<Node>),
    /// Of the watch with this number.
    Pod(usize, watcher::Event<Pod>),
    Spod(watcher::Event<HeldSpod>),
}

/// Where to watch pods: each namespace on its own, so that a Role in each is permission enough.
fn pods(context: &Context) -> Vec<Api<Pod>> {
    let client = || context.client.clone();
    match &context.namespaces {
        Namespaces::All => vec![Api::all(client())],
        Namespaces::Only(names) => names
            .iter()
            .map(|name| Api::namespaced(client(), name))
            .collect(),
    }
}

fn events(context: &Context, pods: Vec<Api<Pod>>) -> impl Stream<Item = Event> + Send + use<> {
    let client = || context.client.clone();
    let pods = pods.into_iter().enumerate().map(|(number, api)| {
        watch(api, "")
            .map(move |event| Event::Pod(number, event))
            .boxed()
    });
    let others = [
        profiles::<HeldSeccompProfile>(client(), Kind::Seccomp),
        profiles::<HeldSelinux>(client(), Kind::Selinux),
        profiles::<HeldRawSelinux>(client(), Kind::RawSelinux),
        profiles::<HeldAppArmor>(client(), Kind::AppArmor),
        watch(Api::all(client()), "").map(Event::Report).boxed(),
        watch(Api::all(client()), "").map(Event::Node).boxed(),
        watch(Api::namespaced(client(), &context.namespace), "")
            .map(Event::Spod)
            .boxed(),
    ];
    futures::stream::select_all(pods.chain(others))
}

fn profiles<K>(client: Client, kind: Kind) -> BoxStream<'static, Event>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Into<HeldProfile>
        + Clone
        + DeserializeOwned
        + fmt::Debug
        + Send
        + 'static,
{
    let events = watch(Api::<K>::all(client), "");
    events
        .map(move |event| Event::Profile(kind, held::event(event)))
        .boxed()
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Profile(ProfileId),
    /// A node that does not exist any more.
    VanishedNode(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Profile(id) => id.fmt(f),
            Key::VanishedNode(name) => write!(f, "Node/{name}"),
        }
    }
}

struct Controller {
    context: Context,
    index: Index,
    /// Since when nodes have been waited for, by profile and generation.
    waiting: BTreeMap<ProfileId, (Option<i64>, Instant)>,
    /// What was told of the keys that fail.
    failing: BTreeMap<Key, News>,
    started: bool,
}

struct Done {
    written: Option<(Kind, HeldProfile)>,
    outcome: Outcome,
    /// Whether the plan was to wait.
    waits: bool,
    /// What went wrong.
    failure: Option<String>,
}

type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

impl Reconcile for Controller {
    type Key = Key;
    type Event = Event;
    type Done = Done;

    fn name(&self) -> String {
        "seccomp".to_owned()
    }

    fn observe(&mut self, event: Event) -> Vec<(Key, Duration)> {
        let gather = match &event {
            Event::Profile(..) | Event::Report(_) | Event::Spod(_) => Duration::ZERO,
            Event::Node(_) | Event::Pod(..) => GATHER,
        };
        let touched = match event {
            Event::Profile(kind, event) => self.index.observe_profile(kind, event),
            Event::Report(event) => self.index.observe_report(event),
            Event::Node(event) => self.index.observe_node(event),
            Event::Pod(watch, event) => {
                self.index
                    .observe_pod(watch, event, &self.context.namespace)
            }
            Event::Spod(event) => self.index.observe_spod(event),
        };
        if !self.index.synced() {
            return Vec::new();
        }
        let Touched {
            profiles,
            mut all,
            mut vanished,
        } = touched;
        if !self.started {
            self.started = true;
            all = true;
            vanished = self.index.vanished();
            info!(
                profiles = self.index.ids().len(),
                "in sync with the cluster"
            );
        }
        let ids = if all { self.index.ids() } else { profiles };
        let profiles = ids.into_iter().map(|id| (Key::Profile(id), gather));
        let nodes = vanished
            .into_iter()
            .map(|node| (Key::VanishedNode(node), Duration::ZERO));
        profiles.chain(nodes).collect()
    }

    fn start(&mut self, key: &Key) -> Option<impl Future<Output = Done> + Send + 'static + use<>> {
        let client = self.context.client.clone();
        let work: Work = match key {
            Key::Profile(id) => {
                let Some(inputs) = self.inputs(id) else {
                    // It is gone, and nothing is to stay of it.
                    self.waiting.remove(id);
                    self.failing.remove(key);
                    return None;
                };
                Box::pin(reconcile(client, inputs))
            }
            Key::VanishedNode(node) => {
                if self.index.node_exists(node) {
                    return None;
                }
                Box::pin(forget(client, node.clone()))
            }
        };
        Some(work)
    }

    fn finish(&mut self, key: &Key, done: Option<Done>) -> (Outcome, Vec<Key>) {
        let Some(Done {
            written,
            outcome,
            waits,
            failure,
        }) = done
        else {
            return (Outcome::Failed, Vec::new());
        };
        self.tell(key, failure);
        if let (Key::Profile(id), false) = (key, waits) {
            self.waiting.remove(id);
        }
        let touched = written
            .map(|(kind, profile)| self.index.written(kind, profile))
            .unwrap_or_default();
        // The profile itself is as it was planned; others may extend it.
        let others = touched
            .profiles
            .into_iter()
            .map(Key::Profile)
            .filter(|other| other != key);
        (outcome, others.collect())
    }
}

impl Controller {
    /// A failure that repeats is told once, and that it works again, too.
    fn tell(&mut self, key: &Key, failure: Option<String>) {
        match failure {
            Some(error) => {
                if self.failing.entry(key.clone()).or_default().failed(&error) {
                    error!(object = %key, error, "cannot reconcile, trying again");
                } else {
                    debug!(object = %key, error, "still cannot reconcile");
                }
            }
            None => {
                if self.failing.remove(key).is_some() {
                    info!(object = %key, "what went wrong before works now");
                }
            }
        }
    }

    fn inputs(&mut self, id: &ProfileId) -> Option<plan::Inputs> {
        let now = Time(jiff::Timestamp::now());
        let mut inputs = self
            .index
            .inputs(id, &self.context.spod, Duration::ZERO, now)?;
        let generation = inputs.profile.generation;
        let (since_generation, since) = self
            .waiting
            .entry(id.clone())
            .or_insert((generation, Instant::now()));
        if *since_generation != generation {
            (*since_generation, *since) = (generation, Instant::now());
        }
        inputs.waited = since.elapsed();
        Some(inputs)
    }
}

/// `plan → execute`, for one profile.
async fn reconcile(client: Client, inputs: plan::Inputs) -> Done {
    let plan::Plan { steps, again } = plan::plan(&inputs);
    let id = &inputs.profile.id;
    let mut written = None;
    for step in &steps {
        debug!(%step, "plan");
        match execute(&client, step).await {
            Ok(object) => {
                if let (Step::Patch { .. }, Some(object)) = (step, object) {
                    let profile = held::read(id.kind, object);
                    written = profile.map(|profile| (id.kind, profile)).or(written);
                }
            }
            // It is gone, or somebody was faster: the watch will say.
            Err(error) if matches!(error.cause(), Cause::NotFound | Cause::Conflict) => {
                debug!(profile = %id, error = %chain(&error), "overtaken");
                return Done {
                    written,
                    outcome: Outcome::Again(GATHER),
                    waits: again.is_some(),
                    failure: None,
                };
            }
            Err(error) => {
                return Done {
                    written,
                    outcome: Outcome::Failed,
                    waits: again.is_some(),
                    failure: Some(chain(&error)),
                };
            }
        }
    }
    let outcome = again.map_or(Outcome::Settled, Outcome::Again);
    Done {
        written,
        outcome,
        waits: again.is_some(),
        failure: None,
    }
}

/// Deletes what a node has reported that does not exist any more.
async fn forget(client: Client, node: String) -> Done {
    let gvk = GroupVersionKind::gvk(GROUP, "v1", "SecurityProfileNodeStatus");
    let step = Step::DeleteAll {
        resource: ApiResource::from_gvk_with_plural(&gvk, "securityprofilenodestatuses"),
        labels: format!("{}={}", meta::LABEL_NODE_NAME, meta::label_value(&node)),
    };
    let (outcome, failure) = match execute(&client, &step).await {
        Ok(_) => {
            info!(%node, "the node is gone, and so are its reports");
            (Outcome::Settled, None)
        }
        Err(error) => (Outcome::Failed, Some(chain(&error))),
    };
    Done {
        written: None,
        outcome,
        waits: false,
        failure,
    }
}

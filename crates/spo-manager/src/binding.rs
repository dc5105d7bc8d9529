//! The controller of ProfileBindings: notes which pods use a binding, and keeps it as long.
//!
//! Admission writes nothing: what counts is the pods that are there. They are watched in the
//! namespaces that have bindings, and only there; the watch of all pods that [`crate::profile`] has
//! forgets most of what it sees, and could not tell about the pods that were there before a binding.

mod index;
mod plan;
mod pod;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use spo_kube::controller::Reconcile;
use spo_kube::execute::{Cause, execute};
use spo_kube::queue::Outcome;
use spo_kube::watch::watch;
use spo_process::chain::chain;
use spo_process::tasks::Shutdown;
use tracing::{debug, error};

use crate::namespaces::Namespaces;
use index::{HeldBinding, Index, Interest};
use pod::Pod;

/// Bindings that are worked on at once.
const CONCURRENCY: usize = 2;
/// How long the pods of a binding are gathered before they are written: a deployment that scales up
/// is many events.
const GATHER: Duration = Duration::from_millis(500);

/// Runs until shutdown.
pub(crate) async fn run(client: Client, namespaces: Namespaces, shutdown: Shutdown) {
    let (opened, pods) = mpsc::unbounded();
    let bindings = watch(Api::all(client.clone()), "")
        .filter(move |event| std::future::ready(counts(&namespaces, event)))
        .map(Event::Binding);
    let events = futures::stream::select(bindings, pods.flatten_unordered(None));
    let controller = Controller {
        client,
        index: Index::default(),
        watched: BTreeMap::new(),
        opened,
    };
    spo_kube::controller::run(controller, events, CONCURRENCY, shutdown).await;
}

/// Whether a binding is in a namespace whose pods may be seen.
fn counts(namespaces: &Namespaces, event: &watcher::Event<HeldBinding>) -> bool {
    match event {
        watcher::Event::Apply(binding)
        | watcher::Event::InitApply(binding)
        | watcher::Event::Delete(binding) => {
            namespaces.contain(&binding.namespace().unwrap_or_default())
        }
        watcher::Event::Init | watcher::Event::InitDone => true,
    }
}

enum Event {
    Binding(watcher::Event<HeldBinding>),
    /// In a namespace.
    Pod(String, watcher::Event<Pod>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    namespace: String,
    name: String,
}

impl Key {
    fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProfileBinding/{}/{}", self.namespace, self.name)
    }
}

type Pods = BoxStream<'static, Event>;

struct Controller {
    client: Client,
    index: Index,
    /// The namespaces whose pods are watched. A watch ends when its sender is dropped.
    watched: BTreeMap<String, oneshot::Sender<()>>,
    /// Takes new watches.
    opened: mpsc::UnboundedSender<Pods>,
}

impl Reconcile for Controller {
    type Key = Key;
    type Event = Event;
    type Done = Outcome;

    fn name(&self) -> String {
        "binding".to_owned()
    }

    fn observe(&mut self, event: Event) -> Vec<(Key, Duration)> {
        let (touched, gather) = match event {
            Event::Binding(event) => {
                let (touched, interests) = self.index.observe_binding(event);
                for (namespace, interest) in interests {
                    self.follow(namespace, interest);
                }
                (touched, Duration::ZERO)
            }
            Event::Pod(namespace, event) => (self.index.observe_pod(&namespace, event), GATHER),
        };
        touched.into_iter().map(|key| (key, gather)).collect()
    }

    fn start(
        &mut self,
        key: &Key,
    ) -> Option<impl Future<Output = Outcome> + Send + 'static + use<>> {
        let inputs = self.index.inputs(key)?;
        Some(reconcile(self.client.clone(), inputs))
    }

    fn finish(&mut self, _: &Key, done: Option<Outcome>) -> (Outcome, Vec<Key>) {
        // What was written, the watch brings.
        (done.unwrap_or(Outcome::Failed), Vec::new())
    }
}

impl Controller {
    /// Watches the pods of a namespace, or does not any more.
    fn follow(&mut self, namespace: String, interest: Interest) {
        match interest {
            Interest::Nothing => {
                self.watched.remove(&namespace);
            }
            Interest::Pods => {
                let (stop, stopped) = oneshot::channel();
                let pods = pods(&self.client, namespace.clone());
                // It fails only if nobody takes events any more, which is the end of all of this.
                let _ended = self.opened.unbounded_send(pods.take_until(stopped).boxed());
                self.watched.insert(namespace, stop);
            }
        }
    }
}

fn pods(client: &Client, namespace: String) -> impl Stream<Item = Event> + Send + use<> {
    let api = Api::namespaced(client.clone(), &namespace);
    watch(api, "").map(move |event| Event::Pod(namespace.clone(), event))
}

/// `plan → execute`, for one binding.
async fn reconcile(client: Client, inputs: plan::Inputs) -> Outcome {
    for step in plan::plan(&inputs) {
        debug!(%step, "plan");
        match execute(&client, &step).await {
            Ok(_) => {}
            // It is gone, or somebody was faster: the watch will say.
            Err(error) if matches!(error.cause(), Cause::NotFound | Cause::Conflict) => {
                debug!(error = %chain(&error), "overtaken");
                return Outcome::Again(GATHER);
            }
            Err(error) => {
                error!(error = %chain(&error), "cannot reconcile");
                return Outcome::Failed;
            }
        }
    }
    Outcome::Settled
}

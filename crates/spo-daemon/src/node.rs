//! What the node says about itself: which mechanisms it offers, and why it lacks the others.
//!
//! Written when every mechanism has had its first round over all profiles: from then on the manager
//! expects this node to have every profile of those it offers (decision 4). Written again when what
//! it offers changes, or when somebody has deleted it.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use spo_api::node_status::Mechanism;
use spo_kube::controller::Reconcile;
use spo_kube::execute::{Cause, execute};
use spo_kube::queue::Outcome;
use spo_kube::watch::watch_named;
use spo_process::admin::Readiness;
use spo_process::chain::chain;
use spo_process::tasks::Shutdown;
use tokio::sync::watch::{Receiver, Sender};
use tracing::{info, warn};

use crate::context::Context;
use crate::node_status::{self, HeldNodeStatus, Node};

/// A node without an identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server could not be asked.
    #[error("cannot read node {name:?}: is NODE_NAME the name of a Node object?")]
    Read {
        /// The name.
        name: String,
        /// Why not.
        source: kube::Error,
    },
}

/// Finds the identity of the node.
pub(crate) async fn identify(client: &kube::Client, name: &str) -> Result<Node, Error> {
    let api: Api<v1::Node> = Api::all(client.clone());
    let node = api.get_metadata(name).await.map_err(|source| Error::Read {
        name: name.to_owned(),
        source,
    })?;
    Ok(Node {
        name: name.to_owned(),
        uid: node.uid().unwrap_or_default(),
    })
}

/// What the mechanisms say, each: nothing, before they have had their first round.
pub(crate) type Offers = Vec<Receiver<Option<Mechanism>>>;

/// Runs until shutdown. The daemon is ready once the node has said what it offers.
pub(crate) async fn run(
    context: Context,
    offers: Offers,
    ready: Sender<Readiness>,
    shutdown: Shutdown,
) {
    let events = events(&context, &offers);
    let controller = Controller {
        context,
        offers,
        registered: false,
        ready,
    };
    spo_kube::controller::run(controller, events, 1, shutdown).await;
}

/// Whatever is a reason to look: another word of a mechanism, an object that may be gone.
fn events(context: &Context, offers: &Offers) -> impl Stream<Item = ()> + Send + use<> {
    let changes = offers.iter().map(|offer| {
        let changes = futures::stream::unfold(offer.clone(), |mut offer| async move {
            // An end means that nothing will change any more.
            offer.changed().await.ok()?;
            Some(((), offer))
        });
        changes.chain(futures::stream::pending()).boxed()
    });
    let name = node_status::node_object_name(&context.node.name);
    let own = watch_named::<HeldNodeStatus>(Api::all(context.client.clone()), &name);
    let gone = own.filter_map(|event| {
        let perhaps = matches!(event, watcher::Event::Delete(_) | watcher::Event::InitDone);
        std::future::ready(perhaps.then_some(()))
    });
    futures::stream::select_all(changes.chain([gone.boxed()]))
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key;

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("node")
    }
}

struct Controller {
    context: Context,
    offers: Offers,
    registered: bool,
    ready: Sender<Readiness>,
}

impl Reconcile for Controller {
    type Key = Key;
    type Event = ();
    /// Whether the node has said it.
    type Done = bool;

    fn name(&self) -> String {
        "node".to_owned()
    }

    fn observe(&mut self, (): ()) -> Vec<(Key, Duration)> {
        vec![(Key, Duration::ZERO)]
    }

    fn start(&mut self, _: &Key) -> Option<impl Future<Output = bool> + Send + 'static + use<>> {
        let said = self.offers.iter().map(|offer| offer.borrow().clone());
        let mechanisms: Vec<Mechanism> = said.collect::<Option<_>>()?;
        let context = self.context.clone();
        Some(async move { register(&context, &mechanisms).await })
    }

    fn finish(&mut self, _: &Key, done: Option<bool>) -> (Outcome, Vec<Key>) {
        if done != Some(true) {
            return (Outcome::Failed, Vec::new());
        }
        if !self.registered {
            self.registered = true;
            // The verdict before is of no interest.
            let _before = self.ready.send_replace(Readiness::Ok(()));
        }
        (Outcome::Settled, Vec::new())
    }
}

/// Makes the object that describes this node say what the node offers. Says whether it does.
async fn register(context: &Context, mechanisms: &[Mechanism]) -> bool {
    // Again each time: a node that was deleted and made again has another identity.
    let node = match identify(&context.client, &context.node.name).await {
        Ok(node) => node,
        Err(error) => {
            warn!(error = %chain(&error), "cannot register the node");
            return false;
        }
    };
    let api: Api<HeldNodeStatus> = Api::all(context.client.clone());
    let name = node_status::node_object_name(&node.name);
    let old = match api.get_opt(&name).await {
        Ok(old) => old,
        Err(error) => {
            warn!(%error, "cannot read what this node has said about itself");
            return false;
        }
    };
    let owned = |old: &HeldNodeStatus| {
        old.owner_references()
            .iter()
            .any(|owner| owner.uid == node.uid)
    };
    if old
        .as_ref()
        .is_some_and(|old| old.mechanisms() == mechanisms && owned(old))
    {
        return true;
    }
    let step = node_status::write_node(&node, mechanisms, old.is_some());
    match execute(&context.client, &step).await {
        Ok(_object) => {
            for Mechanism {
                name,
                available,
                message,
            } in mechanisms
            {
                let why_not = message.as_deref().unwrap_or_default();
                info!(node = %node.name, mechanism = %name, available, why_not, "node registered");
            }
            true
        }
        Err(error) if error.cause() == Cause::NotFound => false,
        Err(error) => {
            warn!(error = %chain(&error), "cannot say what this node offers");
            false
        }
    }
}

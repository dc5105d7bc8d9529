//! The controller of SeccompProfiles: what the watches show becomes files, then reports.

mod fetch;
mod index;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::watcher;
use kube::{Api, Client};
use spo_api::meta;
use spo_api::seccomp_profile::held::HeldSeccompProfile;
use spo_api::spod::held::HeldSpod;
use spo_kube::controller::Reconcile;
use spo_kube::queue::Outcome;
use spo_kube::watch::watch;
use spo_process::admin::Readiness;
use spo_process::chain::chain;
use spo_process::tasks::Shutdown;
use spo_profile::seccomp::render;
use tokio::sync::watch::Sender;
use tracing::{debug, error, info};

use crate::context::Context;
use crate::execute::{Changes, Error, execute};
use crate::node_status::HeldNodeStatus;
use crate::profile::Step;
use crate::{node, orphan};
use index::{Index, Touched};

/// Profiles that are worked on at once: enough for writes to be committed together, and for files to
/// be written while reports of others wait for their turn.
const CONCURRENCY: usize = 512;

/// Runs until shutdown.
pub(crate) async fn run(
    context: Context,
    namespace: String,
    ready: Sender<Readiness>,
    shutdown: Shutdown,
) {
    let events = events(&context, &namespace, shutdown.clone());
    let controller = Controller {
        context,
        index: Index::default(),
        last_known: BTreeMap::new(),
        first_round: None,
        registered: false,
        ready,
    };
    spo_kube::controller::run(controller, events, CONCURRENCY, shutdown).await;
}

enum Event {
    Profile(watcher::Event<HeldSeccompProfile>),
    Status(watcher::Event<HeldNodeStatus>),
    Spod(watcher::Event<HeldSpod>),
    /// A file in the operator directory; `None` for anything.
    File(Option<String>),
}

fn events(
    context: &Context,
    namespace: &str,
    shutdown: Shutdown,
) -> impl Stream<Item = Event> + Send + use<> {
    let client = || -> Client { context.client.clone() };
    let own = format!(
        "{}={}",
        meta::LABEL_NODE_NAME,
        meta::label_value(&context.node.name)
    );
    let profiles = watch(Api::all(client()), "").map(Event::Profile);
    let statuses = watch(Api::all(client()), &own).map(Event::Status);
    let spods = watch(Api::namespaced(client(), namespace), "").map(Event::Spod);
    let files = context.files.changes(shutdown).map(Event::File);
    futures::stream::select_all([
        profiles.boxed(),
        statuses.boxed(),
        spods.boxed(),
        files.boxed(),
    ])
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Profile(String),
    /// Files that belong to no profile any more.
    Orphans,
    /// What the node says about itself. Last, so that a node counts once it has caught up.
    Node,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Profile(name) => write!(f, "SeccompProfile/{name}"),
            Key::Orphans => f.write_str("orphans"),
            Key::Node => f.write_str("node"),
        }
    }
}

struct Controller {
    context: Context,
    index: Index,
    /// Digests of the files as we know them to be. A memory, not a truth: it only tells a file that
    /// somebody changed from one that we have to change.
    last_known: BTreeMap<String, [u8; 32]>,
    /// Profiles that were there at the start and have not been looked at; `None` before all watches
    /// have listed.
    first_round: Option<BTreeSet<String>>,
    registered: bool,
    ready: Sender<Readiness>,
}

enum Done {
    Profile {
        name: String,
        known: Option<[u8; 32]>,
        changes: Changes,
        failed: bool,
    },
    /// Profiles which are gone and have left a file; `None` if it could not be found out.
    Orphans(Option<Vec<String>>),
    Node {
        failed: bool,
    },
}

type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

impl Reconcile for Controller {
    type Key = Key;
    type Event = Event;
    type Done = Done;

    fn observe(&mut self, event: Event) -> Vec<(Key, Duration)> {
        let node_forgotten = self.registered
            && matches!(&event, Event::Status(watcher::Event::Delete(status)) if status.is_about_node());
        let touched = match event {
            Event::Profile(event) => self.index.observe_profile(event),
            Event::Status(event) => self.index.observe_status(event),
            Event::Spod(event) => self.index.observe_spod(event, &self.context.spod),
            Event::File(Some(file)) => {
                let profiles = self.index.claimants(&file).cloned().collect();
                Touched {
                    profiles,
                    all: false,
                }
            }
            Event::File(None) => Touched {
                all: true,
                ..Touched::default()
            },
        };
        if !self.index.synced() {
            return Vec::new();
        }
        let count = self.index.profile_names().count();
        self.context
            .metrics
            .profiles
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        let mut keys = Vec::new();
        if node_forgotten {
            keys.push(Key::Node);
        }
        let all = touched.all || self.first_round.is_none();
        if self.first_round.is_none() {
            info!(profiles = count, "in sync with the cluster");
            self.first_round = Some(self.index.all_names());
            keys.push(Key::Orphans);
            if count == 0 {
                keys.push(Key::Node);
            }
        }
        let names = if all {
            self.index.all_names()
        } else {
            touched.profiles
        };
        keys.extend(names.into_iter().map(Key::Profile));
        keys.into_iter().map(|key| (key, Duration::ZERO)).collect()
    }

    fn start(&mut self, key: &Key) -> Option<impl Future<Output = Done> + Send + 'static + use<>> {
        if !self.index.synced() {
            return None;
        }
        let context = self.context.clone();
        let work: Work = match key {
            Key::Profile(name) => {
                let known = self.last_known.get(name).copied();
                let snapshot = fetch::snapshot(&self.index, &context, name, known);
                Box::pin(install(snapshot, context))
            }
            Key::Orphans => {
                let claimed = self.index.claimed_files();
                Box::pin(async move { Done::Orphans(orphan::find(&context, &claimed).await) })
            }
            Key::Node => Box::pin(async move {
                Done::Node {
                    failed: !node::register(&context).await,
                }
            }),
        };
        Some(work)
    }

    fn finish(&mut self, key: &Key, done: Option<Done>) -> (Outcome, Vec<Key>) {
        let mut more = Vec::new();
        let failed = match done {
            Some(Done::Profile {
                name,
                known,
                changes,
                failed,
            }) => {
                self.learn(&name, known, changes);
                failed
            }
            Some(Done::Orphans(names)) => {
                let failed = names.is_none();
                more.extend(names.into_iter().flatten().map(Key::Profile));
                failed
            }
            Some(Done::Node { failed }) => {
                self.registered |= !failed;
                if self.registered {
                    // The verdict before is of no interest.
                    let _before = self.ready.send_replace(Readiness::Ok(()));
                }
                failed
            }
            None => true,
        };
        if let (Key::Profile(name), Some(round)) = (key, &mut self.first_round) {
            // A profile that can not be installed has been looked at all the same.
            if round.remove(name) && round.is_empty() && !self.registered {
                more.push(Key::Node);
            }
        }
        (
            if failed {
                Outcome::Failed
            } else {
                Outcome::Settled
            },
            more,
        )
    }
}

impl Controller {
    fn learn(&mut self, name: &str, known: Option<[u8; 32]>, changes: Changes) {
        match known {
            Some(digest) => self.last_known.insert(name.to_owned(), digest),
            None => self.last_known.remove(name),
        };
        for status in &changes.withdrawn {
            self.index.withdrawn(name, status);
        }
        if let Some(status) = changes.reported {
            self.index.reported(*status);
        }
    }
}

/// `fetch → plan → execute`, for one profile.
async fn install(snapshot: fetch::Snapshot, context: Context) -> Done {
    let (inputs, about) = fetch::fetch(snapshot, &context).await;
    let steps = plan::plan(&inputs);
    for step in &steps {
        debug!(%step, "plan");
    }
    let mut changes = Changes::default();
    let result = execute(&context, &about, &steps, &mut changes).await;
    let name = about.owner.name.clone();
    let Err(error) = result else {
        let known = known_after(&inputs, &steps);
        return Done::Profile {
            name,
            known,
            changes,
            failed: false,
        };
    };
    error!(profile = %about.owner.name, error = %chain(&error), "cannot reconcile");
    let reason = match &error {
        Error::Save(_) => plan::CANNOT_SAVE,
        Error::Remove(_) => plan::CANNOT_REMOVE,
        Error::Report(_) => plan::CANNOT_UPDATE_STATUS,
    };
    let tell = match &error {
        // What the API server did not take can not be told to it.
        Error::Report(_) => vec![Step::CountError { reason }],
        Error::Save(_) | Error::Remove(_) => plan::after_failure(&inputs, reason, chain(&error)),
    };
    if let Err(error) = execute(&context, &about, &tell, &mut changes).await {
        error!(profile = %about.owner.name, error = %chain(&error), "cannot report the failure");
    }
    Done::Profile {
        name,
        known: inputs.last_known,
        changes,
        failed: true,
    }
}

/// The digest of the file after the steps: what was written, or what was found and left.
fn known_after(inputs: &plan::Inputs, steps: &[Step]) -> Option<[u8; 32]> {
    let mut known = match &inputs.on_disk {
        plan::OnDisk::File(bytes) => Some(render::digest(bytes)),
        plan::OnDisk::Absent | plan::OnDisk::Strange | plan::OnDisk::Unreadable(_) => None,
    };
    for step in steps {
        match step {
            Step::Write { bytes, .. } => known = Some(render::digest(bytes)),
            Step::Remove { .. } => known = None,
            _ => {}
        }
    }
    known
}

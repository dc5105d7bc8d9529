//! SeccompProfiles on this node: what the watches show becomes files, then reports.

mod fetch;
mod index;
mod orphan;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use futures::{Stream, StreamExt as _};
use kube::runtime::watcher;
use kube::{Api, Client};
use spo_api::node_status::Mechanism;
use spo_api::seccomp_profile::held::HeldSeccompProfile;
use spo_api::spod::held::HeldSpod;
use spo_kube::queue::Outcome;
use spo_kube::watch::watch;
use spo_process::tasks::Shutdown;
use spo_profile::seccomp::render;
use tokio::sync::watch::Sender;

use crate::context::Context;
use crate::execute::{About, Act, Changes, execute};
use crate::files::{self, Files};
use crate::installer::{self, Attempt, Installer};
use crate::metrics::Counters;
use crate::node_status::{self, HeldNodeStatus};
use crate::profile::{Step, Subject, Touched};
use index::Index;
use plan::Effect;

/// Profiles that are worked on at once: enough for writes to be committed together, and for files to
/// be written while reports of others wait for their turn.
const CONCURRENCY: usize = 512;

/// Runs until shutdown. `mechanism` is what was found out about seccomp on this node.
pub(crate) async fn run(
    context: Context,
    node: OnNode,
    mechanism: Mechanism,
    offers: Sender<Option<Mechanism>>,
    shutdown: Shutdown,
) {
    let events = events(&context, &node.files, shutdown.clone());
    let seccomp = Seccomp {
        context,
        node,
        mechanism,
        index: Index::default(),
        last_known: BTreeMap::new(),
    };
    installer::run(seccomp, events, CONCURRENCY, offers, shutdown).await;
}

/// The operator directory, and where changes of it are counted.
#[derive(Clone)]
pub(crate) struct OnNode {
    pub(crate) files: Files,
    pub(crate) counters: Counters,
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
    files: &Files,
    shutdown: Shutdown,
) -> impl Stream<Item = Event> + Send + use<> {
    let client = || -> Client { context.client.clone() };
    let own = node_status::selector(&context.node);
    let profiles = watch(Api::all(client()), "").map(Event::Profile);
    let statuses = watch(Api::all(client()), &own).map(Event::Status);
    let spods = watch(Api::namespaced(client(), &context.namespace), "").map(Event::Spod);
    let files = files.changes(shutdown).map(Event::File);
    futures::stream::select_all([
        profiles.boxed(),
        statuses.boxed(),
        spods.boxed(),
        files.boxed(),
    ])
}

struct Seccomp {
    context: Context,
    node: OnNode,
    mechanism: Mechanism,
    index: Index,
    /// Digests of the files as we know them to be. A memory, not a truth: it only tells a file that
    /// somebody changed from one that we have to change.
    last_known: BTreeMap<String, [u8; 32]>,
}

impl Installer for Seccomp {
    type Event = Event;
    /// The digest of the file.
    type Learned = Option<[u8; 32]>;

    fn observe(&mut self, event: Event) -> Touched {
        let touched = match event {
            Event::Profile(event) => self.index.observe_profile(event),
            Event::Status(event) => self.index.reports.observe(event),
            Event::Spod(event) => self.index.observe_spod(event, &self.context.spod),
            Event::File(Some(file)) => Touched {
                profiles: self.index.claimants(&file).map(index::subject).collect(),
                all: false,
            },
            Event::File(None) => Touched::all(),
        };
        if self.synced() {
            let count = i64::try_from(self.count()).unwrap_or(i64::MAX);
            self.node.counters.profiles.set(count);
        }
        touched
    }

    fn synced(&self) -> bool {
        self.index.synced()
    }

    fn count(&self) -> usize {
        self.index.profile_names().count()
    }

    fn names(&self) -> BTreeSet<Subject> {
        self.index.all_names()
    }

    fn mechanism(&self) -> Mechanism {
        self.mechanism.clone()
    }

    fn install(
        &mut self,
        profile: &Subject,
    ) -> impl Future<Output = Attempt<Self::Learned>> + Send + 'static + use<> {
        let known = self.last_known.get(&profile.name).copied();
        let snapshot = fetch::snapshot(&self.index, &self.context, &profile.name, known);
        let unsupported = self.mechanism.message.clone();
        install(
            snapshot,
            self.context.clone(),
            self.node.clone(),
            unsupported,
        )
    }

    fn learn(
        &mut self,
        profile: &Subject,
        known: Option<[u8; 32]>,
        changes: Changes,
    ) -> Vec<Subject> {
        match known {
            Some(digest) => self.last_known.insert(profile.name.clone(), digest),
            None => self.last_known.remove(&profile.name),
        };
        self.index.reports.learn(profile, changes);
        Vec::new()
    }

    fn orphans(&mut self) -> impl Future<Output = Option<Vec<Subject>>> + Send + 'static + use<> {
        let claimed = self.index.claimed_files();
        let OnNode { files, counters } = self.node.clone();
        async move {
            let names = orphan::find(&files, &counters, &claimed).await?;
            Some(names.into_iter().map(index::subject).collect())
        }
    }
}

/// `fetch → plan → execute`, for one profile.
async fn install(
    snapshot: fetch::Snapshot,
    context: Context,
    node: OnNode,
    unsupported: Option<String>,
) -> Attempt<Option<[u8; 32]>> {
    let (inputs, about) = fetch::fetch(snapshot, &node.files, unsupported).await;
    let steps = plan::plan(&inputs);
    let after_failure = |reason, message| plan::after_failure(&inputs, reason, message);
    let (changes, succeeded) = execute(&node, &context, &about, &steps, after_failure).await;
    Attempt {
        learned: if succeeded {
            known_after(&inputs, &steps)
        } else {
            inputs.last_known
        },
        changes,
        outcome: if succeeded {
            Outcome::Settled
        } else {
            Outcome::Failed
        },
    }
}

/// The digest of the file after the steps: what was written, or what was found and left.
fn known_after(inputs: &plan::Inputs, steps: &[Step<Effect>]) -> Option<[u8; 32]> {
    let mut known = match &inputs.on_disk {
        plan::OnDisk::File(bytes) => Some(render::digest(bytes)),
        plan::OnDisk::Absent | plan::OnDisk::Strange | plan::OnDisk::Unreadable(_) => None,
    };
    for step in steps {
        match step {
            Step::Act(Effect::Write { bytes, .. }) => known = Some(render::digest(bytes)),
            Step::Act(Effect::Remove { .. }) => known = None,
            _ => {}
        }
    }
    known
}

/// A file that was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file could not be written.
    #[error("cannot save profile")]
    Save(#[source] files::Error),
    /// A file could not be removed.
    #[error("cannot remove profile")]
    Remove(#[source] files::Error),
}

impl Act for OnNode {
    type Effect = Effect;
    type Error = Error;
    const CANNOT_REPORT: &'static str = plan::CANNOT_UPDATE_STATUS;

    async fn act(&self, _: &About, effect: &Effect) -> Result<(), Error> {
        match effect {
            Effect::Write { file, bytes } => {
                let written = self.files.write(file, bytes.clone()).await;
                written.map_err(Error::Save)
            }
            Effect::Remove { file } => self.files.remove(file).await.map_err(Error::Remove),
        }
    }

    fn reason(error: &Error) -> &'static str {
        match error {
            Error::Save(_) => plan::CANNOT_SAVE,
            Error::Remove(_) => plan::CANNOT_REMOVE,
        }
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

//! AppArmorProfiles on this node: text becomes policy of the kernel, and is read back from it.
//!
//! Needs the securityfs of the host and its `/etc/apparmor.d`, root with CAP_MAC_ADMIN to load, and
//! a container which no AppArmor profile confines. A node which lacks any of it takes back what it
//! has reported about profiles, says why, and does nothing else.

mod fetch;
mod index;
mod memory;
mod node;
mod orphan;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use kube::runtime::watcher;
use kube::{Api, Client};
use spo_api::apparmor_profile::held::HeldAppArmorProfile;
use spo_api::node_status::Mechanism;
use spo_host::apparmor::kernel::{self, Kernel, Loaded};
use spo_host::apparmor::parser::{Limits, Parser};
use spo_host::probe::{self, Wanted};
use spo_kube::queue::Outcome;
use spo_kube::watch::watch;
use spo_process::chain::chain;
use spo_process::tasks::{Shutdown, Tasks};
use tokio::sync::watch::Receiver;
use tracing::warn;

use crate::context::Context;
use crate::execute::{Changes, execute};
use crate::files::Files;
use crate::installer::{self, Attempt, Installer};
use crate::metrics::Counters;
use crate::node_status::{self, HeldNodeStatus};
use crate::profile::{Subject, Touched};
use index::Index;
use memory::Memory;
use node::{Nowhere, OnNode};

/// Profiles that are worked on at once: enough for files to be committed together while the parser
/// has the processors.
const CONCURRENCY: usize = 64;

/// Where sysfs is.
const SYS: &str = "/sys";

/// Where the operator's image keeps what profiles include, for nodes whose own directory has none:
/// the host's is mounted over the image's.
const IMAGE_INCLUDES: &str = "/usr/share/security-profiles-operator/apparmor.d";

/// What the daemon is told about AppArmor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing is to be installed.
    Off,
    /// AppArmorProfiles are to be installed.
    On {
        /// Those with a policy, too.
        raw: bool,
    },
}

/// Starts the tasks, and says what this node offers once they have caught up.
pub(crate) async fn start(
    tasks: &mut Tasks,
    context: Context,
    told: Told,
    operator: Files,
    node_root: PathBuf,
    counters: Counters,
) -> Receiver<Option<Mechanism>> {
    let (wanted, raw) = match told {
        Told::Off => (Wanted::No, false),
        Told::On { raw } => (Wanted::Yes, raw),
    };
    let program = Parser::find(None);
    let mut mechanism = probe::apparmor(Path::new(SYS), wanted, program.as_deref());
    let mut node = None;
    let counted = counters.clone();
    if let (true, Some(program)) = (mechanism.available, program) {
        let own = node_root.join(spo_profile::layout::APPARMOR_DIR.trim_start_matches('/'));
        let parser = Parser::new(program, vec![own, IMAGE_INCLUDES.into()], Limits::default());
        match parser.version().await {
            Ok(version) => {
                let dir = spo_profile::layout::APPARMOR_DIR.to_owned();
                let (files, writer) = Files::new(node_root, dir, spo_host::file::FILE_MODE);
                tasks.spawn("apparmor-files", writer);
                let memory = Memory::new(operator, spo_host::boot::id());
                memory.recall().await;
                tasks.spawn("apparmor-memory", memory.clone().keep(tasks.shutdown()));
                node = Some(OnNode {
                    files,
                    kernel: Kernel::at(kernel::DIR),
                    parser,
                    version,
                    memory,
                    counters,
                });
            }
            Err(error) => {
                warn!(error = %chain(&error), "cannot compile AppArmor profiles");
                mechanism.available = false;
                mechanism.message = Some(format!("the compiler of profiles fails: {error}"));
            }
        }
    }
    let (offers, offered) = tokio::sync::watch::channel(None);
    let shutdown = tasks.shutdown();
    let events = events(&context, node.as_ref(), shutdown.clone());
    let apparmor = AppArmor {
        index: Index::new(node.is_some()),
        context,
        node,
        raw,
        mechanism,
        counters: counted,
    };
    tasks.spawn(
        "apparmor",
        installer::run(apparmor, events, CONCURRENCY, offers, shutdown),
    );
    offered
}

enum Event {
    Profile(watcher::Event<HeldAppArmorProfile>),
    Status(watcher::Event<HeldNodeStatus>),
    /// A file in the directory of policies; `None` for anything.
    File(Option<String>),
    /// What the kernel has loaded.
    Kernel(BTreeMap<String, Loaded>),
}

fn events(
    context: &Context,
    node: Option<&OnNode>,
    shutdown: Shutdown,
) -> impl Stream<Item = Event> + Send + use<> {
    let client = || -> Client { context.client.clone() };
    let own = node_status::selector(&context.node);
    let mut events = vec![watch(Api::all(client()), &own).map(Event::Status).boxed()];
    if let Some(node) = node {
        let files = node.files.changes(shutdown.clone());
        events.push(watch(Api::all(client()), "").map(Event::Profile).boxed());
        events.push(files.map(Event::File).boxed());
        events.push(node.changes(shutdown).map(Event::Kernel).boxed());
    }
    futures::stream::select_all(events)
}

struct AppArmor {
    context: Context,
    /// What to act on, where this node offers AppArmor.
    node: Option<OnNode>,
    raw: bool,
    mechanism: Mechanism,
    index: Index,
    counters: Counters,
}

impl Installer for AppArmor {
    type Event = Event;
    /// What was loaded is remembered where it is loaded.
    type Learned = ();

    fn observe(&mut self, event: Event) -> Touched {
        let touched = match event {
            Event::Profile(event) => self.index.observe_profile(event),
            Event::Status(event) => self.index.reports.observe(event),
            Event::File(Some(file)) => Touched {
                profiles: self.index.claimant(&file).into_iter().collect(),
                all: false,
            },
            Event::File(None) => Touched::all(),
            Event::Kernel(now) => {
                let memory = self.node.as_ref().map(|node| &node.memory);
                let digest = |name: &str| Some(memory?.get(name)?.digest);
                self.index.observe_kernel(now, digest)
            }
        };
        if self.synced() {
            let count = i64::try_from(self.count()).unwrap_or(i64::MAX);
            self.counters.profiles.set(count);
        }
        touched
    }

    fn synced(&self) -> bool {
        self.index.synced()
    }

    fn count(&self) -> usize {
        self.index.count()
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
    ) -> impl Future<Output = Attempt<()>> + Send + 'static + use<> {
        let snapshot = fetch::snapshot(&self.index, &self.context, &profile.name);
        let (context, raw) = (self.context.clone(), self.raw);
        let work: Pin<Box<dyn Future<Output = Attempt<()>> + Send>> = match self.node.clone() {
            Some(node) => Box::pin(install(snapshot, context, node, raw)),
            None => Box::pin(withdraw(snapshot, context, Nowhere(self.counters.clone()))),
        };
        work
    }

    fn learn(&mut self, profile: &Subject, (): (), changes: Changes) -> Vec<Subject> {
        self.index.reports.learn(profile, changes);
        Vec::new()
    }

    fn orphans(&mut self) -> impl Future<Output = Option<Vec<Subject>>> + Send + 'static + use<> {
        let claimed = self.index.claimed_files();
        let node = self.node.clone();
        async move {
            let Some(node) = node else {
                return Some(Vec::new());
            };
            let names = orphan::find(&node, &claimed).await?;
            Some(names.into_iter().map(index::subject).collect())
        }
    }
}

/// `fetch → plan → execute`, for one profile.
async fn install(
    snapshot: fetch::Snapshot,
    context: Context,
    node: OnNode,
    raw: bool,
) -> Attempt<()> {
    let about = fetch::about(&snapshot);
    let inputs = fetch::fetch(snapshot, &node, raw).await;
    let compiled = match plan::to_compile(&inputs) {
        Some(wanted) => Some(fetch::compile(&inputs.name, wanted, &node).await),
        None => None,
    };
    let steps = plan::plan(&inputs, compiled.as_ref());
    let after_failure = |reason, message| plan::after_failure(&inputs, reason, message);
    let (changes, succeeded) = execute(&node, &context, &about, &steps, after_failure).await;
    let settled = succeeded && !plan::is_unsure(&inputs, compiled.as_ref());
    Attempt {
        learned: (),
        changes,
        outcome: if settled {
            Outcome::Settled
        } else {
            Outcome::Failed
        },
    }
}

/// Takes back what was reported when this node still had AppArmor.
async fn withdraw(snapshot: fetch::Snapshot, context: Context, node: Nowhere) -> Attempt<()> {
    let about = fetch::about(&snapshot);
    let steps = snapshot.reported.withdraw_all();
    let nothing = |_, _| Vec::new();
    let (changes, succeeded) = execute(&node, &context, &about, &steps, nothing).await;
    Attempt {
        learned: (),
        changes,
        outcome: if succeeded {
            Outcome::Settled
        } else {
            Outcome::Failed
        },
    }
}

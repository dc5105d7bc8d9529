//! SelinuxProfiles and RawSelinuxProfiles on this node: what the watches show becomes modules in the
//! directory of selinuxd, then questions to selinuxd, then reports.
//!
//! Needs write access to `/etc/selinux.d` and the permission to connect to the socket of selinuxd, as
//! any user. A node without SELinux takes back what it has reported, says why, and does nothing else.

mod ask;
mod fetch;
mod index;
mod orphan;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::runtime::watcher;
use spo_api::node_status::Mechanism;
use spo_api::selinux_profile::held::{HeldRawSelinuxProfile, HeldSelinuxProfile};
use spo_api::spod::held::HeldSpod;
use spo_host::probe::{self, Wanted};
use spo_kube::queue::Outcome;
use spo_kube::watch::watch;
use spo_process::tasks::Tasks;
use spo_profile::selinux::name::BlockName;
use spo_selinuxd::client::Client;
use spo_selinuxd::status::PolicyStatus;
use tokio::sync::watch::{self as channel, Sender};
use tokio::time::Instant;

use crate::context::Context;
use crate::execute::{About, Act, Changes, execute};
use crate::files::{self, Files};
use crate::installer::{self, Attempt, Installer};
use crate::metrics::Counters;
use crate::node_status::{self, HeldNodeStatus};
use crate::profile::{Step, Subject, Touched};
use ask::{Round, Want, Wants};
use index::Index;
use plan::{Answer, Digest, Effect, OnDisk};

/// Mode of a module (contract 02a, 3.1).
const MODULE_MODE: u32 = 0o600;

/// Profiles that are worked on at once.
const CONCURRENCY: usize = 512;

/// How long selinuxd may take to see that a file has been replaced. It says nothing of it, and until
/// then speaks of the old one.
const NOTICED: Duration = Duration::from_secs(2);

/// What the daemon is told about SELinux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing is to be installed.
    Off,
    /// SelinuxProfiles are to be installed, and RawSelinuxProfiles unless the configuration says no.
    On {
        /// The directory from which selinuxd installs modules, as the node sees it.
        drop_dir: String,
        /// The socket of selinuxd, as this process sees it.
        socket: PathBuf,
    },
}

/// Starts the tasks, and says what this node offers once they have caught up.
pub(crate) fn start(
    tasks: &mut Tasks,
    context: Context,
    told: Told,
    node_root: PathBuf,
    counters: Counters,
) -> channel::Receiver<Option<Mechanism>> {
    let wanted = match told {
        Told::Off => Wanted::No,
        Told::On { .. } => Wanted::Yes,
    };
    let mechanism = probe::selinux(&node_root.join("proc"), wanted, None);
    let (wants, wanted) = channel::channel(Wants::new());
    let mut events = vec![watches(&context).boxed()];
    let mut node = None;
    if let (true, Told::On { drop_dir, socket }) = (mechanism.available, told) {
        let dir = drop_dir.trim_start_matches('/').to_owned();
        let (files, writer) = Files::new(node_root, dir, MODULE_MODE);
        tasks.spawn("modules", writer);
        let changes = files.changes(tasks.shutdown()).map(Event::File);
        events.push(changes.boxed());
        let rounds = ask::rounds(Client::new(socket), wanted).map(Event::Round);
        events.push(rounds.boxed());
        node = Some(files);
    }
    let selinux = Selinux {
        context,
        node: OnNode {
            files: node,
            counters,
        },
        mechanism,
        index: Index::default(),
        last_known: BTreeMap::new(),
        answers: BTreeMap::new(),
        changes: 0,
        wants,
    };
    let (offers, offered) = channel::channel(None);
    let events = futures::stream::select_all(events);
    let shutdown = tasks.shutdown();
    tasks.spawn(
        "selinux",
        installer::run(selinux, events, CONCURRENCY, offers, shutdown),
    );
    offered
}

/// The directory of selinuxd, and where changes of it are counted.
#[derive(Clone)]
pub(crate) struct OnNode {
    /// `None` on a node that does not offer SELinux.
    files: Option<Files>,
    counters: Counters,
}

enum Event {
    Profile(watcher::Event<HeldSelinuxProfile>),
    Raw(watcher::Event<HeldRawSelinuxProfile>),
    Status(watcher::Event<HeldNodeStatus>),
    Spod(watcher::Event<HeldSpod>),
    /// A file in the directory of selinuxd; `None` for anything.
    File(Option<String>),
    /// What selinuxd says.
    Round(Round),
}

fn watches(context: &Context) -> impl Stream<Item = Event> + Send + use<> {
    let client = || -> kube::Client { context.client.clone() };
    let own = node_status::selector(&context.node);
    let profiles = watch(Api::all(client()), "").map(Event::Profile);
    let raws = watch(Api::all(client()), "").map(Event::Raw);
    let statuses = watch(Api::all(client()), &own).map(Event::Status);
    let spods = watch(Api::namespaced(client(), &context.namespace), "").map(Event::Spod);
    futures::stream::select_all([
        profiles.boxed(),
        raws.boxed(),
        statuses.boxed(),
        spods.boxed(),
    ])
}

struct Selinux {
    context: Context,
    node: OnNode,
    mechanism: Mechanism,
    index: Index,
    /// Digests of the modules as we know them to be. A memory, not a truth: it only tells a file that
    /// somebody changed from one that we have to change.
    last_known: BTreeMap<String, Digest>,
    /// What selinuxd has said about modules since their last change, by name.
    answers: BTreeMap<String, Answer>,
    /// How many changes of modules there were.
    changes: u64,
    wants: Sender<Wants>,
}

/// What an attempt has shown about the module of a profile.
struct Learned {
    known: Option<Digest>,
    /// Whether the file was changed, and if so, whether an answer could be about the one before.
    changed: Option<bool>,
    ask: bool,
    /// Whether the file is that of this profile. If not, all of this is about nothing.
    owned: bool,
}

impl Installer for Selinux {
    type Event = Event;
    type Learned = Learned;

    fn observe(&mut self, event: Event) -> Touched {
        let touched = match event {
            Event::Profile(event) => self.index.observe_profile(event),
            Event::Raw(event) => self.index.observe_raw(event),
            Event::Status(event) => {
                let mut touched = self.index.reports.observe(event);
                let parents: Vec<Subject> = touched.profiles.iter().cloned().collect();
                for parent in parents {
                    let children = self.index.children(&parent.name);
                    touched.profiles.extend(children.cloned());
                }
                touched
            }
            Event::Spod(event) => self.index.observe_spod(event, &self.context.spod),
            Event::File(Some(file)) => match BlockName::of_file(&file) {
                Some(name) => self.named(name.as_str()),
                None => Touched::none(),
            },
            Event::File(None) => Touched::all(),
            Event::Round(round) => self.heard(round),
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
        self.index.subjects().count()
    }

    fn names(&self) -> BTreeSet<Subject> {
        self.index.all()
    }

    fn mechanism(&self) -> Mechanism {
        self.mechanism.clone()
    }

    fn install(
        &mut self,
        profile: &Subject,
    ) -> impl Future<Output = Attempt<Learned>> + Send + 'static + use<> {
        let answer = self.answers.get(&profile.name).cloned();
        let snapshot = fetch::snapshot(
            &self.index,
            &self.context,
            profile,
            answer.unwrap_or_default(),
            self.last_known.get(&profile.name).copied(),
        );
        install(snapshot, self.context.clone(), self.node.clone())
    }

    fn learn(&mut self, profile: &Subject, learned: Learned, changes: Changes) -> Vec<Subject> {
        // Who inherits it may be waiting for it.
        let others = if changes.reported.is_some() {
            self.index.children(&profile.name).cloned().collect()
        } else {
            Vec::new()
        };
        self.index.reports.learn(profile, changes);
        if learned.owned {
            self.learn_module(&profile.name, &learned);
        }
        others
    }

    fn orphans(&mut self) -> impl Future<Output = Option<Vec<Subject>>> + Send + 'static + use<> {
        let claimed = self.index.claimed_files();
        let files = self.node.files.clone();
        async move {
            match files {
                Some(files) => orphan::find(&files, &claimed).await,
                None => Some(Vec::new()),
            }
        }
    }
}

impl Selinux {
    /// Profiles of a name.
    fn named(&self, name: &str) -> Touched {
        let mut touched = Touched::none();
        self.index.touch_name(name, &mut touched.profiles);
        touched
    }

    /// Takes in what selinuxd says, of what is still waited for.
    fn heard(&mut self, round: Round) -> Touched {
        let wants = self.wants.borrow().clone();
        let heard: Vec<(String, Answer)> = match round {
            Round::Unreachable(why) => wants
                .into_keys()
                .map(|name| (name, Answer::Unreachable(why.clone())))
                .collect(),
            Round::Answers(answers) => answers
                .into_iter()
                .filter(|(name, (change, _))| {
                    wants.get(name).is_some_and(|want| want.change == *change)
                })
                .map(|(name, (_, status))| (name, answer(status)))
                .collect(),
        };
        let mut touched = Touched::none();
        for (name, answer) in heard {
            if self.answers.get(&name) != Some(&answer) {
                self.index.touch_name(&name, &mut touched.profiles);
                self.answers.insert(name, answer);
            }
        }
        touched
    }

    fn learn_module(&mut self, name: &str, learned: &Learned) {
        match learned.known {
            Some(digest) => self.last_known.insert(name.to_owned(), digest),
            None => self.last_known.remove(name),
        };
        if learned.changed.is_some() || !learned.ask {
            self.answers.remove(name);
        }
        let mut wants = self.wants.borrow().clone();
        if !learned.ask {
            wants.remove(name);
        } else if let Some(may_mislead) = learned.changed {
            self.changes += 1;
            let pause = if may_mislead { NOTICED } else { Duration::ZERO };
            let want = Want {
                change: self.changes,
                not_before: Instant::now() + pause,
            };
            wants.insert(name.to_owned(), want);
        } else {
            wants.entry(name.to_owned()).or_insert_with(|| Want {
                change: self.changes,
                not_before: Instant::now(),
            });
        }
        self.wants.send_if_modified(|known| {
            let modified = *known != wants;
            *known = wants;
            modified
        });
    }
}

fn answer(status: Option<PolicyStatus>) -> Answer {
    match status {
        None => Answer::Unknown,
        Some(PolicyStatus::Installed) => Answer::Installed,
        Some(PolicyStatus::Failed { message }) => Answer::Failed(message),
    }
}

/// `fetch → plan → execute`, for one profile.
async fn install(snapshot: fetch::Snapshot, context: Context, node: OnNode) -> Attempt<Learned> {
    let (inputs, about) = fetch::fetch(snapshot, node.files.as_ref()).await;
    let plan = plan::plan(&inputs);
    let steps = &plan.steps;
    let after_failure = |reason, message| plan::after_failure(&inputs, reason, message);
    let (changes, succeeded) = execute(&node, &context, &about, steps, after_failure).await;
    let changed = steps.iter().find_map(|step| match step {
        Step::Act(Effect::Write { .. }) => Some(inputs.on_disk != OnDisk::Absent),
        // That it is installed is what is waited to end; that it failed could be the old one.
        Step::Act(Effect::Remove { .. }) => Some(matches!(inputs.answer, Answer::Failed(_))),
        _ => None,
    });
    let learned = Learned {
        known: if succeeded {
            known_after(&inputs, steps)
        } else {
            inputs.last_known
        },
        changed,
        // What could not be reported is to be known when it is tried again.
        ask: plan.ask || !succeeded,
        owned: inputs.rival.is_none() && inputs.file.is_ok() && inputs.available,
    };
    Attempt {
        learned,
        changes,
        outcome: if succeeded {
            Outcome::Settled
        } else {
            Outcome::Failed
        },
    }
}

/// The digest of the file after the steps: what was written, or what was found and left.
fn known_after(inputs: &plan::Inputs, steps: &[Step<Effect>]) -> Option<Digest> {
    let mut known = match &inputs.on_disk {
        OnDisk::File { digest, .. } => Some(*digest),
        OnDisk::Absent | OnDisk::Strange | OnDisk::Unreadable(_) => None,
    };
    for step in steps {
        match step {
            Step::Act(Effect::Write { text, .. }) => known = Some(plan::digest(text)),
            Step::Act(Effect::Remove { .. }) => known = None,
            _ => {}
        }
    }
    known
}

/// A module that was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file could not be written.
    #[error("creating policy file")]
    Write(#[source] files::Error),
    /// The file could not be removed.
    #[error("removing policy file")]
    Remove(#[source] files::Error),
    /// A plan that no node without SELinux should have.
    #[error("this node does not offer SELinux")]
    NotOffered,
}

impl Act for OnNode {
    type Effect = Effect;
    type Error = Error;
    const CANNOT_REPORT: &'static str = plan::CANNOT_UPDATE_STATUS;

    async fn act(&self, _: &About, effect: &Effect) -> Result<(), Error> {
        let Some(files) = &self.files else {
            return Err(Error::NotOffered);
        };
        match effect {
            Effect::Write { file, text } => {
                let written = files.write(file, text.clone().into_bytes()).await;
                written.map_err(Error::Write)
            }
            Effect::Remove { file } => files.remove(file).await.map_err(Error::Remove),
        }
    }

    fn reason(error: &Error) -> &'static str {
        match error {
            Error::Write(_) | Error::NotOffered => plan::CANNOT_WRITE,
            Error::Remove(_) => plan::CANNOT_REMOVE,
        }
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

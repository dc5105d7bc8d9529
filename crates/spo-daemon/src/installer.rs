//! The controller of every mechanism: which profile is looked at when, and when the node has caught up.
//!
//! What a mechanism knows and does is an [`Installer`].

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use spo_api::node_status::Mechanism;
use spo_kube::controller::Reconcile;
use spo_kube::queue::Outcome;
use spo_process::tasks::Shutdown;
use tokio::sync::watch::Sender;
use tracing::info;

use crate::execute::Changes;
use crate::profile::{Subject, Touched};

/// One mechanism on this node.
pub(crate) trait Installer: Send + 'static {
    /// What it listens to.
    type Event: Send + 'static;
    /// What it remembers of an attempt. A memory, not a truth: it may be lost.
    type Learned: Send + 'static;

    /// Takes an event in.
    fn observe(&mut self, event: Self::Event) -> Touched;

    /// Whether absence means absence: all watches have listed once.
    fn synced(&self) -> bool;

    /// How many profiles there are.
    fn count(&self) -> usize;

    /// Profiles which exist or about which this node has reported.
    fn names(&self) -> BTreeSet<Subject>;

    /// What the node says of the mechanism, now.
    fn mechanism(&self) -> Mechanism;

    /// `fetch → plan → execute`, for one profile.
    fn install(
        &mut self,
        profile: &Subject,
    ) -> impl Future<Output = Attempt<Self::Learned>> + Send + 'static + use<Self>;

    /// Takes what came of it in, and says which others are to be looked at because of that.
    fn learn(
        &mut self,
        profile: &Subject,
        learned: Self::Learned,
        changes: Changes,
    ) -> Vec<Subject>;

    /// Finds profiles which are gone and have left something on the node; `None` if it could not be
    /// found out.
    fn orphans(
        &mut self,
    ) -> impl Future<Output = Option<Vec<Subject>>> + Send + 'static + use<Self>;
}

/// What came of looking at a profile.
pub(crate) struct Attempt<L> {
    pub(crate) learned: L,
    pub(crate) changes: Changes,
    pub(crate) outcome: Outcome,
}

/// Runs until shutdown. `concurrency` profiles are worked on at once. What the node offers is said
/// through `offers`, once every profile has been looked at.
pub(crate) async fn run<I: Installer>(
    installer: I,
    events: impl Stream<Item = I::Event> + Send,
    concurrency: usize,
    offers: Sender<Option<Mechanism>>,
    shutdown: Shutdown,
) {
    let controller = Controller {
        installer,
        first_round: None,
        caught_up: false,
        offers,
    };
    spo_kube::controller::run(controller, events, concurrency, shutdown).await;
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Profile(Subject),
    /// What belongs to no profile any more.
    Orphans,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Profile(profile) => profile.fmt(f),
            Key::Orphans => f.write_str("orphans"),
        }
    }
}

struct Controller<I> {
    installer: I,
    /// Profiles that were there at the start and have not been looked at; `None` before all watches
    /// have listed.
    first_round: Option<BTreeSet<Subject>>,
    caught_up: bool,
    offers: Sender<Option<Mechanism>>,
}

enum Done<L> {
    Profile(Attempt<L>),
    Orphans(Option<Vec<Subject>>),
}

type Work<L> = Pin<Box<dyn Future<Output = Done<L>> + Send>>;

impl<I: Installer> Reconcile for Controller<I> {
    type Key = Key;
    type Event = I::Event;
    type Done = Done<I::Learned>;

    fn name(&self) -> String {
        self.installer.mechanism().name.to_lowercase()
    }

    fn observe(&mut self, event: I::Event) -> Vec<(Key, Duration)> {
        let touched = self.installer.observe(event);
        if !self.installer.synced() {
            return Vec::new();
        }
        let mut keys = Vec::new();
        let all = touched.all || self.first_round.is_none();
        if self.first_round.is_none() {
            info!(
                mechanism = %self.installer.mechanism().name,
                profiles = self.installer.count(),
                "in sync with the cluster"
            );
            self.first_round = Some(self.installer.names());
            keys.push(Key::Orphans);
        }
        let profiles = if all {
            self.installer.names()
        } else {
            touched.profiles
        };
        keys.extend(profiles.into_iter().map(Key::Profile));
        self.offer();
        keys.into_iter().map(|key| (key, Duration::ZERO)).collect()
    }

    fn start(
        &mut self,
        key: &Key,
    ) -> Option<impl Future<Output = Self::Done> + Send + 'static + use<I>> {
        if !self.installer.synced() {
            return None;
        }
        let work: Work<I::Learned> = match key {
            Key::Profile(profile) => {
                let attempt = self.installer.install(profile);
                Box::pin(async move { Done::Profile(attempt.await) })
            }
            Key::Orphans => {
                let orphans = self.installer.orphans();
                Box::pin(async move { Done::Orphans(orphans.await) })
            }
        };
        Some(work)
    }

    fn finish(&mut self, key: &Key, done: Option<Self::Done>) -> (Outcome, Vec<Key>) {
        let mut more = Vec::new();
        let outcome = match done {
            Some(Done::Profile(Attempt {
                learned,
                changes,
                outcome,
            })) => {
                if let Key::Profile(profile) = key {
                    let others = self.installer.learn(profile, learned, changes);
                    more.extend(others.into_iter().map(Key::Profile));
                }
                outcome
            }
            Some(Done::Orphans(Some(orphans))) => {
                more.extend(orphans.into_iter().map(Key::Profile));
                Outcome::Settled
            }
            Some(Done::Orphans(None)) | None => Outcome::Failed,
        };
        if let (Key::Profile(profile), Some(round)) = (key, &mut self.first_round) {
            // A profile that can not be installed has been looked at all the same.
            round.remove(profile);
        }
        self.offer();
        (outcome, more)
    }
}

impl<I: Installer> Controller<I> {
    /// From the first word on, the manager expects this node to have every profile (decision 4).
    fn offer(&mut self) {
        self.caught_up |= self.first_round.as_ref().is_some_and(BTreeSet::is_empty);
        if !self.caught_up {
            return;
        }
        let now = self.installer.mechanism();
        self.offers.send_if_modified(|said| {
            let changed = said.as_ref() != Some(&now);
            if changed {
                *said = Some(now);
            }
            changed
        });
    }
}

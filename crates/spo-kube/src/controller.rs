//! The loop that every controller runs in: take events in, work on what is due, take results in.
//!
//! The state of a controller has one owner, this loop. Work runs beside it, at most one piece per
//! key, on what [`Reconcile::start`] copied out of the state.

mod counters;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use spo_process::tasks::Shutdown;
use tokio::task::JoinSet;
use tracing::{Instrument as _, error, info_span};

use crate::queue::{Outcome, Queue};
use counters::Counters;

pub use counters::register as register_counters;

/// A reconcile as a whole may take this long. Each write in it has a far shorter deadline; when
/// thousands of objects come at once, most of the time is waiting for a turn.
const DEADLINE: Duration = Duration::from_secs(600);

/// A controller: its state, and how the state changes.
pub trait Reconcile: Send {
    /// What is reconciled as one.
    type Key: Ord + Clone + fmt::Display + Send + 'static;
    /// What it listens to.
    type Event: Send;
    /// What a piece of work brings back.
    type Done: Send + 'static;

    /// What its reconciles are counted as.
    fn name(&self) -> String;

    /// Takes an event in, and says which keys are to be looked at, and after which time.
    fn observe(&mut self, event: Self::Event) -> Vec<(Self::Key, Duration)>;

    /// Starts to work on a key: copies what is needed out of the state. `None` if the state can not
    /// tell yet; an event will bring the key back.
    fn start(
        &mut self,
        key: &Self::Key,
    ) -> Option<impl Future<Output = Self::Done> + Send + 'static + use<Self>>;

    /// Takes the result of the work in. `None` if it panicked or took too long.
    fn finish(&mut self, key: &Self::Key, done: Option<Self::Done>) -> (Outcome, Vec<Self::Key>);
}

/// Runs until shutdown, or until the events end. `concurrency` pieces of work run at once.
pub async fn run<R: Reconcile>(
    mut reconcile: R,
    events: impl Stream<Item = R::Event> + Send,
    concurrency: usize,
    mut shutdown: Shutdown,
) {
    let mut events = pin!(events);
    let counters = Counters::of(&reconcile.name());
    let mut queue: Queue<R::Key> = Queue::default();
    let mut work: JoinSet<(R::Key, Option<R::Done>)> = JoinSet::new();
    loop {
        while queue.running() < concurrency {
            let Some(key) = queue.pop(Instant::now()) else {
                break;
            };
            start(&mut reconcile, &mut queue, &mut work, key);
        }
        if let Some(counters) = &counters {
            counters.set_waiting(queue.waiting());
        }
        let timer = queue.next_due().filter(|_| queue.running() < concurrency);
        tokio::select! {
            () = shutdown.asked() => break,
            Some(joined) = work.join_next() => {
                let Ok((key, done)) = joined else {
                    error!("a reconcile was lost");
                    break;
                };
                let (outcome, more) = reconcile.finish(&key, done);
                if let Some(counters) = &counters {
                    counters.count(outcome);
                }
                queue.done(key, outcome, Instant::now());
                for key in more {
                    queue.add(key, Instant::now());
                }
            }
            event = events.next() => {
                let Some(event) = event else { break };
                for (key, after) in reconcile.observe(event) {
                    queue.add(key, Instant::now() + after);
                }
            }
            () = sleep_until(timer) => {}
        }
    }
    // The current steps are finished: a half-done plan is taken up again by the next process, but
    // there is no need to leave one.
    while work.join_next().await.is_some() {}
}

fn start<R: Reconcile>(
    reconcile: &mut R,
    queue: &mut Queue<R::Key>,
    work: &mut JoinSet<(R::Key, Option<R::Done>)>,
    key: R::Key,
) {
    let Some(future) = reconcile.start(&key) else {
        queue.done(key, Outcome::Settled, Instant::now());
        return;
    };
    let span = info_span!("reconcile", object = %key);
    work.spawn(
        async move {
            let guarded = std::panic::AssertUnwindSafe(future);
            let caught = futures::FutureExt::catch_unwind(guarded);
            let done = match tokio::time::timeout(DEADLINE, caught).await {
                Ok(Ok(done)) => Some(done),
                Ok(Err(_panic)) => {
                    error!("reconcile panicked");
                    None
                }
                Err(_elapsed) => {
                    error!("reconcile took longer than {DEADLINE:?}");
                    None
                }
            };
            (key, done)
        }
        .instrument(span),
    );
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

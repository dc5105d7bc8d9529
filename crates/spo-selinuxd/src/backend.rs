//! Backend: installs what is in the drop directory, a whole burst in one transaction.
//!
//! A policy of a node takes seconds to build, whatever has changed. So changes are waited for until
//! it is quiet, and everything that has changed goes into one run of semodule. Start reading at
//! `plan.rs`, which decides what to change, and `search.rs`, which finds what is bad in a batch.

mod directory;
mod kernel;
mod module;
mod output;
mod plan;
mod search;
mod semodule;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use spo_host::file::Dir;
use spo_host::watch::{Change as FileChange, DirWatch};
use spo_process::chain::chain;
use spo_process::news::News;
use spo_process::tasks::Shutdown;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, error, info, warn};

pub use directory::StateError;
pub use semodule::Error as SemoduleError;

use crate::view::View;
use directory::StateFile;
use kernel::Kernel;
use plan::{Known, Wanted};
use search::Search;
use semodule::Semodule;

/// A burst is over when nothing has changed for this long.
const QUIET: Duration = Duration::from_millis(200);

/// A burst that does not end is cut here.
const BURST: Duration = Duration::from_secs(2);

/// How often the store is compared without a change of a file: somebody may have changed it.
const CHECK: Duration = Duration::from_secs(300);

/// How long to wait after a failure which is no module's, first and at most.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The drop directory can not be opened.
    #[error("cannot open the drop directory {path:?}")]
    Open {
        /// Of the directory.
        path: PathBuf,
        /// Why.
        source: spo_host::root::Error,
    },
    /// The drop directory can not be watched.
    #[error("cannot watch the drop directory")]
    Watch(#[from] spo_host::watch::Error),
    /// The drop directory can not be read.
    #[error("cannot read the drop directory")]
    Scan(#[from] spo_host::file::Error),
    /// The store can not be listed or changed.
    #[error("cannot use the module store")]
    Store(#[from] semodule::Error),
    /// The state can not be kept.
    #[error("cannot keep the state")]
    State(#[from] StateError),
    /// A transaction failed, and not because of a module.
    #[error("cannot change the module store: {0}")]
    Trouble(String),
}

/// What the backend works on.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Where modules are dropped.
    pub drop_dir: PathBuf,
    /// The file which remembers what was tried. It should live as long as the drop directory.
    pub state: PathBuf,
    /// The program.
    pub semodule: PathBuf,
    /// Where selinuxfs is mounted, if it is.
    pub selinuxfs: PathBuf,
}

/// The backend.
#[derive(Debug)]
pub(crate) struct Backend {
    drop_dir: PathBuf,
    state: StateFile,
    semodule: Semodule,
    kernel: Kernel,
    known: Known,
    /// What was written last, so that only changes are.
    kept: Option<Known>,
    wanted: Wanted,
    view: watch::Sender<View>,
}

impl Backend {
    /// A backend which remembers what its predecessor knew.
    pub(crate) fn new(paths: &Paths, view: watch::Sender<View>) -> Result<Self, StateError> {
        let state = StateFile::new(&paths.state)?;
        let known = state.read().unwrap_or_else(|error| {
            warn!(error = %chain(&error), "nothing is known of an earlier run");
            Known::default()
        });
        Ok(Self {
            drop_dir: paths.drop_dir.clone(),
            state,
            semodule: Semodule::new(paths.semodule.clone()),
            kernel: Kernel::new(paths.selinuxfs.clone()),
            known,
            kept: None,
            wanted: Wanted::new(),
            view,
        })
    }

    /// Runs until shutdown. A transaction which has begun is finished.
    pub(crate) async fn run(mut self, mut shutdown: Shutdown) {
        let mut news = News::default();
        let mut backoff = BACKOFF;
        let mut watched = None;
        loop {
            let wait = match self.turn(&mut watched).await {
                Ok(()) => {
                    if news.works() {
                        info!("the module store is up to date again");
                    }
                    backoff = BACKOFF;
                    CHECK
                }
                Err(error) => {
                    let text = chain(&error);
                    if news.failed(&text) {
                        error!(error = %text, "cannot install SELinux modules; trying again");
                    }
                    let wait = backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    wait
                }
            };
            tokio::select! {
                () = shutdown.asked() => return,
                () = self.changes(&mut watched, wait) => {}
            }
        }
    }

    /// One round over what is there now, without waiting for changes.
    pub(crate) async fn once(&mut self) -> Result<(), Error> {
        self.turn(&mut None).await
    }

    async fn turn(&mut self, watched: &mut Option<(Dir, DirWatch)>) -> Result<(), Error> {
        let dir = match watched {
            Some((dir, _)) => dir.clone(),
            None => {
                let dir = directory::open(&self.drop_dir).map_err(|source| Error::Open {
                    path: self.drop_dir.clone(),
                    source,
                })?;
                // Watched before it is read: what changes in between is seen.
                let watch = DirWatch::new(&dir)?;
                *watched = Some((dir.clone(), watch));
                dir
            }
        };
        self.round(&dir).await?;
        while self.known.is_restless() {
            self.round(&dir).await?;
        }
        Ok(())
    }

    /// Waits for the end of a burst of changes, at most `most` for its beginning.
    async fn changes(&self, watched: &mut Option<(Dir, DirWatch)>, most: Duration) {
        let Some((dir, watch)) = watched else {
            return sleep(most).await;
        };
        let Ok(first) = timeout(most, watch.next()).await else {
            return;
        };
        let mut lost = self.seen(dir, first);
        let cut = Instant::now() + BURST;
        while !lost {
            let next = tokio::select! {
                next = timeout(QUIET, watch.next()) => next,
                () = sleep_until(cut) => break,
            };
            match next {
                Ok(changes) => lost = self.seen(dir, changes),
                Err(_quiet) => break,
            }
        }
        if lost {
            *watched = None;
            // A directory which is removed at once again is no reason to spin.
            sleep(QUIET).await;
        }
    }

    /// Takes back the status of files which are written right now; tells whether the directory is
    /// lost.
    fn seen(&self, dir: &Dir, changes: Result<Vec<FileChange>, spo_host::watch::Error>) -> bool {
        let changes = match changes {
            Ok(changes) => changes,
            Err(error) => {
                warn!(error = %chain(&error), "starting to watch anew");
                return true;
            }
        };
        for change in &changes {
            let FileChange::File(file) = change else {
                continue;
            };
            let Some(name) = module::name_of(file) else {
                continue;
            };
            // Whoever has just written a file must not be told of the one before. One which is
            // removed keeps its status until the module is removed.
            let bytes = directory::text(dir, file);
            let same = self.wanted.get(name).is_some_and(|module| {
                module.file == *file && module.digest == module::Digest::of(&bytes)
            });
            if !bytes.is_empty() && !same {
                self.view
                    .send_modify(|view| drop(view.policies.remove(name)));
            }
        }
        changes.contains(&FileChange::DirectoryGone)
    }

    /// Brings the store to what the drop directory says.
    async fn round(&mut self, dir: &Dir) -> Result<(), Error> {
        self.wanted = directory::scan(dir)?;
        let store = self.semodule.list().await?;
        let changes = self.known.plan(&self.wanted, &store);
        self.publish(false);
        let mut trouble = None;
        if !changes.is_empty() {
            let began = Instant::now();
            let mut search = Search::new(changes.clone());
            let mut runs = 0;
            while let Some(attempt) = search.next() {
                let verdict = self.attempt(dir, &attempt).await;
                debug!(?attempt, ?verdict, "transaction");
                search.learn(verdict);
                runs += 1;
            }
            let (outcomes, end) = search.end();
            trouble = end;
            let store = self.semodule.list().await?;
            self.known.settle(&self.wanted, &outcomes, &store);
            let failed: Vec<_> = outcomes
                .iter()
                .filter(|(_, outcome)| outcome.is_err())
                .collect();
            info!(
                changes = changes.len(),
                failed = failed.len(),
                transactions = runs,
                seconds = began.elapsed().as_secs_f32(),
                "changed the module store"
            );
            for (change, outcome) in failed {
                let reason = outcome.as_ref().err().map_or("", String::as_str);
                warn!(module = change.module(), reason, "module failed");
            }
            self.known
                .hold_up(&untried(&changes, &outcomes), trouble.as_deref());
        } else {
            self.known.hold_up(&[], None);
        }
        self.ask_the_kernel().await?;
        self.publish(trouble.is_none());
        self.keep()?;
        trouble.map_or(Ok(()), |reason| Err(Error::Trouble(reason)))
    }

    async fn attempt(&self, dir: &Dir, attempt: &search::Attempt) -> search::Verdict {
        let file = |name: &str| {
            let module = self.wanted.get(name)?;
            Some(semodule::absolute(&self.drop_dir, &module.file))
        };
        let text = |name: &str| {
            let module = self.wanted.get(name).filter(|module| module.is_cil);
            module.map_or_else(Vec::new, |module| directory::text(dir, &module.file))
        };
        self.semodule.attempt(attempt, file, text).await
    }

    /// Loads the policy where the kernel lacks something, and compares.
    async fn ask_the_kernel(&mut self) -> Result<(), Error> {
        if !self.kernel.is_there() {
            self.known.no_kernel();
            return Ok(());
        }
        let expected = self.known.expected(&self.wanted);
        let mut otherwise = self.otherwise(&expected);
        if self.known.is_unloaded() || !otherwise.is_empty() {
            let before = self.kernel.loads();
            let mut loaded = self.semodule.load().await?;
            let after = self.kernel.loads();
            if loaded.is_ok() && before.is_some() && before == after {
                loaded = Err("semodule --reload reported success, and no load was counted".into());
            }
            if let Err(reason) = &loaded {
                warn!(reason, "the kernel did not load the policy");
            }
            self.known.load(loaded);
            otherwise = self.otherwise(&expected);
        }
        self.known.compare(&expected, &otherwise);
        Ok(())
    }

    fn otherwise(&self, expected: &[plan::Expected]) -> BTreeSet<String> {
        let answers = expected.iter().filter(|expected| {
            let known = self.kernel.knows(&expected.module);
            known.is_some_and(|known| known != expected.known)
        });
        answers.map(|expected| expected.module.clone()).collect()
    }

    /// Shows what is known; it stays ready once it was.
    fn publish(&self, done: bool) {
        let policies = self.known.statuses(&self.wanted);
        self.view.send_modify(|view| {
            view.ready |= done;
            view.policies = policies;
        });
    }

    fn keep(&mut self) -> Result<(), StateError> {
        if self.kept.as_ref() != Some(&self.known) {
            self.state.write(&self.known)?;
            self.kept = Some(self.known.clone());
        }
        Ok(())
    }
}

fn untried(
    changes: &[search::Change],
    outcomes: &std::collections::BTreeMap<search::Change, search::Outcome>,
) -> Vec<search::Change> {
    let untried = changes
        .iter()
        .filter(|change| !outcomes.contains_key(change));
    untried.cloned().collect()
}

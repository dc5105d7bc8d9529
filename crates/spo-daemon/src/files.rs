//! A directory of this node that is the operator's: read from anywhere, written by one task.
//!
//! Writes that come in together are committed together: one fsync of the directory for all of them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::Stream;
use spo_host::file::{self, Dir};
use spo_host::root::{CreateDirs, NodeRoot};
use spo_host::watch::{Change, DirWatch};
use spo_process::chain::chain;
use spo_process::tasks::Shutdown;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Writes that wait for the one task. Full means that reconciles wait.
const WAITING_MAX: usize = 256;
/// Writes that are committed together.
const BATCH_MAX: usize = 64;
/// The largest file that is read; larger is not a profile.
const FILE_MAX: usize = 8 << 20;
/// How long to wait before a directory that could not be watched is tried again.
const REOPEN: std::time::Duration = std::time::Duration::from_secs(1);

/// The directory.
#[derive(Clone)]
pub(crate) struct Files {
    place: Arc<Place>,
    writes: mpsc::Sender<Write>,
}

struct Place {
    root: PathBuf,
    relative: String,
    /// Of every file.
    mode: u32,
    /// Open, once it could be opened. Replaced when the directory was.
    dir: Mutex<Option<Dir>>,
}

struct Write {
    name: String,
    bytes: Vec<u8>,
    done: oneshot::Sender<Result<(), Error>>,
}

/// What was not done to a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The directory or the file.
    #[error(transparent)]
    Host(#[from] file::Error),
    /// The node root.
    #[error(transparent)]
    Root(#[from] spo_host::root::Error),
    /// A write that shared the fate of its batch.
    #[error("{0}")]
    Batch(String),
    /// The directory can not be watched.
    #[error(transparent)]
    Watch(#[from] spo_host::watch::Error),
    /// The process is ending.
    #[error("cannot reach the task that writes files")]
    Ending,
}

/// What is at a name.
pub(crate) enum Found {
    Absent,
    File(Vec<u8>),
    Strange,
}

impl Files {
    /// The directory `relative` under the node root `root`, whose files have the mode `mode`, and the
    /// task that writes to it.
    pub(crate) fn new(
        root: PathBuf,
        relative: String,
        mode: u32,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let place = Arc::new(Place {
            root,
            relative,
            mode,
            dir: Mutex::new(None),
        });
        let writer = write_all(Arc::clone(&place), receiver);
        (
            Self {
                place,
                writes: sender,
            },
            writer,
        )
    }

    /// What is at a name.
    pub(crate) async fn read(&self, name: &str) -> Result<Found, Error> {
        let name = name.to_owned();
        let mode = self.place.mode;
        self.blocking(move |dir| match dir.read(&name, FILE_MAX) {
            // Somebody has changed who may read it.
            Ok(Some(_)) if dir.mode(&name)? != Some(mode) => Ok(Found::Strange),
            Ok(Some(bytes)) => Ok(Found::File(bytes)),
            Ok(None) => Ok(Found::Absent),
            Err(
                file::Error::Symlink { .. }
                | file::Error::NotRegular { .. }
                | file::Error::TooBig { .. },
            ) => Ok(Found::Strange),
            Err(error) => Err(error),
        })
        .await
    }

    /// Puts a file in place: the old or the new content is there at any time, never a part.
    pub(crate) async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let (done, written) = oneshot::channel();
        let write = Write {
            name: name.to_owned(),
            bytes,
            done,
        };
        if self.writes.send(write).await.is_err() {
            return Err(Error::Ending);
        }
        written.await.unwrap_or(Err(Error::Ending))
    }

    /// Takes a file away. One that is not there is fine.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |dir| dir.unlink(&name).map(|_removed| ()))
            .await
    }

    /// The names in the directory.
    pub(crate) async fn list(&self) -> Result<Vec<String>, Error> {
        self.blocking(Dir::list).await
    }

    /// What happens in the directory behind our back, and to the directory. Ours is in it too.
    /// `None` means that anything may have happened.
    pub(crate) fn changes(
        &self,
        shutdown: Shutdown,
    ) -> impl Stream<Item = Option<String>> + Send + use<> {
        let start = (self.clone(), None::<DirWatch>, Vec::new(), shutdown);
        futures::stream::unfold(
            start,
            |(files, mut watch, mut pending, mut shutdown)| async move {
                loop {
                    if let Some(name) = pending.pop() {
                        return Some((name, (files, watch, pending, shutdown)));
                    }
                    let Some(open) = watch.as_mut() else {
                        watch = files.open_watch().await;
                        match watch {
                            // What happened while nobody watched is not known.
                            Some(_) => pending.push(None),
                            None => tokio::select! {
                                () = shutdown.asked() => return None,
                                () = tokio::time::sleep(REOPEN) => {}
                            },
                        }
                        continue;
                    };
                    match open.next().await {
                        Ok(changes) => {
                            if changes.contains(&Change::DirectoryGone) {
                                files.forget();
                                watch = None;
                            }
                            pending.extend(changes.into_iter().filter_map(|change| match change {
                                Change::File(name) => Some(Some(name)),
                                Change::Overflow => Some(None),
                                Change::DirectoryGone => None,
                            }));
                        }
                        Err(error) => {
                            warn!(directory = %files.place.relative, error = %chain(&error), "cannot watch");
                            watch = None;
                        }
                    }
                }
            },
        )
    }

    async fn open_watch(&self) -> Option<DirWatch> {
        // Opening is blocking; the watch itself belongs to the runtime.
        let opened = self.blocking(|dir| Ok(dir.clone())).await;
        match opened.and_then(|dir| DirWatch::new(&dir).map_err(Error::from)) {
            Ok(watch) => Some(watch),
            Err(error) => {
                self.forget();
                warn!(directory = %self.place.relative, error = %chain(&error), "cannot watch");
                None
            }
        }
    }

    fn forget(&self) {
        *lock(&self.place.dir) = None;
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Dir) -> Result<T, file::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.place);
        let joined = tokio::task::spawn_blocking(move || {
            let dir = place.open()?;
            let result = work(&dir);
            if result.is_err() {
                // Perhaps the directory was replaced; the next attempt looks.
                *lock(&place.dir) = None;
            }
            result.map_err(Error::from)
        });
        joined.await.unwrap_or(Err(Error::Ending))
    }
}

impl Place {
    /// The directory, made if it is missing.
    fn open(&self) -> Result<Dir, Error> {
        let mut dir = lock(&self.dir);
        if let Some(dir) = &*dir {
            return Ok(dir.clone());
        }
        let root = NodeRoot::open(&self.root)?;
        let opened = root.dir(&self.relative, CreateDirs::Missing)?;
        opened.remove_stale_temps()?;
        *dir = Some(opened.clone());
        Ok(opened)
    }
}

/// The task that writes.
async fn write_all(place: Arc<Place>, mut writes: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while writes.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let place = Arc::clone(&place);
        let batch = std::mem::take(&mut batch);
        let joined = tokio::task::spawn_blocking(move || commit(&place, batch)).await;
        if let Err(error) = joined {
            warn!(%error, "a batch of writes was lost");
        }
    }
}

fn commit(place: &Place, batch: Vec<Write>) {
    let (mut files, mut waiters) = (Vec::new(), Vec::new());
    for Write { name, bytes, done } in batch {
        files.push((name, bytes));
        waiters.push(done);
    }
    let results: Vec<Result<(), Error>> = match place.open() {
        Ok(dir) => dir
            .write_batch(&files, place.mode)
            .into_iter()
            .map(|written| written.map_err(Error::from))
            .collect(),
        Err(error) => waiters
            .iter()
            .map(|_| Err(Error::Batch(chain(&error))))
            .collect(),
    };
    if results.iter().any(Result::is_err) {
        *lock(&place.dir) = None;
    }
    for (done, result) in waiters.into_iter().zip(results) {
        // Nobody waits any more: the process is ending.
        let _gone = done.send(result);
    }
}

/// The lock is held for no longer than it takes to open a directory, and never across an await.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

//! The daemon, and the one round of `oneshot`: the backend and the server put together.

use std::path::PathBuf;

use spo_process::tasks::{Ended, Tasks};
use tokio::sync::watch;
use tracing::info;

use crate::backend::{self, Backend, Paths};
use crate::server;
use crate::status::PolicyStatus;
use crate::view::View;

/// What the daemon is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the modules are, and what installs them.
    pub paths: Paths,
    /// Where to answer.
    pub socket: PathBuf,
    /// Whose the socket is.
    pub socket_uid: u32,
    /// Which group may ask.
    pub socket_gid: u32,
}

/// Why the daemon can not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path of the state makes no sense.
    #[error("cannot keep the state in --datastore-path")]
    State(#[from] backend::StateError),
    /// The socket can not be had.
    #[error("cannot serve")]
    Server(#[from] server::Error),
    /// The one round could not be finished.
    #[error("cannot install SELinux modules")]
    Round(#[from] backend::Error),
    /// Modules which are not installed.
    #[error("{0} of the modules are not installed; their reasons are in the log")]
    Failed(usize),
}

/// Installs what is dropped, and answers, until it is told to end.
pub async fn run_daemon(config: Config) -> Result<Ended, Error> {
    let (sender, current) = watch::channel(View::default());
    let backend = Backend::new(&config.paths, sender)?;
    let listener = server::listen(&config.socket, config.socket_uid, config.socket_gid).await?;
    info!(
        socket = %config.socket.display(),
        drop_dir = %config.paths.drop_dir.display(),
        "Starting selinuxd"
    );
    let mut tasks = Tasks::new();
    tasks.spawn("server", server::serve(listener, current, tasks.shutdown()));
    tasks.spawn("backend", backend.run(tasks.shutdown()));
    Ok(tasks.run().await)
}

/// Installs what is there, once.
pub async fn run_oneshot(paths: &Paths) -> Result<(), Error> {
    let (sender, current) = watch::channel(View::default());
    let mut backend = Backend::new(paths, sender)?;
    backend.once().await?;
    let view = current.borrow();
    let failed = |status: &&PolicyStatus| **status != PolicyStatus::Installed;
    match view.policies.values().filter(failed).count() {
        0 => Ok(()),
        failed => Err(Error::Failed(failed)),
    }
}

//! OnNode: the policies of this node, in the directory of files and in the kernel.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures::Stream;
use spo_host::apparmor::Mode;
use spo_host::apparmor::kernel::{self, Changes, Kernel, Loaded};
use spo_host::apparmor::parser::Parser;
use spo_process::chain::chain;
use spo_process::tasks::Shutdown;
use tracing::warn;

use super::memory::Memory;
use super::plan::{self, Effect};
use crate::execute::{About, Act};
use crate::files::{self, Files};
use crate::metrics::Counters;

/// How long changes of the policy are gathered before the kernel is looked at: whoever loads one
/// profile often loads more.
const GATHER: Duration = Duration::from_millis(250);

/// How long to wait before the kernel is tried again.
const REOPEN: Duration = Duration::from_secs(5);

/// What this mechanism acts on.
#[derive(Clone)]
pub(super) struct OnNode {
    /// The directory of policies.
    pub(super) files: Files,
    pub(super) kernel: Kernel,
    pub(super) parser: Parser,
    /// What the parser says it is.
    pub(super) version: String,
    pub(super) memory: Memory,
    pub(super) counters: Counters,
}

/// What was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The file could not be written.
    #[error("cannot load profile into node: cannot write its file")]
    Write(#[source] files::Error),
    /// The kernel does not take the profile.
    #[error("cannot load profile into node")]
    Load(#[source] kernel::Error),
    /// The kernel took it and does not have it.
    #[error(
        "cannot load profile into node: policy {0:?} is not loaded: AppArmorProfile name must \
         match defined policy"
    )]
    NotLoaded(String),
    /// The kernel has it in another mode.
    #[error(
        "cannot load profile into node: the kernel has {profile:?} in mode {found} instead of \
         {wanted}"
    )]
    OtherMode {
        /// Its name.
        profile: String,
        /// As the kernel says.
        found: Mode,
        /// As the profile says.
        wanted: Mode,
    },
    /// The kernel does not let the profile go.
    #[error("cannot unload profile from node")]
    Unload(#[source] kernel::Error),
    /// The kernel let it go and still has it.
    #[error("cannot unload profile from node: the kernel still has {0:?}")]
    StillLoaded(String),
    /// The file could not be removed.
    #[error("cannot remove the file of the profile")]
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
                written.map_err(Error::Write)
            }
            Effect::Load {
                profile,
                mode,
                key,
                binary,
            } => {
                let (name, binary) = (profile.clone(), binary.clone());
                let loaded = self.kernel(move |kernel| {
                    kernel.replace(&binary)?;
                    kernel.loaded(&name)
                });
                let Some(loaded) = loaded.await.map_err(Error::Load)? else {
                    return Err(Error::NotLoaded(profile.clone()));
                };
                if loaded.mode != *mode {
                    return Err(Error::OtherMode {
                        profile: profile.clone(),
                        found: loaded.mode,
                        wanted: mode.clone(),
                    });
                }
                self.memory.loaded(profile, *key, loaded.digest);
                Ok(())
            }
            Effect::Unload { profile } => {
                let name = profile.clone();
                let left = self.kernel(move |kernel| {
                    kernel.remove(&name)?;
                    kernel.loaded(&name)
                });
                if left.await.map_err(Error::Unload)?.is_some() {
                    return Err(Error::StillLoaded(profile.clone()));
                }
                self.memory.unloaded(profile);
                Ok(())
            }
            Effect::Remove { file } => self.files.remove(file).await.map_err(Error::Remove),
        }
    }

    fn reason(error: &Error) -> &'static str {
        match error {
            Error::Write(_) | Error::Load(_) | Error::NotLoaded(_) | Error::OtherMode { .. } => {
                plan::CANNOT_LOAD
            }
            Error::Unload(_) | Error::StillLoaded(_) | Error::Remove(_) => plan::CANNOT_UNLOAD,
        }
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// A node that does not offer AppArmor: there is nothing to act on.
pub(super) struct Nowhere(pub(super) Counters);

impl Act for Nowhere {
    type Effect = Infallible;
    type Error = Infallible;
    const CANNOT_REPORT: &'static str = plan::CANNOT_UPDATE_STATUS;

    async fn act(&self, _: &About, effect: &Infallible) -> Result<(), Infallible> {
        match *effect {}
    }

    fn reason(error: &Infallible) -> &'static str {
        match *error {}
    }

    fn counters(&self) -> &Counters {
        &self.0
    }
}

impl OnNode {
    /// Asks the kernel, off the event loop.
    pub(super) async fn kernel<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Kernel) -> Result<T, kernel::Error> + Send + 'static,
    ) -> Result<T, kernel::Error> {
        let kernel = self.kernel.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&kernel));
        match asked.await {
            Ok(answer) => answer,
            Err(error) => Err(kernel::Error::Wait(std::io::Error::other(error))),
        }
    }

    /// What the kernel has loaded, each time that it may have changed.
    pub(super) fn changes(
        &self,
        shutdown: Shutdown,
    ) -> impl Stream<Item = BTreeMap<String, Loaded>> + Send + use<> {
        let start = (self.clone(), None::<Changes>, shutdown);
        futures::stream::unfold(start, |(node, mut changes, mut shutdown)| async move {
            loop {
                let seen = tokio::select! {
                    seen = look(&node, &mut changes) => seen,
                    () = shutdown.asked() => return None,
                };
                match seen {
                    Ok(seen) => return Some((seen, (node, changes, shutdown))),
                    Err(error) => {
                        warn!(error = %chain(&error), "cannot watch which profiles are loaded");
                        changes = None;
                        tokio::select! {
                            () = tokio::time::sleep(REOPEN) => {}
                            () = shutdown.asked() => return None,
                        }
                    }
                }
            }
        })
    }
}

/// Waits for a change, and looks. A stream that was just opened has one.
async fn look(
    node: &OnNode,
    changes: &mut Option<Changes>,
) -> Result<BTreeMap<String, Loaded>, kernel::Error> {
    match changes {
        Some(changes) => changes.next().await?,
        None => *changes = Some(node.kernel.changes()?),
    }
    tokio::time::sleep(GATHER).await;
    node.kernel(Kernel::profiles).await
}

//! Prepares a node so that the daemon can run as [`DAEMON`] without any capability.
//!
//! An init container which runs as root with CHOWN, FOWNER, FSETID and DAC_OVERRIDE, and sees the
//! node below a node root which it never leaves. It needs no API server: upstream also asks for a
//! label of the node that names the kubelet's directory, here the environment names it.
//!
//! A second run changes nothing.

mod fetch;
mod plan;

use std::io::ErrorKind;
use std::path::PathBuf;

use spo_host::file::FILE_MODE;
use spo_host::file::entry::Owner;
use spo_host::root::{CreateDirs, NodeRoot};
use spo_host::{file, kubelet, root};
use spo_profile::layout::{HOST_OPERATOR_ROOT, KUBELET_CONFIG, OPERATOR_DIR};
use tracing::{debug, info, warn};

use plan::Step;

/// What an enabler is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The container runtime, for the log.
    pub runtime: String,
    /// Whether the operator's own AppArmor profiles are asked for.
    pub apparmor: bool,
    /// The kubelet's directory, as the node sees it, if the environment names one.
    pub kubelet_dir: Option<String>,
    /// Where the node's files appear.
    pub node_root: PathBuf,
}

/// Whom the daemon runs as (contract 02, 1.1).
pub const DAEMON: Owner = Owner {
    uid: 65535,
    gid: 65535,
};

/// A node which could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory can not be opened or made.
    #[error(transparent)]
    Root(#[from] root::Error),
    /// Something in a directory can not be looked at or changed.
    #[error(transparent)]
    File(#[from] file::Error),
    /// Profiles would land in two places.
    #[error(
        "{path} is a directory with {entries} entries, but the daemon writes to \
         {HOST_OPERATOR_ROOT}: move what is needed there and remove the directory"
    )]
    FullDirectory {
        /// Where the link belongs.
        path: String,
        /// How many.
        entries: usize,
    },
    /// The kubelet would look elsewhere.
    #[error(
        "{path} is a link to {target:?}, but the daemon writes to {HOST_OPERATOR_ROOT}: remove \
         the link"
    )]
    WrongLink {
        /// Of the link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// Neither a link nor a directory.
    #[error("{path} is neither a directory nor a link to {HOST_OPERATOR_ROOT}: remove it")]
    Strange {
        /// Where the link belongs.
        path: String,
    },
}

/// Prepares the node, or says why it can not be.
pub fn run_enabler(config: &Config) -> Result<(), Error> {
    info!("starting component: non-root-enabler");
    // The message is one that people search for.
    info!("Container runtime:{}", config.runtime);
    if config.apparmor {
        warn!("no AppArmor profile is loaded: this version of the operator has none of its own");
    }
    let root = NodeRoot::open(&config.node_root)?;
    let remembered = fetch::remembered(&root)?;
    let kubelet = kubelet::directory(remembered.as_deref(), config.kubelet_dir.as_deref());
    let asked = kubelet::directory(None, config.kubelet_dir.as_deref());
    if config.kubelet_dir.is_some() && asked != kubelet {
        warn!(
            %kubelet, %asked, file = %format_args!("{HOST_OPERATOR_ROOT}/{KUBELET_CONFIG}"),
            "the node remembers another kubelet directory than is asked for: remove the file if \
             it is wrong"
        );
    }
    let facts = fetch::fetch(&root, &kubelet)?;
    let plan = plan::plan(&facts, &kubelet)?;
    for file in &plan.left_alone {
        warn!(%file, "file left to its owner: it is a hard link");
    }
    if plan.steps.is_empty() {
        debug!("nothing to do");
    }
    for step in &plan.steps {
        execute(&root, &kubelet, step)?;
        info!(?step, "node changed");
    }
    Ok(())
}

/// The kubelet's directory of profiles.
fn seccomp_dir(kubelet: &str) -> String {
    format!("{kubelet}/seccomp")
}

fn execute(root: &NodeRoot, kubelet: &str, step: &Step) -> Result<(), Error> {
    let seccomp = || root.dir(&seccomp_dir(kubelet), CreateDirs::MissingSearchable);
    let operator = || root.dir(HOST_OPERATOR_ROOT, CreateDirs::MissingSearchable);
    match step {
        Step::MakeSeccompDir => drop(seccomp()?),
        Step::MakeOperatorDir => drop(operator()?),
        Step::SetMode(mode) => operator()?.set_own_mode(*mode)?,
        Step::RemoveEmptyDir => drop(seccomp()?.remove_dir(OPERATOR_DIR)?),
        Step::Link => seccomp()?.link(OPERATOR_DIR, HOST_OPERATOR_ROOT)?,
        Step::Remember => {
            let bytes = kubelet::config(kubelet);
            operator()?.write_atomic(KUBELET_CONFIG, &bytes, FILE_MODE)?;
        }
        Step::GiveFile(name) => match operator()?.set_file_owner(name, DAEMON) {
            // A daemon that still runs has removed it.
            Err(file::Error::Change { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            given => given?,
        },
        Step::GiveDir => operator()?.set_owner(DAEMON)?,
    }
    Ok(())
}

//! `selinuxd`: the flags and answers of upstream's `selinuxdctl` (contract 02a, 3.7), and the paths
//! that are fixed there.

use std::path::PathBuf;

use clap::{ArgAction, Subcommand};
use spo_process::tasks::Ended;
use spo_selinuxd::backend::Paths;
use spo_selinuxd::client::{self, Client};
use spo_selinuxd::daemon::{self, Config};
use spo_selinuxd::status::PolicyStatus;

/// What selinuxd is to do.
#[derive(clap::Args, Debug)]
pub(crate) struct Selinuxd {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Installs what is dropped until it is told to end, and answers on a socket.
    Daemon(Daemon),
    /// Installs what is there once, and ends.
    Oneshot(Oneshot),
    /// Prints the names of all policies, or the status of one.
    Status(Status),
    /// Prints whether everything was installed once; if not, the exit code is 1.
    IsReady(Socket),
}

#[derive(clap::Args, Debug)]
struct Daemon {
    #[command(flatten)]
    socket: Socket,

    /// The user whom the socket is given to.
    #[arg(long, default_value_t = 0)]
    socket_uid: u32,

    /// The group whom the socket is given to.
    #[arg(long, default_value_t = 0)]
    socket_gid: u32,

    #[command(flatten)]
    oneshot: Oneshot,

    /// Accepted for compatibility: there is no profiling endpoint.
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    enable_profiling: bool,
}

#[derive(clap::Args, Debug)]
struct Oneshot {
    /// The file which remembers what was tried.
    #[arg(long, default_value = "/var/run/selinuxd.db")]
    datastore_path: PathBuf,

    /// The directory whose modules are installed.
    #[arg(long, default_value = "/etc/selinux.d")]
    drop_dir: PathBuf,

    /// The program semodule.
    #[arg(long, default_value = "/usr/sbin/semodule")]
    semodule: PathBuf,

    /// Where selinuxfs is mounted, if it is.
    #[arg(long, default_value = "/sys/fs/selinux")]
    selinuxfs: PathBuf,
}

#[derive(clap::Args, Debug)]
struct Socket {
    /// The socket on which selinuxd answers.
    #[arg(long, default_value = "/var/run/selinuxd.sock")]
    socket_path: PathBuf,
}

#[derive(clap::Args, Debug)]
struct Status {
    /// The policy; all of them unless given.
    policy: Option<String>,

    #[command(flatten)]
    socket: Socket,
}

/// Why a command of selinuxd failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot run selinuxd")]
    Daemon(#[from] daemon::Error),
    #[error("cannot ask selinuxd")]
    Client(#[from] client::Error),
}

impl Oneshot {
    fn paths(self) -> Paths {
        Paths {
            drop_dir: self.drop_dir,
            state: self.datastore_path,
            semodule: self.semodule,
            selinuxfs: self.selinuxfs,
        }
    }
}

impl Daemon {
    fn config(self) -> Config {
        if self.enable_profiling {
            tracing::warn!(
                "--enable-profiling has nothing to switch on: use the daemon's endpoint"
            );
        }
        Config {
            paths: self.oneshot.paths(),
            socket: self.socket.socket_path,
            socket_uid: self.socket_uid,
            socket_gid: self.socket_gid,
        }
    }
}

impl Selinuxd {
    pub(crate) async fn run(self) -> Result<Ended, Error> {
        let good = match self.command {
            Command::Daemon(daemon) => return Ok(daemon::run_daemon(daemon.config()).await?),
            Command::Oneshot(oneshot) => {
                daemon::run_oneshot(&oneshot.paths()).await?;
                true
            }
            Command::IsReady(socket) => {
                let ready = Client::new(socket.socket_path).ready().await?;
                print(if ready { "yes" } else { "no" });
                ready
            }
            Command::Status(status) => status.run().await?,
        };
        Ok(if good { Ended::Asked } else { Ended::TaskFell })
    }
}

impl Status {
    async fn run(self) -> Result<bool, client::Error> {
        let client = Client::new(self.socket.socket_path);
        let Some(policy) = self.policy else {
            client.policies().await?.iter().for_each(|name| print(name));
            return Ok(true);
        };
        let status = client.policy(&policy).await?;
        match &status {
            Some(PolicyStatus::Installed) => print("Installed"),
            Some(PolicyStatus::Failed { message }) => print(&format!("Failed: {message}")),
            None => print("not known"),
        }
        Ok(status == Some(PolicyStatus::Installed))
    }
}

#[expect(clippy::print_stdout, reason = "it is the output of the command")]
fn print(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{self, Args};

    fn parse(more: &[&str]) -> Command {
        let parsed = Args::try_parse_from(["spo", "selinuxd"].iter().chain(more));
        match parsed.map(|args| args.command) {
            Ok(args::Command::Selinuxd(selinuxd)) => selinuxd.command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_flags_of_upstream_are_taken() {
        let daemon = |more: &[&str]| match parse(more) {
            Command::Daemon(daemon) => daemon.config(),
            other => panic!("{other:?}"),
        };
        let config = daemon(&["daemon"]);
        assert_eq!(config.socket, PathBuf::from("/var/run/selinuxd.sock"));
        assert_eq!(config.paths.state, PathBuf::from("/var/run/selinuxd.db"));
        assert_eq!(config.paths.drop_dir, PathBuf::from("/etc/selinux.d"));
        assert_eq!((config.socket_uid, config.socket_gid), (0, 0));
        // As the DaemonSet has them: each token an argument of its own.
        let config = daemon(&[
            "daemon",
            "--datastore-path",
            "/var/run/selinuxd/selinuxd.db",
            "--socket-path",
            "/var/run/selinuxd/selinuxd.sock",
            "--socket-uid",
            "0",
            "--socket-gid",
            "65535",
            "--enable-profiling=true",
        ]);
        assert_eq!(config.socket_gid, 65535);
        assert!(matches!(
            parse(&["oneshot", "--datastore-path=/d"]),
            Command::Oneshot(_)
        ));
        assert!(matches!(
            parse(&["is-ready", "--socket-path=/s"]),
            Command::IsReady(_)
        ));
        let Command::Status(status) = parse(&["status", "nginx"]) else {
            panic!("no status");
        };
        assert_eq!(status.policy.as_deref(), Some("nginx"));
    }
}

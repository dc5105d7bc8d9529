//! `doctor`: prints what the host offers that it runs on.

use std::path::PathBuf;

use spo_daemon::doctor::{self, Request};
use spo_process::tasks::Ended;

/// What to look at, and how to print it.
#[derive(clap::Args, Debug)]
pub(crate) struct Doctor {
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,

    /// A mechanism without which the exit code is 1; more than one with commas between.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "seccomp")]
    require: Vec<Mechanism>,

    /// The directory under which the files of the node appear.
    #[arg(long, env = "NODE_ROOT", default_value = "/")]
    node_root: PathBuf,

    /// The kubelet's directory, as the node sees it.
    #[arg(long, env = "KUBELET_DIR")]
    kubelet_dir: Option<String>,

    /// The socket of selinuxd.
    #[arg(long, default_value = "/var/run/selinuxd/selinuxd.sock")]
    selinuxd_socket: PathBuf,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Text,
    Json,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Seccomp,
    #[value(name = "selinux")]
    Selinux,
    #[value(name = "apparmor")]
    AppArmor,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Mechanism::Seccomp => "Seccomp",
            Mechanism::Selinux => "SELinux",
            Mechanism::AppArmor => "AppArmor",
        }
    }
}

impl Doctor {
    /// Looks and prints. What is required and not available is a failure.
    #[expect(clippy::print_stdout, reason = "it is the output of the command")]
    pub(crate) async fn run(self) -> Ended {
        let report = doctor::examine(&Request {
            node_root: self.node_root,
            kubelet_dir: self.kubelet_dir.filter(|dir| !dir.is_empty()),
            selinuxd: self.selinuxd_socket,
        })
        .await;
        match self.output {
            Output::Text => print!("{report}"),
            Output::Json => println!("{}", report.json()),
        }
        let required = self.require.into_iter().map(Mechanism::name);
        let required: Vec<String> = required.map(str::to_owned).collect();
        if report.lacks(&required).is_empty() {
            Ended::Asked
        } else {
            Ended::TaskFell
        }
    }
}

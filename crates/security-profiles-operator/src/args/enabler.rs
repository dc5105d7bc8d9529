//! The arguments of `non-root-enabler` (contract 02, 1.4).

use std::path::PathBuf;

use clap::{ArgAction, builder::BoolishValueParser};

#[derive(clap::Args, Debug)]
pub(crate) struct NonRootEnabler {
    /// The container runtime of the node. It is logged.
    #[arg(short = 'r', long, default_value = "")]
    runtime: String,

    /// Install the operator's own AppArmor profiles. This version has none.
    #[arg(short = 'a', long, env = "SPO_APPARMOR", default_value_t = false,
          value_parser = BoolishValueParser::new(), action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    apparmor: bool,

    /// The kubelet's directory, as the node sees it, where the node does not remember one.
    #[arg(long, env = "KUBELET_DIR")]
    kubelet_dir: Option<String>,

    /// The directory under which the files of the node appear.
    #[arg(long, env = "NODE_ROOT", default_value = "/host")]
    node_root: PathBuf,
}

impl NonRootEnabler {
    pub(crate) fn config(self) -> spo_daemon::enabler::Config {
        spo_daemon::enabler::Config {
            runtime: self.runtime,
            apparmor: self.apparmor,
            kubelet_dir: self.kubelet_dir.filter(|dir| !dir.is_empty()),
            node_root: self.node_root,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::{Args, Command};

    #[test]
    fn the_flags_of_upstream_are_taken() {
        let parse = |more: &[&str]| {
            let parsed = Args::try_parse_from(["spo", "non-root-enabler"].iter().chain(more));
            match parsed.map(|args| args.command) {
                Ok(Command::NonRootEnabler(enabler)) => enabler.config(),
                other => panic!("{other:?}"),
            }
        };
        assert!(!parse(&[]).apparmor);
        for on in ["-a", "--apparmor", "--apparmor=true", "-a=1"] {
            let config = parse(&["--runtime=cri-o", on]);
            assert!(config.apparmor, "{on}");
            assert_eq!(config.runtime, "cri-o");
        }
        let config = parse(&["-r", "containerd", "--apparmor=false"]);
        assert!(!config.apparmor);
        assert_eq!(config.runtime, "containerd");
    }
}

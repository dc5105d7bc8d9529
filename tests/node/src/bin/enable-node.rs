//! Prepares a directory as if it were a node: `enable-node DIRECTORY [KUBELET_DIRECTORY]`.

use std::process::ExitCode;

use spo_daemon::enabler::{Config, run_enabler};

#[expect(clippy::print_stderr, reason = "it is a command")]
fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let config = Config {
        runtime: String::new(),
        apparmor: false,
        node_root: args.next().unwrap_or_default().into(),
        kubelet_dir: args.next(),
    };
    match run_enabler(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", spo_test_node::chain(&error));
            ExitCode::FAILURE
        }
    }
}

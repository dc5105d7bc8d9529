//! Writes the CustomResourceDefinitions into a directory:
//! `cargo run -q -p spo-api --bin crdgen -- deploy/crds`.

use std::{env, io, path::PathBuf, process::ExitCode};

use spo_api::crd::{self, File};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        return fail("usage: crdgen DIRECTORY");
    };
    let directory = PathBuf::from(directory);
    for File { name, text } in crd::files() {
        let path = directory.join(name);
        if let Err(error) = write(&path, &text) {
            return fail(&format!("cannot write {}: {error}", path.display()));
        }
    }
    ExitCode::SUCCESS
}

#[expect(
    clippy::disallowed_methods,
    reason = "a generator for the repository, not for a node"
)]
fn write(path: &PathBuf, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

#[expect(clippy::print_stderr, reason = "a command line tool talks to its user")]
fn fail(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}

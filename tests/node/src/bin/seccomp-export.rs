//! Prints the program which libseccomp makes of a profile: `seccomp-export <PROFILE >PROGRAM`.
//!
//! A process of its own, because libseccomp does not return from some profiles: who calls it on
//! foreign rules needs to be able to kill it.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use spo_host::seccomp;
use spo_test_node::chain;

fn main() -> ExitCode {
    match export() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody to tell, and the status remains.
            writeln!(std::io::stderr(), "seccomp-export: {}", chain(&*error)).ok();
            ExitCode::FAILURE
        }
    }
}

fn export() -> Result<(), Box<dyn Error>> {
    let mut profile = Vec::new();
    std::io::stdin().read_to_end(&mut profile)?;
    let program = seccomp::compile(&profile)?.export_bpf()?;
    Ok(std::io::stdout().write_all(&program)?)
}

//! Runs a command under a seccomp profile: `seccomp-exec FILE -- COMMAND [ARGUMENT...]`.
//!
//! FILE is a profile as the daemon installs it. The exit status is the command's; or 125 if the
//! profile can not be loaded, 126 if the command can not be started, 127 if there is none, like
//! env(1).
//!
//! Privileges: none. The filter is loaded with no_new_privs, so that set-user-ID commands do not
//! gain any either.

use std::error::Error;
use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use spo_host::seccomp;
use spo_test_node::chain;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(file), Some(dashes), Some(command)) = (args.next(), args.next(), args.next()) else {
        return complain(125, "usage: seccomp-exec FILE -- COMMAND [ARGUMENT...]");
    };
    if dashes != "--" {
        return complain(125, "usage: seccomp-exec FILE -- COMMAND [ARGUMENT...]");
    }
    if let Err(error) = confine(&file) {
        let file = file.display();
        return complain(
            125,
            &format!("cannot load profile {file}: {}", chain(&*error)),
        );
    }
    let error = Command::new(&command).args(args).exec();
    let status = if error.kind() == ErrorKind::NotFound {
        127
    } else {
        126
    };
    complain(
        status,
        &format!("cannot run {}: {error}", command.display()),
    )
}

fn confine(file: &OsString) -> Result<(), Box<dyn Error>> {
    let filter = seccomp::compile(&std::fs::read(file)?)?;
    for name in filter.skipped() {
        complain(
            0,
            &format!("system call {name} is not known here and not in the filter"),
        );
    }
    Ok(filter.load()?)
}

fn complain(status: u8, text: &str) -> ExitCode {
    // Without standard error there is nobody to tell, and the status remains.
    writeln!(std::io::stderr(), "seccomp-exec: {text}").ok();
    ExitCode::from(status)
}

//! Programs of the guest: run to their end, with what they said.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// How a program has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output and standard error, one after the other.
    pub said: String,
}

impl Ended {
    /// Whether it has succeeded.
    pub fn well(&self) -> bool {
        self.code == Some(0)
    }

    /// Fails the test if it has not succeeded.
    #[track_caller]
    pub fn expect_success(self) -> String {
        assert!(self.well(), "{self:?}");
        self.said
    }
}

/// Runs a program with arguments.
pub fn run(program: impl AsRef<OsStr>, args: &[&str]) -> Ended {
    let mut command = Command::new(program);
    run_command(command.args(args))
}

/// Runs a command.
pub fn run_command(command: &mut Command) -> Ended {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code(),
        said: text(&output.stdout) + &text(&output.stderr),
    }
}

//! Tests against a real kernel: what we install, load and write does what it says.
//!
//! `bpf.rs` runs the program of a filter on one system call as the kernel would; with it thousands
//! of decisions are checked where a child process each would be too slow. Real children show that
//! the program is also what the kernel runs.
//!
//! The binaries are what the tests start: `seccomp-exec` confines a command, `seccomp-export`
//! prints the program of a profile, `getpriority` makes one system call, and `write-forever` is
//! there to be killed.

use std::error::Error;

pub mod bpf;

/// An error with all its sources, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

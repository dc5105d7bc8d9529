//! `spo_profile::seccomp::decide` says what the kernel does, and a union is never stricter than
//! its parts (decision 3).
//!
//! The filter is made by libseccomp as for a container, and run on made-up system calls by
//! `spo_test_node::bpf`; `real.rs` makes some of them for real. libseccomp translates some
//! combinations of rules wrongly or never returns from them. `validate` warns of those, and
//! everything which it lets pass has to be right.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod filter;
mod laws;
mod real;
mod table;

use spo_api::seccomp_profile::{Action, SeccompProfileSpec, Syscall};
use spo_profile::seccomp::decide;

use filter::{calls, canonical, program, verdict};

fn spec(default_action: Action, syscalls: Vec<Syscall>) -> SeccompProfileSpec {
    SeccompProfileSpec {
        default_action,
        syscalls,
        ..SeccompProfileSpec::default()
    }
}

/// Fails unless the kernel decides as `decide` does, near everything that the rules name.
fn agrees(spec: &SeccompProfileSpec) {
    let program = program(spec);
    for args in calls(&spec.syscalls) {
        let decided = canonical(decide::decide(spec, "getpriority", args));
        assert_eq!(verdict(&program, args), decided, "{args:x?} {spec:?}");
    }
}

/// Less restrictive is more. Source: the kernel's own order, seccomp(2).
fn permission(action: Action) -> usize {
    let order = [
        Action::KillProcess,
        Action::KillThread,
        Action::Trap,
        Action::Errno,
        Action::Notify,
        Action::Trace,
        Action::Log,
        Action::Allow,
    ];
    let place = order.iter().position(|other| *other == canonical(action));
    place.expect("every action has its place")
}

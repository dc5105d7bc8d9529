//! The tests against a real API server, one theme a module.

#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]
#![expect(
    clippy::print_stdout,
    reason = "the times that things take are of interest"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "somebody has to write the files that are in the way"
)]

mod adversity;
mod base;
mod binding;
mod conversion;
mod crash;
mod deletion;
mod enricher;
mod examples;
mod install;
mod kinds;
mod leader;
mod many;
mod mechanism;
mod metrics;
mod name;
mod namespace;
mod nodes;
mod obstacle;
mod outage;
mod provider;
mod rbac;
mod restart;
mod restrictions;
mod selinux;
mod selinuxd;
mod spod;
mod state;
mod takeover;
mod tamper;
mod uninstall;
mod unknown_syscall;
mod update;
mod upstream;
mod version;
mod webhook;

//! The harness of the tests against a real API server.
//!
//! The components run as child processes, each under a token of its ServiceAccount in `deploy/base`,
//! so that a missing permission fails a test and not a cluster. Nodes are objects and folders.
//! `hack/test-apiserver` starts the control plane and sets what [`env`] reads; without it every test
//! fails, and says so.
//!
//! Start reading at `rig.rs`; the tests are in `tests/suite`, one file a theme.

#![expect(
    clippy::unwrap_used,
    reason = "in a harness of tests a failed unwrap is a failed test"
)]
#![expect(
    clippy::print_stderr,
    reason = "who reads of a failed test wants the logs of its processes"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment of the tests"
)]

pub mod audit;
pub mod cluster;
pub mod env;
pub mod files;
pub mod metrics;
pub mod played;
pub mod process;
pub mod profile;
pub mod proxy;
pub mod rig;
pub mod role;
pub mod selinuxd;
pub mod service;
pub mod wait;

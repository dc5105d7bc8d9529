//! The harness of the tests inside the test VM: the real daemon on a kernel that enforces.
//!
//! `hack/test-vm` runs all tests of one security module by one binary in one machine. The API server
//! and the manager are on the host; the daemon, and what it confines, are here. A test which belongs
//! to a security module is in a module of that name, and skipped on the other kernel.
//!
//! Everything is some ten times slower than on the host, so a test shows several facts about one
//! installed profile rather than installing one for each.
//!
//! Start reading at `rig.rs`; the tests are in `tests/suite`, one file a theme.

#![expect(
    clippy::unwrap_used,
    reason = "in a harness of tests a failed unwrap is a failed test"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "it plays the node, the container runtime and the attacker"
)]

pub mod apparmor;
pub mod audit;
pub mod container;
pub mod rig;
pub mod run;
pub mod selinux;

//! The tests inside the test VM: `apparmor` and `selinux` on kernels with that, `common` on both.

#![expect(
    clippy::unwrap_used,
    reason = "also in the helpers a failed unwrap is a failed test"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "it plays an administrator and an attacker on the node"
)]

mod apparmor;
mod common;
mod selinux;

//! The tests inside the test VM: `apparmor` and `selinux` on kernels with that, `common` on both.

mod apparmor;
mod common;
mod selinux;

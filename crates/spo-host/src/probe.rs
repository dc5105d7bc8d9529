//! What this node offers: which mechanisms, and what to do where one is missing.
//!
//! Absence is an answer, not an error.

mod apparmor;
pub mod host;
mod selinux;

use std::path::Path;

use spo_api::node_status::Mechanism;

use crate::seccomp;

/// Whether the operator was told to install profiles of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It was.
    Yes,
    /// It was not: what it would need is not mounted.
    No,
}

/// Whether the running kernel takes seccomp filters.
///
/// The answer can not change while the kernel runs, so that once per process is enough.
pub fn seccomp() -> Mechanism {
    let missing = match seccomp::supported() {
        seccomp::Support::Available => None,
        seccomp::Support::Missing(reason) => Some(reason),
    };
    mechanism("Seccomp", missing)
}

/// Whether AppArmorProfiles can be loaded. `sys` is where sysfs is, `/sys`; `parser` is the program
/// that compiles them, if there is one.
pub fn apparmor(sys: &Path, wanted: Wanted, parser: Option<&Path>) -> Mechanism {
    mechanism("AppArmor", apparmor::missing(sys, wanted, parser))
}

/// Whether SELinux profiles can be installed. `proc` is where procfs is, `/proc`; `daemon` says
/// whether somebody who installs them answers: `None` if that has not been looked at.
pub fn selinux(proc: &Path, wanted: Wanted, daemon: Option<bool>) -> Mechanism {
    mechanism("SELinux", selinux::missing(proc, wanted, daemon))
}

fn mechanism(name: &str, missing: Option<String>) -> Mechanism {
    Mechanism {
        name: name.to_owned(),
        available: missing.is_none(),
        message: missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_available_says_why() {
        let found = [
            seccomp(),
            apparmor(Path::new("/sys"), Wanted::Yes, None),
            selinux(Path::new("/proc"), Wanted::Yes, None),
        ];
        for mechanism in found {
            assert_eq!(mechanism.available, mechanism.message.is_none());
        }
    }
}

//! What this node offers.

use spo_api::node_status::Mechanism;

use crate::seccomp;

/// Whether the running kernel takes seccomp filters. Absence is an answer, not an error.
///
/// The answer can not change while the kernel runs, so that once per process is enough.
pub fn seccomp() -> Mechanism {
    let message = match seccomp::supported() {
        seccomp::Support::Available => None,
        seccomp::Support::Missing(reason) => Some(reason),
    };
    Mechanism {
        name: "Seccomp".to_owned(),
        available: message.is_none(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_available_says_why() {
        let found = seccomp();
        assert_eq!(found.available, found.message.is_none());
    }
}

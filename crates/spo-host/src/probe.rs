//! What this node offers.

use spo_api::node_status::Mechanism;

use crate::seccomp;

/// Finds out which mechanisms the running kernel offers. Absence is an answer, not an error.
///
/// The answer can not change while the kernel runs, so that once per process is enough.
pub fn probe() -> Vec<Mechanism> {
    let message = match seccomp::supported() {
        seccomp::Support::Available => None,
        seccomp::Support::Missing(reason) => Some(reason),
    };
    vec![Mechanism {
        name: "Seccomp".to_owned(),
        available: message.is_none(),
        message,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seccomp_is_probed() {
        let found = probe();
        assert_eq!(
            found
                .iter()
                .map(|mechanism| &*mechanism.name)
                .collect::<Vec<_>>(),
            ["Seccomp"]
        );
        assert!(
            found
                .iter()
                .all(|mechanism| mechanism.available == mechanism.message.is_none())
        );
    }
}

//! Whether the API server can be reached: one cause, told once, however many requests it fails.
//!
//! A process has one API server and dozens of watches; what they all say is the same. So this is
//! kept by the process and not by who asks.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use spo_process::chain::chain;
use tracing::{debug, info, warn};

/// Whether the last news was that it can not be reached.
static AWAY: AtomicBool = AtomicBool::new(false);

/// Whether a failure says only that there was no answer: it is not about what was asked.
pub fn is_unreachable(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<kube::Error>() {
            return match error {
                kube::Error::Service(_)
                | kube::Error::HyperError(_)
                | kube::Error::ReadEvents(_) => true,
                // What stands before it, or itself while it starts or has too much to do.
                kube::Error::Api(status) => matches!(status.code, 429 | 502..=504),
                _ => false,
            };
        }
        if let Some(crate::execute::Error::Deadline { .. }) = error.downcast_ref() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Takes in that a request had no answer.
pub fn lost(error: &(dyn Error + 'static)) {
    let text = chain(error);
    if AWAY.swap(true, Ordering::Relaxed) {
        debug!(error = text, "still no answer from the API server");
    } else {
        warn!(
            error = text,
            "no answer from the API server: trying again until there is one"
        );
    }
}

/// Takes in that a request had one.
pub fn answered() {
    if AWAY.swap(false, Ordering::Relaxed) {
        info!("the API server answers again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read Secret x")]
    struct Read(#[source] kube::Error);

    #[test]
    fn what_the_api_server_has_answered_is_not_its_absence() {
        let refused = std::io::Error::other("connection refused");
        let no_answer = Read(kube::Error::Service(Box::new(refused)));
        assert!(is_unreachable(&no_answer));
        let status = kube::core::Status::failure("forbidden", "Forbidden").with_code(403);
        assert!(!is_unreachable(&Read(kube::Error::Api(Box::new(status)))));
        let deadline = crate::execute::Error::Deadline {
            step: "apply Service/x".to_owned(),
        };
        assert!(is_unreachable(&deadline));
    }
}

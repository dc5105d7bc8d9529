//! Leader election on a Lease, in the protocol of client-go: who does not renew in time loses.
//!
//! The id of the lease and the protocol are upstream's, so that during a change-over exactly one of
//! the two managers works (contract 03, 2.2).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client, core::ObjectMeta};
use spo_process::chain::chain;
use spo_process::news::News;
use spo_process::tasks::Shutdown;
use tracing::{debug, info, warn};

use crate::reach;

/// A holder that has not renewed for this long has lost the lease.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long gives up.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the holder renews and the others look.
const PERIOD: Duration = Duration::from_secs(2);

/// A lease that we want to hold.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
}

/// What to do about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// It is ours: renew it.
    Renew,
    /// It is nobody's, or was not renewed: take it.
    Take,
    /// Somebody else holds it.
    Wait,
}

/// Pure: what to do about a lease that says `spec`, if its last change was seen `unchanged` ago.
///
/// The clock of the holder is not trusted, only how long we have seen no change (client-go).
fn decide(spec: Option<&LeaseSpec>, me: &str, unchanged: Duration) -> Move {
    let Some(spec) = spec else { return Move::Take };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let duration = spec
        .lease_duration_seconds
        .and_then(|secs| u64::try_from(secs).ok());
    if holder == me {
        Move::Renew
    } else if holder.is_empty() || unchanged >= duration.map_or(DURATION, Duration::from_secs) {
        Move::Take
    } else {
        Move::Wait
    }
}

impl Candidate {
    /// A candidate for the lease `namespace`/`name`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
        }
    }

    /// Waits until the lease is ours. `false` if shutdown came first.
    pub async fn acquire(&self, shutdown: &mut Shutdown) -> bool {
        let mut watch = Unchanged::default();
        let mut news = News::default();
        loop {
            match self.attempt(&mut watch).await {
                Ok(true) => {
                    info!(lease = %self.name, identity = %self.identity, "became leader");
                    return true;
                }
                Ok(false) => {
                    news.works();
                }
                Err(error) => self.tell(&mut news, &error, "cannot read or take the lease"),
            }
            tokio::select! {
                () = shutdown.asked() => return false,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Keeps the lease. Ends when it is lost: the caller must stop to act.
    pub async fn keep(&self) {
        let mut watch = Unchanged::default();
        let mut news = News::default();
        let mut renewed = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(PERIOD).await;
            match tokio::time::timeout(PERIOD, self.attempt(&mut watch)).await {
                Ok(Ok(true)) => {
                    renewed = tokio::time::Instant::now();
                    news.works();
                }
                Ok(Ok(false)) => return warn!(lease = %self.name, "another process took the lease"),
                Ok(Err(error)) => self.tell(&mut news, &error, "cannot renew the lease"),
                Err(_elapsed) => {
                    debug!(lease = %self.name, "no answer to the renewal of the lease in time");
                }
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return warn!(lease = %self.name, "could not renew the lease in time");
            }
        }
    }

    /// Tells of a failure once.
    fn tell(&self, news: &mut News, error: &kube::Error, what: &str) {
        if reach::is_unreachable(error) {
            reach::lost(error);
        } else if news.failed(&chain(error)) {
            warn!(lease = %self.name, error = %chain(error), "{what}");
        }
    }

    async fn attempt(&self, watch: &mut Unchanged) -> Result<bool, kube::Error> {
        let lease = self.api.get_opt(&self.name).await?;
        reach::answered();
        let version = lease
            .as_ref()
            .and_then(|lease| lease.metadata.resource_version.clone());
        let unchanged = watch.since(version.as_deref());
        let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let next = match decide(spec, &self.identity, unchanged) {
            Move::Wait => return Ok(false),
            Move::Renew => self.spec(spec, false),
            Move::Take => self.spec(spec, true),
        };
        let params = PostParams::default();
        let written = match lease {
            None => {
                let metadata = ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                };
                self.api
                    .create(
                        &params,
                        &Lease {
                            metadata,
                            spec: Some(next),
                        },
                    )
                    .await
            }
            Some(mut lease) => {
                // With the resource version that was read: only one of several takers succeeds.
                lease.spec = Some(next);
                self.api.replace(&self.name, &params, &lease).await
            }
        };
        match written {
            Ok(_lease) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn spec(&self, old: Option<&LeaseSpec>, takes: bool) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let old = old.cloned().unwrap_or_default();
        let transitions = old.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if takes {
                Some(now.clone())
            } else {
                old.acquire_time
            },
            renew_time: Some(now),
            lease_transitions: Some(transitions.saturating_add(i32::from(takes))),
            ..LeaseSpec::default()
        }
    }

    /// Gives the lease back, so that the next leader need not wait. To be called when all work that
    /// needed it has ended.
    pub async fn release(&self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else {
            return;
        };
        let Some(spec) = lease.spec.as_mut() else {
            return;
        };
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        if let Err(error) = self
            .api
            .replace(&self.name, &PostParams::default(), &lease)
            .await
        {
            warn!(lease = %self.name, %error, "cannot give the lease back");
        }
    }
}

/// How long a lease has had the same version, by our own clock.
#[derive(Default)]
struct Unchanged {
    seen: Option<(String, tokio::time::Instant)>,
}

impl Unchanged {
    fn since(&mut self, version: Option<&str>) -> Duration {
        let version = version.unwrap_or_default();
        match &self.seen {
            Some((seen, at)) if seen == version => at.elapsed(),
            _ => {
                self.seen = Some((version.to_owned(), tokio::time::Instant::now()));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_changes_hands_only_when_it_is_not_renewed() {
        let secs = Duration::from_secs;
        for (spec, unchanged, expected) in [
            (None, secs(0), Move::Take),
            (Some(held_by("me")), secs(100), Move::Renew),
            (Some(held_by("")), secs(0), Move::Take),
            (Some(held_by("other")), secs(14), Move::Wait),
            (Some(held_by("other")), secs(15), Move::Take),
        ] {
            assert_eq!(decide(spec.as_ref(), "me", unchanged), expected);
        }
    }
}

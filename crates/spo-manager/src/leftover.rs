//! Finalizers that upstream has left, and that nobody would ever take away: an object with one could
//! not be deleted any more.
//!
//! Profiles and ProfileBindings are adopted by their own controllers. ProfileRecordings are looked at
//! here, for as long as a manager leads: during a change-over a daemon of upstream that still runs may
//! add one again.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::core::{ApiResource, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use spo_api::meta;
use spo_api::profile_recording::ProfileRecording;
use spo_kube::controller::Reconcile;
use spo_kube::execute::{Cause, execute};
use spo_kube::queue::Outcome;
use spo_kube::step::{Part, Step, Target};
use spo_kube::table::{Change, Table};
use spo_kube::watch::watch;
use spo_process::chain::chain;
use spo_process::tasks::Shutdown;
use tracing::{error, info};

/// Objects that are worked on at once.
const CONCURRENCY: usize = 2;
/// How long an object is left alone. Upstream's own components may be about to take the finalizer
/// away, or may add it again at once, which would be a fight without end.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs until shutdown.
pub(crate) async fn run(client: Client, shutdown: Shutdown) {
    let events = events(&client);
    let controller = Controller {
        client,
        held: Table::default(),
    };
    spo_kube::controller::run(controller, events, CONCURRENCY, shutdown).await;
}

/// What an event says of an object.
#[derive(Debug, Clone)]
struct Held {
    key: Key,
    row: Row,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    resource_version: Option<String>,
    finalizers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    namespace: Option<String>,
    name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "ProfileRecording/{namespace}/{}", self.name),
            None => write!(f, "ProfileRecording/{}", self.name),
        }
    }
}

fn events(client: &Client) -> impl Stream<Item = watcher::Event<Held>> + Send + use<> {
    use watcher::Event as E;
    let api: Api<PartialObjectMeta<ProfileRecording>> = Api::all(client.clone());
    watch(api, "").map(|event| match event {
        E::Apply(object) => E::Apply(held(object)),
        E::Delete(object) => E::Delete(held(object)),
        E::InitApply(object) => E::InitApply(held(object)),
        E::Init => E::Init,
        E::InitDone => E::InitDone,
    })
}

fn held(object: PartialObjectMeta<ProfileRecording>) -> Held {
    Held {
        key: Key {
            namespace: object.namespace(),
            name: object.name_any(),
        },
        row: Row {
            resource_version: object.resource_version(),
            finalizers: object.metadata.finalizers.unwrap_or_default(),
        },
    }
}

/// Pure. The write after which nothing of upstream holds the object; `None` if nothing does.
fn release(key: &Key, row: &Row) -> Option<Step> {
    let kept: Vec<&String> = row
        .finalizers
        .iter()
        .filter(|finalizer| !meta::is_upstream_finalizer(finalizer))
        .collect();
    if kept.len() == row.finalizers.len() {
        return None;
    }
    Some(Step::Patch {
        target: Target {
            resource: ApiResource::erase::<ProfileRecording>(&()),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        },
        part: Part::Object,
        // The list is replaced as a whole: only in the version that was read.
        patch: json!({ "metadata": {
            "finalizers": kept,
            "resourceVersion": row.resource_version,
        } }),
    })
}

struct Controller {
    client: Client,
    /// The recordings with a finalizer of upstream.
    held: Table<Key, Row>,
}

impl Reconcile for Controller {
    type Key = Key;
    type Event = watcher::Event<Held>;
    type Done = Outcome;

    fn name(&self) -> String {
        "leftover".to_owned()
    }

    fn observe(&mut self, event: watcher::Event<Held>) -> Vec<(Key, Duration)> {
        let row = |held: Held| {
            let concerns_us = release(&held.key, &held.row).is_some();
            (held.key, concerns_us.then_some(held.row))
        };
        let changes = self.held.observe(event, row);
        let keys = changes.into_iter().filter_map(|change| match change {
            Change::Set(key, _) => Some((key, PAUSE)),
            Change::Gone(..) | Change::Synced => None,
        });
        keys.collect()
    }

    fn start(
        &mut self,
        key: &Key,
    ) -> Option<impl Future<Output = Outcome> + Send + 'static + use<>> {
        let row = self.held.get(key)?;
        let step = release(key, row)?;
        Some(write(self.client.clone(), step))
    }

    fn finish(&mut self, _key: &Key, done: Option<Outcome>) -> (Outcome, Vec<Key>) {
        (done.unwrap_or(Outcome::Failed), Vec::new())
    }
}

async fn write(client: Client, step: Step) -> Outcome {
    match execute(&client, &step).await {
        Ok(_object) => {
            info!(%step, "took away what upstream held the object with");
            Outcome::Settled
        }
        // It is gone, or has changed: the watch will say.
        Err(error) if matches!(error.cause(), Cause::NotFound | Cause::Conflict) => {
            Outcome::Settled
        }
        Err(error) => {
            error!(error = %chain(&error), "cannot take away what upstream holds an object with");
            Outcome::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_upstream_has_left_is_taken_away() {
        let key = Key {
            namespace: Some("team".to_owned()),
            name: "b".to_owned(),
        };
        for (finalizers, kept) in [
            (&["active-seccomp-profile-recording-lock"][..], Some("[]")),
            (
                &["spo.x-k8s.io/has-unmerged-profiles", "example.com/a"],
                Some("[\"example.com/a\"]"),
            ),
            (&["example.com/a", "spo.x-k8s.io/installed"], None),
            (&[], None),
        ] {
            let row = Row {
                resource_version: Some("7".to_owned()),
                finalizers: finalizers.iter().map(|&f| f.to_owned()).collect(),
            };
            let expected = kept.map(|kept| {
                format!(
                    "patch ProfileRecording/b {{\"metadata\":{{\"finalizers\":{kept},\
                     \"resourceVersion\":\"7\"}}}}"
                )
            });
            assert_eq!(release(&key, &row).map(|step| step.to_string()), expected);
        }
    }
}

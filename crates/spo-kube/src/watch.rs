//! A watch that never ends: it lists, follows, and starts over when it has to.

use std::fmt::Debug;

use futures::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tracing::warn;

/// Objects listed at once: bounds what a listing holds in memory.
const PAGE: u32 = 100;

/// The events of a watch on the objects that the label selector `labels` selects, all if it is empty;
/// without the metadata that nobody here reads. A failure is logged, waited out with growing pauses,
/// and mended by listing again.
pub fn watch<K>(api: Api<K>, labels: &str) -> impl Stream<Item = Event<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut config = watcher::Config::default().page_size(PAGE);
    if !labels.is_empty() {
        config = config.labels(labels);
    }
    let kind = K::kind(&());
    watcher(api, config)
        .modify(|object| {
            object.managed_fields_mut().clear();
            object
                .annotations_mut()
                .remove("kubectl.kubernetes.io/last-applied-configuration");
        })
        .default_backoff()
        .filter_map(move |event| {
            let event = match event {
                Ok(event) => Some(event),
                Err(error) => {
                    warn!(kind = %kind, error = %spo_process::chain::chain(&error), "watch failed");
                    None
                }
            };
            std::future::ready(event)
        })
}

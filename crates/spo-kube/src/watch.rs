//! A watch that never ends: it lists, follows, and starts over when it has to.

use std::fmt::Debug;

use futures::{Stream, StreamExt as _};
use kube::core::{ApiResource, DynamicObject};
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
    follow(watcher(api, config), K::kind(&()).into_owned())
}

/// The events of a watch on the one object of a name: all that a permission for that name allows.
pub fn watch_named<K>(api: Api<K>, name: &str) -> impl Stream<Item = Event<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    follow(watcher(api, config), K::kind(&()).into_owned())
}

/// The events of a watch on objects of any kind, as [`watch`]. Managed fields stay: who owns what is
/// why one looks at an object without its type.
pub fn watch_dynamic(
    api: Api<DynamicObject>,
    resource: &ApiResource,
    labels: &str,
) -> impl Stream<Item = Event<DynamicObject>> + Send + use<> {
    let config = watcher::Config::default().page_size(PAGE).labels(labels);
    told(
        watcher(api, config).default_backoff(),
        resource.kind.clone(),
    )
}

fn follow<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    kind: String,
) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + Send,
{
    let light = events
        .modify(|object| {
            object.managed_fields_mut().clear();
            object
                .annotations_mut()
                .remove("kubectl.kubernetes.io/last-applied-configuration");
        })
        .default_backoff();
    told(light, kind)
}

/// Events without the failures, which are logged.
fn told<T: Send>(
    events: impl Stream<Item = watcher::Result<T>> + Send,
    kind: String,
) -> impl Stream<Item = T> + Send {
    events.filter_map(move |event| {
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

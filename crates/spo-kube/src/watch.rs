//! A watch that never ends: it lists, follows, and starts over when it has to.

use std::fmt::Debug;

use futures::{Stream, StreamExt as _};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use spo_process::chain::chain;
use spo_process::news::News;
use tracing::{debug, info, warn};

use crate::reach;

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

/// The events of a watch on the pods of one node, in whatever namespace: as much as the kubelet sends
/// of them, and nothing of the rest of the cluster. `K` is how the caller sees a pod.
pub fn watch_on_node<K>(api: Api<K>, node: &str) -> impl Stream<Item = Event<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default()
        .page_size(PAGE)
        .fields(&format!("spec.nodeName={node}"));
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

/// Events without the failures, which are logged: each once, until the watch works again.
fn told<K: Send>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    kind: String,
) -> impl Stream<Item = Event<K>> + Send {
    let mut news = News::default();
    events.filter_map(move |event| {
        let event = match event {
            // It only says that a listing is about to be asked for.
            Ok(Event::Init) => Some(Event::Init),
            Ok(event) => {
                reach::answered();
                if news.works() {
                    info!(%kind, "the watch works again");
                }
                Some(event)
            }
            Err(error) => {
                tell(&mut news, &kind, &error);
                None
            }
        };
        std::future::ready(event)
    })
}

fn tell(news: &mut News, kind: &str, error: &watcher::Error) {
    let text = chain(error);
    // Routine: the watch has fallen behind, and lists again.
    let is_behind = matches!(error, watcher::Error::WatchError(status) if status.code == 410);
    if is_behind {
        debug!(%kind, error = text, "the watch starts over");
    } else if reach::is_unreachable(error) {
        reach::lost(error);
    } else if news.failed(&text) {
        warn!(%kind, error = text, "cannot watch: trying again");
    } else {
        debug!(%kind, error = text, "still cannot watch");
    }
}

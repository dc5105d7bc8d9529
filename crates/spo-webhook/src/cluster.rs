//! The watches that fill the cache.

use std::sync::{Arc, PoisonError, RwLock};

use futures::{Stream, StreamExt as _, stream};
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Deserialize;
use spo_api::raw_selinux_profile::RawSelinuxProfile;
use spo_api::selinux_profile::SelinuxProfile;
use spo_api::spod::{SecurityProfilesOperatorDaemon, SelinuxOptions};
use spo_kube::watch::watch;
use spo_process::tasks::Shutdown;
use tokio::sync::watch::Sender;
use tracing::info;

use crate::cache::{Cache, Seen};

/// Keeps the cache at what the cluster says, until shutdown. `synced` tells when it is complete.
pub(crate) async fn follow(
    client: Client,
    namespace: String,
    cache: Arc<RwLock<Cache>>,
    synced: Sender<bool>,
    mut shutdown: Shutdown,
) {
    let mut events = std::pin::pin!(events(client, &namespace));
    loop {
        let seen = tokio::select! {
            () = shutdown.asked() => return,
            seen = events.next() => seen,
        };
        let Some(seen) = seen else { return };
        let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.observe(seen);
        let now = cache.synced();
        drop(cache);
        if synced.send_if_modified(|before| std::mem::replace(before, now) != now) {
            info!("in sync with the cluster");
        }
    }
}

/// A profile without what is in it.
type Name<K> = PartialObjectMeta<K>;

fn events(client: Client, namespace: &str) -> impl Stream<Item = Seen> + Send + use<> {
    let profiles: Api<Name<SelinuxProfile>> = Api::all(client.clone());
    let raw_profiles: Api<Name<RawSelinuxProfile>> = Api::all(client.clone());
    let spods: Api<HeldSpod> = Api::namespaced(client, namespace);
    stream::select_all([
        watch(profiles, "")
            .map(|event| Seen::Profile(reduce(event, |object| object.name_any())))
            .boxed(),
        watch(raw_profiles, "")
            .map(|event| Seen::RawProfile(reduce(event, |object| object.name_any())))
            .boxed(),
        watch(spods, "")
            .map(|event| {
                Seen::Spod(reduce(event, |spod| {
                    (spod.name_any(), spod.allowed_system_profiles())
                }))
            })
            .boxed(),
    ])
}

fn reduce<O, T>(event: Event<O>, keep: impl Fn(O) -> T) -> Event<T> {
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(keep(object)),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(keep(object)),
        Event::Delete(object) => Event::Delete(keep(object)),
    }
}

/// The configuration without what steers others.
///
/// A list that can not be read fails the watch, on purpose: to go on without it would let in what an
/// administrator has forbidden.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = "SecurityProfilesOperatorDaemon")]
struct HeldSpod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: HeldSpodSpec,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct HeldSpodSpec {
    selinux: Option<HeldSelinux>,
    /// The place of older releases (decision 18).
    selinux_options: Option<SelinuxOptions>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct HeldSelinux {
    options: Option<SelinuxOptions>,
}

impl HeldSpod {
    /// The place of today wins, unless it says what the API server writes there by itself.
    fn allowed_system_profiles(self) -> Vec<String> {
        let HeldSpodSpec {
            selinux,
            selinux_options,
        } = self.spec;
        let default = SelinuxOptions::default().allowed_system_profiles;
        let places = [selinux.and_then(|selinux| selinux.options), selinux_options];
        let mut said = places
            .into_iter()
            .flatten()
            .map(|options| options.allowed_system_profiles);
        said.find(|allowed| *allowed != default).unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_place_of_today_wins_over_the_older_one() {
        let check = |spec: Value, expected: &[&str]| {
            let spod = json!({"metadata": {"name": "spod"}, "spec": spec});
            let spod: HeldSpod = serde_json::from_value(spod).unwrap();
            assert_eq!(spod.allowed_system_profiles(), expected);
        };
        let options = |name: &str| json!({"allowedSystemProfiles": [name]});
        check(json!({}), &["container"]);
        check(json!({"selinux": {"enable": true}}), &["container"]);
        check(json!({"selinux": {"options": {}}}), &["container"]);
        check(
            json!({"selinux": {"options": {"allowedSystemProfiles": []}}}),
            &[],
        );
        check(json!({"selinuxOptions": options("old")}), &["old"]);
        check(
            json!({"selinux": {"options": {}}, "selinuxOptions": options("old")}),
            &["old"],
        );
        check(
            json!({"selinux": {"options": options("new")}, "selinuxOptions": options("old")}),
            &["new"],
        );
    }
}

//! The watches that fill the cache.

mod held;

use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};

use futures::{Stream, StreamExt as _, stream};
use kube::core::{ClusterResourceScope, PartialObjectMeta};
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource, ResourceExt as _};
use spo_api::apparmor_profile::AppArmorProfile;
use spo_api::profile::ProfileKind;
use spo_api::raw_selinux_profile::RawSelinuxProfile;
use spo_api::seccomp_profile::SeccompProfile;
use spo_api::selinux_profile::SelinuxProfile;
use spo_kube::watch::watch;
use spo_process::tasks::Shutdown;
use tokio::sync::watch::Sender;
use tracing::info;

use crate::cache::{Cache, Seen};
use held::{HeldBinding, HeldProfile, HeldSpod};

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

fn events(client: Client, namespace: &str) -> impl Stream<Item = Seen> + Send + use<> {
    let raw_profiles: Api<PartialObjectMeta<RawSelinuxProfile>> = Api::all(client.clone());
    let bindings: Api<HeldBinding> = Api::all(client.clone());
    let spods: Api<HeldSpod> = Api::namespaced(client.clone(), namespace);
    stream::select_all([
        profiles::<SeccompProfile>(&client, ProfileKind::SeccompProfile).boxed(),
        profiles::<SelinuxProfile>(&client, ProfileKind::SelinuxProfile).boxed(),
        profiles::<AppArmorProfile>(&client, ProfileKind::AppArmorProfile).boxed(),
        watch(bindings, "")
            .map(|event| Seen::Binding(reduce(event, HeldBinding::reduce)))
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

fn profiles<K>(client: &Client, kind: ProfileKind) -> impl Stream<Item = Seen> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + Send + 'static,
{
    let api: Api<HeldProfile<K>> = Api::all(client.clone());
    watch(api, "").map(move |event| {
        let keep = |profile: HeldProfile<K>| (profile.name_any(), profile.reduce(kind));
        Seen::Profile(kind, reduce(event, keep))
    })
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

//! The conversion webhook, served by every manager, leader or not.
//!
//! It must not depend on anything that itself needs conversion: the Deployment of the admission
//! webhooks is rendered from a SPOD, and a SPOD that an old release has stored can only be read by
//! way of `/convert` (contract 01, 4.6). All that this needs is a Secret.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use spo_kube::watch::watch_named;
use spo_process::chain::chain;
use spo_process::tasks::{Shutdown, Tasks};
use spo_process::tls::{self, Bounds, Identity, MinVersion};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::trust::CONVERSION_SECRET;

/// Starts to serve, with whatever certificate the Secret holds at the time: that one is returned.
pub(crate) async fn start(
    tasks: &mut Tasks,
    client: Client,
    namespace: &str,
    address: SocketAddr,
) -> Result<watch::Receiver<Option<Arc<Identity>>>, spo_process::admin::Error> {
    let listener = spo_process::admin::listen(address).await?;
    let (identities, identity) = watch::channel(None);
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    tasks.spawn("certificate", follow(secrets, identities, tasks.shutdown()));
    tasks.spawn(
        "conversion",
        tls::serve(
            listener,
            spo_webhook::conversion::conversion_router(),
            identity.clone(),
            MinVersion::Tls12,
            Bounds::REVIEWS,
            tasks.shutdown(),
        ),
    );
    Ok(identity)
}

async fn follow(
    secrets: Api<Secret>,
    identities: watch::Sender<Option<Arc<Identity>>>,
    mut shutdown: Shutdown,
) {
    let mut events = std::pin::pin!(watch_named(secrets, CONVERSION_SECRET));
    loop {
        let event = tokio::select! {
            () = shutdown.asked() => return,
            event = events.next() => event,
        };
        let Some(event) = event else { return };
        let (Event::Apply(secret) | Event::InitApply(secret)) = event else {
            // A Secret that is deleted is made again; until then the old certificate does.
            continue;
        };
        let data = secret.data.unwrap_or_default();
        let part = |name: &str| {
            data.get(name)
                .map(|part| part.0.as_slice())
                .unwrap_or_default()
        };
        match Identity::from_pem(part("tls.crt"), part("tls.key")) {
            Ok(identity) => {
                info!(
                    secret = CONVERSION_SECRET,
                    "serving conversion with this certificate"
                );
                identities.send_replace(Some(Arc::new(identity)));
            }
            Err(error) => warn!(
                secret = CONVERSION_SECRET,
                error = %chain(&error),
                "cannot use the certificate for conversion, keeping the one before"
            ),
        }
    }
}
